/* SPDX-License-Identifier: Apache-2.0 */
/* Runners and their providers (protocol 3.5, 4). See srv.h. */
#include "server/srv.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "server/manifest.h"
#include "server/role.h"

static void view_runner_dto(struct buf *b, const struct rec *r)
{
	struct state st;

	state_of_runner(r, &st);
	jw_obj(b);
	view_runner(b, r);
	jw_key(b, "state");
	view_state(b, &st);
	jw_obj_end(b);
}

void h_runner_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *r = store_first(&c->s->store, K_RUNNER); r; r = store_next(r))
		if (role_owns(c, r))
			view_runner_dto(&b, r);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

/* With a join token: it is spent in the same change, so it makes one runner or stays good for one. */
static int runner_create(struct call *c, struct json body, const struct rec **out,
                         char key[API_KEY_SIZE], struct err *e)
{
	struct srv *s = c->s;
	char *id = json_dup_or_empty(json_get(body, "id"));
	char *name = json_dup_or_empty(json_get(body, "name"));
	struct change *ch = change_begin(&s->store);
	char now[STAMP_SIZE];
	int rc = -1;

	if (c->key_type == KEY_JOIN && !(str_is_id(str_of(id)) && name[0])) {
		err_set(e, ERR_USAGE, 0, "the id or the name cannot be");
	} else if (store_find_any(&s->store, K_RUNNER, name) ||
	           store_find_any(&s->store, K_RUNNER, id)) {
		err_set(e, ERR_EXISTS, 0, "runner already exists");
	} else if (key_add(s, ch, "runner", id, key, e) == 0) {
		struct rec *r = change_add(ch, K_RUNNER);

		stamp_now(now);
		rec_set(r, "id", id);
		rec_set(r, "name", name);
		rec_set(r, "mdUpdated", now);
		rec_set_int(r, "mdUptime", 0);
		rec_set_int(r, "mdJobs", 0);
		rec_set(r, "mdProviders", NULL);
		*out = r;
		if (c->key_type == KEY_JOIN)
			change_remove(ch, c->key);
		rc = change_commit(ch, e);
		ch = NULL;
		if (rc == 0 && c->key_type == KEY_JOIN)
			c->key = NULL; /* it is gone */
	}
	change_drop(ch);
	free(id);
	free(name);
	return rc;
}

void h_runner_create(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };
	const struct rec *r = NULL;
	char key[API_KEY_SIZE];

	if (!call_body(c, &dto_create_runner, &body))
		return;
	if (runner_create(c, body, &r, key, &e) < 0) {
		reply_error(c, error_status(&e), "failed to create runner: %s", e.msg);
		return;
	}
	jw_obj(&b);
	view_runner(&b, r);
	jw_kstr(&b, "apiKey", key);
	jw_obj_end(&b);
	reply_json(c, 200, &b);
	mem_wipe(key, sizeof(key));
}

void h_runner_get(struct call *c)
{
	const struct rec *r = store_find_any(&c->s->store, K_RUNNER, c->param[0]);
	struct buf b = { 0 };

	if (!r) {
		reply_error(c, 404, "failed to get runner: runner not found");
		return;
	}
	view_runner_dto(&b, r);
	reply_json(c, 200, &b);
}

void h_runner_key(struct call *c)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	char key[API_KEY_SIZE];

	/* Whoever has a key that was replaced must not get the next one for it. */
	if (rec_has(c->key, "expires")) {
		reply_error(c, 403, "this key was replaced; ask with the newer one");
		return;
	}
	if (key_rotate(c->s, c->param[0], key, &e) < 0) {
		reply_error(c, error_status(&e), "failed to make a key: %s", e.msg);
		return;
	}
	jw_obj(&b);
	jw_kstr(&b, "apiKey", key);
	jw_obj_end(&b);
	reply_json(c, 200, &b);
	mem_wipe(key, sizeof(key));
}

/* The runner's default target stops being the default. */
static void clear_default(struct srv *s, struct change *ch, const char *runner_id)
{
	const struct rec *t = store_find(&s->store, K_TARGET, "default", "true");

	for (; t; t = store_find_next(&s->store, t, "default")) {
		const struct rec *config = store_find(&s->store, K_CONFIG, "id",
		                                      rec_text(t, "targetConfigId"));

		if (config && rec_is(config, "runnerId", runner_id))
			rec_set_bool(change_edit(ch, t), "default", false);
	}
}

void h_runner_delete(struct call *c)
{
	const struct rec *r = store_find_any(&c->s->store, K_RUNNER, c->param[0]);
	struct err e = { 0 };

	if (!r) {
		reply_error(c, 500, "failed to delete runner: runner not found");
		return;
	}
	struct change *ch = change_begin(&c->s->store);

	key_remove(c->s, ch, "runner", rec_text(r, "id"));
	clear_default(c->s, ch, rec_text(r, "id"));
	jobs_orphan(c->s, ch, r);
	change_remove(ch, r);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to delete runner: %s", e.msg);
	else
		reply_empty(c, 200);
}

static void providers_json(struct buf *b, struct json list)
{
	jw_arr(b);
	for (struct json p = json_first(list); json_present(p); p = json_next(p))
		normal_provider(b, p);
	jw_arr_end(b);
}

