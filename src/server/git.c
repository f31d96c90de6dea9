/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Git provider configs (protocol 3.11, 3.12). A git host is asked by git_browse.c alone: a config fits
 * a repository when the host is the provider's own, or that of its base API URL.
 */
#include "server/git.h"
#include "server/role.h"

#include "base/jsonw.h"
#include "base/mem.h"

static const struct {
	const char *id, *host; /* host NULL: that of the base API URL */
} providers[] = {
	{ "github", "github.com" },
	{ "github-enterprise-server", NULL },
	{ "gitlab", "gitlab.com" },
	{ "gitlab-self-managed", NULL },
	{ "bitbucket", "bitbucket.org" },
	{ "bitbucket-server", NULL },
	{ "codeberg", "codeberg.org" },
	{ "gitea", NULL },
	{ "gitness", NULL },
	{ "azure-devops", "dev.azure.com" },
	{ "aws-codecommit", NULL },
	{ "gogs", NULL },
	{ "gitee", "gitee.com" },
};

/* host NULL: of a URL without one, which no provider serves. */
static bool fits(const struct rec *provider, const char *host)
{
	const char *own = NULL;
	bool ok;

	if (!host)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (rec_is(provider, "providerId", providers[i].id))
			own = providers[i].host;
	if (own)
		return strcmp(own, host) == 0;
	char *base = git_host(rec_text(provider, "baseApiUrl"));

	ok = base && strcmp(base, host) == 0;
	free(base);
	return ok;
}

bool git_same_host(const struct rec *r, const char *url)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(rec_json(r, "repository"), SIZE_MAX, &e);
	char *own = json_dup_or_empty(json_get(json_root(doc), "url"));
	char *a = git_host(own), *b = git_host(url);
	bool same = a && b && strcmp(a, b) == 0;

	json_doc_free(doc);
	free(own);
	free(a);
	free(b);
	return same;
}

/* A workspace that has a config of its own is shown no other one of the same host. */
static bool may_see(const struct call *c, const struct rec *provider)
{
	const struct rec *w = NULL;

	if (c->key_type == KEY_WORKSPACE && !c->s->opt.reference_keys)
		w = store_find(&c->s->store, K_WORKSPACE, "id", rec_text(c->key, "name"));
	return !w || !rec_has(w, "gitProviderConfigId") || role_owns(c, provider);
}

static size_t matches(const struct srv *s, const char *url, const struct rec **first)
{
	char *host = git_host(url);
	size_t n = 0;

	for (const struct rec *provider = store_first(&s->store, K_GIT); provider;
	     provider = store_next(provider)) {
		if (!fits(provider, host))
			continue;
		if (n++ == 0)
			*first = provider;
	}
	free(host);
	return n;
}

int git_adopt(const struct srv *s, const char *url, char **id, struct err *e)
{
	const struct rec *provider = NULL;
	size_t n = matches(s, url, &provider);

	if (n > 1)
		return err_set(e, ERR_EXISTS, 0,
		               "multiple git provider configs found for the repository url");
	if (n == 1) {
		free(*id);
		*id = mem_dup(rec_text(provider, "id"));
	}
	return 0;
}

/* As Go's url.QueryEscape: what a client pastes into a URL. */
static char *escaped(const char *text)
{
	struct buf b = { 0 }, plus = { 0 };

	buf_add_urlenc(&b, str_of(text));
	for (const char *p = buf_cstr(&b); *p; p++) {
		if (strncmp(p, "%20", 3) == 0) {
			buf_addc(&plus, '+');
			p += 2;
		} else {
			buf_addc(&plus, *p);
		}
	}
	buf_wipe(&b);
	return buf_take(&plus);
}

static void view(const struct call *c, struct buf *b, const struct rec *provider, bool for_url)
{
	static const char *const optional[] = { "baseApiUrl", "signingKey", "signingMethod" };
	char *username = for_url ? escaped(rec_text(provider, "username"))
	                         : mem_dup(rec_text(provider, "username"));
	char *token = for_url ? escaped(rec_text(provider, "token"))
	                      : mem_dup(rec_text(provider, "token"));

	jw_obj(b);
	rec_write(provider, b, "id", NULL);
	rec_write(provider, b, "providerId", NULL);
	jw_kstr(b, "username", username);
	jw_kstr(b, "token", c->key_type == KEY_CLIENT ? "" : token);
	rec_write(provider, b, "alias", NULL);
	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		if (rec_has(provider, optional[i]))
			rec_write(provider, b, optional[i], NULL);
	jw_obj_end(b);
	free(username);
	mem_free_secret(token);
}

void h_git_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *provider = store_first(&c->s->store, K_GIT); provider;
	     provider = store_next(provider))
		view(c, &b, provider, false);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

void h_git_get(struct call *c)
{
	const struct rec *provider = store_find(&c->s->store, K_GIT, "id", c->param[0]);
	struct buf b = { 0 };

	if (!provider) {
		reply_error(c, 500, "git provider config not found");
		return;
	}
	view(c, &b, provider, false);
	reply_json(c, 200, &b);
}

static void reply_null(struct call *c)
{
	struct buf b = { 0 };

	buf_adds(&b, "null");
	reply_json(c, 200, &b);
}

static bool known_provider(struct json id)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (json_str_is(id, providers[i].id))
			return true;
	return false;
}

