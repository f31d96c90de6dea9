/* SPDX-License-Identifier: Apache-2.0 */
/* See role.h. A key's name is the id of what it was made for. */
#include "server/role.h"

#include "server/git.h"
#include "server/resources.h"

static bool rules(const struct call *c)
{
	return c->key_type == KEY_CLIENT || c->s->opt.reference_keys;
}

static const char *owner(const struct call *c)
{
	return c->key ? rec_text(c->key, "name") : "";
}

bool role_owns_runner(const struct call *c, const char *id)
{
	return rules(c) || (c->key_type == KEY_RUNNER && strcmp(owner(c), id) == 0);
}

/* A workspace of the key's owner uses that config. */
static bool uses_git(const struct call *c, const struct rec *provider)
{
	for (const struct rec *w = store_first(&c->s->store, K_WORKSPACE); w; w = store_next(w))
		if (rec_is(w, "gitProviderConfigId", rec_text(provider, "id")) && role_owns(c, w))
			return true;
	return false;
}

static bool runner_owns(const struct call *c, const struct rec *r)
{
	const struct rec *config;
	const char *id;

	switch ((enum kind)rec_kind(r)) {
	case K_RUNNER:
		return rec_is(r, "id", owner(c));
	case K_CONFIG:
		return rec_is(r, "runnerId", owner(c));
	case K_TARGET:
	case K_WORKSPACE:
		config = resource_config(c->s, r);
		return config && rec_is(config, "runnerId", owner(c));
	case K_JOB:
		id = rec_get(r, "runnerId");
		return !id || !id[0] || strcmp(id, owner(c)) == 0;
	case K_BUILD: /* offered to every runner */
		return true;
	case K_GIT:
		return uses_git(c, r);
	default:
		return false;
	}
}

static bool target_owns(const struct call *c, const struct rec *r)
{
	return (rec_kind(r) == K_TARGET && rec_is(r, "id", owner(c))) ||
	       (rec_kind(r) == K_WORKSPACE && rec_is(r, "targetId", owner(c)));
}

static bool workspace_owns(const struct call *c, const struct rec *r)
{
	const struct rec *own = store_find(&c->s->store, K_WORKSPACE, "id", owner(c));

	if (!own)
		return false;
	return r == own ||
	       (rec_kind(r) == K_TARGET && rec_is(own, "targetId", rec_text(r, "id"))) ||
	       (rec_kind(r) == K_GIT && rec_is(own, "gitProviderConfigId", rec_text(r, "id")));
}

bool role_owns(const struct call *c, const struct rec *r)
{
	if (rules(c))
		return true;
	switch (c->key_type) {
	case KEY_RUNNER:
		return runner_owns(c, r);
	case KEY_TARGET:
		return target_owns(c, r);
	case KEY_WORKSPACE:
		return workspace_owns(c, r);
	default:
		return false;
	}
}

/* Builds are made by every runner, of repositories that may have no workspace yet. */
bool role_owns_repository(const struct call *c, const char *url)
{
	static const enum kind kinds[] = { K_WORKSPACE, K_BUILD };

	if (rules(c))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (const struct rec *r = store_first(&c->s->store, kinds[i]); r;
		     r = store_next(r))
			if (role_owns(c, r) && git_same_host(r, url))
				return true;
	return false;
}

static bool owns_found(const struct call *c, const struct rec *r)
{
	return r ? role_owns(c, r) : c->key_type == KEY_RUNNER;
}

static bool owns_git_url(const struct call *c)
{
	struct buf url = { 0 };
	bool ok = buf_add_urldec(&url, str_of(c->param[0]), true) &&
	          role_owns_repository(c, buf_cstr(&url));

	buf_free(&url);
	return ok;
}

/* Without a workspace only the variables of the whole Server count. */
static bool owns_registry(const struct call *c)
{
	struct buf id = { 0 };
	bool ok = !httpd_query_get(c->r->query, "workspaceId", &id) ||
	          owns_found(c, store_find_any(&c->s->store, K_WORKSPACE, buf_cstr(&id)));

	buf_free(&id);
	return ok;
}

bool role_owns_subject(const struct call *c, enum subject of)
{
	const struct store *s = &c->s->store;

	if (of == ITSELF)
		return strcmp(owner(c), c->param[0]) == 0;
	if (rules(c))
		return true;
	switch (of) {
	case NOTHING:
	case MANY:
		return true;
	case A_RUNNER:
		return role_owns_runner(c, c->param[0]);
	case A_TARGET:
		return owns_found(c, store_find_any(s, K_TARGET, c->param[0]));
	case A_WORKSPACE:
		return owns_found(c, store_find_any(s, K_WORKSPACE, c->param[0]));
	case ITSELF:
		break;
	case A_GIT:
		return owns_found(c, store_find(s, K_GIT, "id", c->param[0]));
	case A_GIT_URL:
		return owns_git_url(c);
	case A_REGISTRY:
		return owns_registry(c);
	}
	return false;
}

unsigned role_hides(const struct call *c, enum kind kind)
{
	if (c->key_type == KEY_CLIENT)
		return VIEW_HIDE;
	if (c->s->opt.reference_keys || c->key_type == KEY_RUNNER)
		return 0;
	/* A workspace's program is told its own key and variables, nobody else's; of its target, not who else is there. */
	if (c->key_type == KEY_WORKSPACE)
		return kind == K_WORKSPACE ? 0 : VIEW_HIDE | VIEW_ALONE;
	return VIEW_HIDE;
}

unsigned role_options(const struct call *c)
{
	return rules(c) || c->key_type == KEY_RUNNER ? VIEW_OPTIONS : 0;
}