void h_runner_metadata(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf providers = { 0 };
	char now[STAMP_SIZE];
	int64_t uptime = 0, jobs = 0;

	if (!call_body(c, &dto_runner_metadata, &body))
		return;
	const struct rec *r = store_find(&c->s->store, K_RUNNER, "id", c->param[0]);

	if (!r) {
		reply_error(c, 500,
		            "failed to set runner metadata for %s: runner metadata not found",
		            c->param[0]);
		return;
	}
	stamp_now(now);
	providers_json(&providers, json_get(body, "providers"));
	json_i64(json_get(body, "uptime"), 0, INT64_MAX, &uptime);
	json_i64(json_get(body, "runningJobs"), 0, INT64_MAX, &jobs);
	struct str before = rec_json(r, "mdProviders");
	bool changed = before.n != providers.n || memcmp(before.p, providers.p, before.n) != 0;

	struct change *ch = change_begin(&c->s->store);
	struct rec *draft = change_edit(ch, r);

	rec_set(draft, "mdUpdated", now);
	rec_set_int(draft, "mdUptime", uptime);
	rec_set_int(draft, "mdJobs", jobs);
	rec_set_json(draft, "mdProviders", buf_str(&providers));
	buf_free(&providers);
	/* A heartbeat is old after 30 s: it is not worth a write to the disk, its providers are. */
	if (!changed)
		change_beat(ch);
	if (changed && change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to set runner metadata for %s: %s",
		            c->param[0], e.msg);
	else
		reply_empty(c, 200);
}

/* Adds the elements of a runner's provider list. */
static void add_providers(struct buf *b, const struct rec *r)
{
	struct str list = rec_json(r, "mdProviders");

	if (list.n > 2 && list.p[0] == '[')
		jw_raw(b, (struct str){ list.p + 1, list.n - 2 });
}

void h_providers_all(struct call *c)
{
	struct buf b = { 0 }, id = { 0 };
	bool one = call_query(c, "runnerId", &id) && id.n;

	if (one && !store_find(&c->s->store, K_RUNNER, "id", buf_cstr(&id))) {
		reply_error(c, 500, "failed to list providers: runner metadata not found");
	} else {
		jw_arr(&b);
		for (const struct rec *r = store_first(&c->s->store, K_RUNNER); r;
		     r = store_next(r))
			if ((!one || rec_is(r, "id", buf_cstr(&id))) && role_owns(c, r))
				add_providers(&b, r);
		jw_arr_end(&b);
		reply_json(c, 200, &b);
	}
	buf_free(&id);
}

void h_runner_providers(struct call *c)
{
	const struct rec *r = store_find_any(&c->s->store, K_RUNNER, c->param[0]);
	struct buf b = { 0 };

	if (!r) {
		reply_error(c, 404, "failed to get runner: runner not found");
		return;
	}
	if (rec_has(r, "mdProviders"))
		buf_add_str(&b, rec_json(r, "mdProviders"));
	else
		buf_adds(&b, "null");
	reply_json(c, 200, &b);
}

static bool has_provider(const struct rec *r, const char *name)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(rec_json(r, "mdProviders"), SIZE_MAX, &e);
	bool found = false;

	for (struct json p = json_first(json_root(doc)); json_present(p); p = json_next(p))
		found = found || json_str_is(json_get(p, "name"), name);
	json_doc_free(doc);
	return found;
}

static void queue(struct call *c, const char *verb, const char *action, bool manifest)
{
	const struct rec *r = store_find_any(&c->s->store, K_RUNNER, c->param[0]);
	struct buf version = { 0 }, metadata = { 0 };
	struct err e = { 0 };

	if (!r) {
		reply_error(c, 500, "failed to %s provider: runner not found", verb);
		return;
	}
	if (!call_query(c, "providerVersion", &version))
		buf_adds(&version, "latest");
	if (manifest) {
		jw_obj(&metadata);
		jw_kstr(&metadata, "name", c->param[1]);
		jw_kstr(&metadata, "version", buf_cstr(&version));
		jw_key(&metadata, "downloadUrls");
		manifest_urls(c->s, c->param[1], buf_cstr(&version), &metadata);
		jw_obj_end(&metadata);
	} else {
		buf_adds(&metadata, c->param[1]);
	}
	/* By id, also when the caller gave the name: no runner polls under a name. */
	if (job_create(c->s, "runner", rec_text(r, "id"), rec_text(r, "id"), action,
	               buf_cstr(&metadata), &e) < 0)
		reply_error(c, error_status(&e), "failed to %s provider: %s", verb, e.msg);
	else
		reply_empty(c, 200);
	buf_free(&version);
	buf_free(&metadata);
}

void h_provider_install(struct call *c)
{
	const struct rec *r = store_find_any(&c->s->store, K_RUNNER, c->param[0]);

	if (!r)
		reply_error(c, 500,
		            "failed to fetch installed providers: runner metadata not found");
	else if (has_provider(r, c->param[1]))
		reply_error(c, 400, "provider %s is already installed", c->param[1]);
	else
		queue(c, "install", "install-provider", true);
}

void h_provider_uninstall(struct call *c)
{
	queue(c, "uninstall", "uninstall-provider", false);
}

void h_provider_update(struct call *c)
{
	queue(c, "update", "update-provider", true);
}