/* A config without an alias is called after its user, numbered when that is taken. */
static void set_alias(const struct srv *s, struct rec *provider)
{
	struct buf alias = { 0 };
	const char *base = rec_text(provider, "username")[0] ? rec_text(provider, "username")
	                                                     : rec_text(provider, "providerId");

	buf_adds(&alias, base);
	for (int i = 2; store_find(&s->store, K_GIT, "alias", buf_cstr(&alias)); i++) {
		buf_reset(&alias);
		buf_addf(&alias, "%s%d", base, i);
	}
	rec_set(provider, "alias", buf_cstr(&alias));
	buf_free(&alias);
}

void h_git_set(struct call *c)
{
	static const char *const optional[] = { "baseApiUrl", "signingKey", "signingMethod" };
	struct json body;
	struct err e = { 0 };
	char fresh[ID_SIZE];

	if (!call_body(c, &dto_git, &body))
		return;
	if (!known_provider(json_get(body, "providerId"))) {
		reply_error(c, 500, "failed to set git provider: git provider not found");
		return;
	}
	char *id = json_dup_or_empty(json_get(body, "id"));
	const struct rec *old = store_find(&c->s->store, K_GIT, "id", id);

	if (!id[0] && new_id(fresh, &e) < 0) {
		reply_error(c, 500, "failed to set git provider: %s", e.msg);
		free(id);
		return;
	}
	struct change *ch = change_begin(&c->s->store);
	struct rec *provider = old ? change_edit(ch, old) : change_add(ch, K_GIT);

	rec_set(provider, "id", id[0] ? id : fresh);
	rec_set_value(provider, "providerId", json_get(body, "providerId"));
	rec_set_value(provider, "token", json_get(body, "token"));
	char *username = json_dup_or_empty(json_get(body, "username"));

	rec_set(provider, "username", username);
	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		rec_set_value(provider, optional[i], json_get(body, optional[i]));
	if (json_is_string(json_get(body, "alias")) && !json_str_is(json_get(body, "alias"), ""))
		rec_set_value(provider, "alias", json_get(body, "alias"));
	else if (!rec_get(provider, "alias"))
		set_alias(c->s, provider);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to set git provider: %s", e.msg);
	else
		reply_null(c);
	if (e.kind == ERR_NONE)
		hooks_hurry(c->s);
	free(username);
	free(id);
}

void h_git_delete(struct call *c)
{
	const struct rec *provider = store_find(&c->s->store, K_GIT, "id", c->param[0]);
	struct change *ch = change_begin(&c->s->store);
	struct err e = { 0 };

	if (provider)
		change_remove(ch, provider);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to remove git provider: %s", e.msg);
	else if (!provider)
		reply_error(c, 500, "failed to remove git provider: git provider config not found");
	else
		reply_null(c);
}

/* The parameter is escaped once more than the path (protocol 3.12). False: answered. */
static bool url_param(struct call *c, struct buf *url)
{
	if (buf_add_urldec(url, str_of(c->param[0]), true))
		return true;
	reply_error(c, 400, "failed to decode query param: invalid URL escape");
	return false;
}

void h_git_for_url(struct call *c)
{
	struct buf url = { 0 }, b = { 0 };
	const struct rec *first = NULL;

	if (!url_param(c, &url))
		return;
	size_t n = matches(c->s, buf_cstr(&url), &first);
	char *host = git_host(buf_cstr(&url));

	for (const struct rec *provider = n ? first : NULL; provider;
	     provider = store_next(provider)) {
		if (!fits(provider, host) || !may_see(c, provider))
			continue;
		if (!b.n)
			jw_arr(&b);
		view(c, &b, provider, true);
	}
	if (b.n)
		jw_arr_end(&b);
	else
		buf_adds(&b, "null");
	reply_json(c, 200, &b);
	free(host);
	buf_free(&url);
}

void h_git_id_for_url(struct call *c)
{
	struct buf url = { 0 };
	const struct rec *first = NULL;
	const char *id = NULL;

	if (!url_param(c, &url))
		return;
	char *host = git_host(buf_cstr(&url));

	for (size_t i = 0; host && i < ARRAY_LEN(providers); i++)
		if (providers[i].host && strcmp(providers[i].host, host) == 0)
			id = providers[i].id;
	if (!id && matches(c->s, buf_cstr(&url), &first))
		id = rec_text(first, "providerId");
	if (id)
		reply_text(c, 200, id);
	else
		reply_error(c, 500, "failed to get git provider for url: git provider not found");
	free(host);
	buf_free(&url);
}

static const struct dto_field context_fields[] = {
	{ .json = "url", .type = DTO_STRING, .required = true },
	{ .json = "branch", .type = DTO_STRING, .required = false },
	{ .json = "sha", .type = DTO_STRING, .required = false },
};
static const struct dto dto_context = { "GetRepositoryContext", "gitprovider", context_fields,
	                                ARRAY_LEN(context_fields) };

void h_git_context(struct call *c)
{
	struct json body;

	if (!call_body(c, &dto_context, &body))
		return;
	char *url = json_dup_or_empty(json_get(body, "url"));
	char *branch = json_dup_or_empty(json_get(body, "branch"));
	char *sha = json_dup_or_empty(json_get(body, "sha"));

	browse_context(c, url, branch, sha);
	free(url);
	free(branch);
	free(sha);
}

void h_git_context_url(struct call *c)
{
	struct json body;
	struct buf b = { 0 };

	if (!call_body(c, &dto_context, &body))
		return;
	char *url = json_dup_or_empty(json_get(body, "url"));

	jw_obj(&b);
	jw_kstr(&b, "url", url);
	jw_obj_end(&b);
	reply_json(c, 200, &b);
	free(url);
}
