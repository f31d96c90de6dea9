/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords and tokens for a registry (distribution project, "token authentication" and "OAuth2"). */
#include "base/json.h"
#include "base/mask.h"
#include "base/mem.h"
#include "oci/registry_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TOKEN_ANSWER_MAX (256u << 10)

const struct registry_login *registry_given_login(const struct registry_options *o,
                                                  const char *host)
{
	for (size_t i = 0; i < o->n_logins; i++)
		if (strcasecmp(o->logins[i].host, host) == 0)
			return &o->logins[i];
	return NULL;
}

static void given_login(struct registry *r)
{
	const struct registry_login *l = registry_given_login(r->o, r->host);

	if (!l)
		return;
	r->login.user = mem_dup(l->user);
	r->login.password = mem_dup(l->password);
	r->login.identity_token = mem_dup(l->identity_token);
	r->login_known = true;
}

static int find_login(struct registry *r, struct deadline d, struct err *e)
{
	if (r->login_known)
		return 0;
	given_login(r);
	if (!r->login_known && r->o->user_logins && login_find(r->host, &r->login, d, e) < 0)
		return -1;
	r->login_known = true;
	return 0;
}

static void basic(const struct login *l, struct buf *out)
{
	struct buf pair = { 0 };

	buf_addf(&pair, "%s:%s", l->user, l->password);
	buf_adds(out, "Basic ");
	buf_add_base64(out, pair.p, pair.n, false, true);
	buf_wipe(&pair);
}

static bool has_password(const struct login *l)
{
	return l->user && l->password;
}

static void add_param(struct buf *b, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	buf_addf(b, "%s%s=", b->n ? "&" : "", name);
	buf_add_urlenc(b, str_of(value));
}

/* A place of tokens gets the password, so it must be as safe as the registry is. */
static int open_realm(const struct registry *r, const struct challenge *c, struct url *u,
                      struct origin *o, struct err *e)
{
	if (url_parse(str_of(c->realm), u, e) < 0)
		return err_wrap(e, "%s names a place for tokens", r->host);
	if (strcmp(u->scheme, "https") != 0 && !(r->plain && strcmp(u->scheme, "http") == 0 &&
	                                         strcmp(u->host, r->origin.url.host) == 0))
		return err_set(e, ERR_DENIED, 0,
		               "%s wants its tokens fetched from %s://%s, which is not encrypted",
		               r->host, u->scheme, u->host);
	return origin_open_url(o, u, r->o, e);
}

static void add_path(const struct url *u, struct buf *b)
{
	buf_adds(b, *u->path ? u->path : "/");
	if (u->query)
		buf_addf(b, "?%s", u->query);
}

static int take_token(struct registry *r, const struct http_reply *reply, struct err *e)
{
	struct json_doc *doc = json_parse(buf_str(&reply->body), TOKEN_ANSWER_MAX, e);
	struct json root = json_root(doc);
	char *token = json_dup_or_empty(json_get(root, "token"));

	if (!*token) {
		free(token);
		token = json_dup_or_empty(json_get(root, "access_token"));
	}
	if (doc && *token) {
		mask_add(str_of(token));
		buf_wipe(&r->authorization);
		buf_addf(&r->authorization, "Bearer %s", token);
	} else if (doc) {
		err_set(e, ERR_PARSE, 0, "the answer holds no token");
	}
	json_doc_free(doc);
	mem_free_secret(token);
	return r->authorization.n ? 0 : -1;
}

/* The request's parts, which it borrows. */
struct token_request {
	struct buf target, form, authorization;
	struct http_field field;
	struct http_request req;
};

/* An identity token is exchanged by POST; else GET, with the password if there is one. */
static void make_request(const struct registry *r, const struct challenge *c, const struct url *u,
                         const char *scope, struct token_request *t)
{
	const struct login *l = &r->login;
	struct buf query = { 0 };

	add_path(u, &t->target);
	add_param(&query, "service", c->service);
	add_param(&query, "scope", c->scope ? c->scope : scope);
	if (l->identity_token) {
		add_param(&query, "grant_type", "refresh_token");
		add_param(&query, "client_id", "daytona-runner");
		add_param(&query, "refresh_token", l->identity_token);
		t->form = query;
		t->req = (struct http_request){
			.method = "POST",
			.body = buf_str(&t->form),
			.content_type = "application/x-www-form-urlencoded"
		};
	} else {
		if (has_password(l)) {
			add_param(&query, "account", l->user);
			basic(l, &t->authorization);
		}
		buf_addf(&t->target, "%c%s", u->query ? '&' : '?', buf_cstr(&query));
		buf_free(&query);
		t->field = (struct http_field){ "Authorization", buf_cstr(&t->authorization) };
		t->req = (struct http_request){ .method = "GET",
			                        .fields = &t->field,
			                        .n_fields = t->authorization.n ? 1 : 0 };
	}
	t->req.target = buf_cstr(&t->target);
	t->req.max_body = TOKEN_ANSWER_MAX;
}

static int fetch_token(struct registry *r, const struct challenge *c, const char *scope,
                       struct deadline d, struct err *e)
{
	struct token_request t = { 0 };
	struct http_reply reply = { 0 };
	struct origin o = { 0 };
	struct url u = { 0 };
	int attempts = 0, rc = open_realm(r, c, &u, &o, e);

	buf_wipe(&r->authorization);
	if (rc == 0)
		make_request(r, c, &u, scope, &t);
	do
		rc = rc < 0 ? -1
		            : http_do(o.http, &t.req, &reply,
		                      deadline_min(d, deadline_in_ms(REGISTRY_CALL_MS)), e);
	while (rc == 0 && registry_again(r, &reply, &attempts, d));
	if (rc == 0 && reply.status != 200)
		rc = registry_refused(r, &reply, "token", e);
	if (rc == 0)
		rc = take_token(r, &reply, e);
	if (rc < 0)
		err_wrap(e, "token for %s", r->host);
	http_reply_free(&reply);
	origin_close(&o);
	url_free(&u);
	buf_wipe(&t.form);
	buf_wipe(&t.authorization);
	buf_wipe(&t.target);
	return rc;
}

int registry_authorize(struct registry *r, const struct http_reply *reply, const char *scope,
                       struct deadline d, struct err *e)
{
	struct challenge c = { 0 };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < reply->h.n_headers; i++)
		if (str_ieq(reply->h.headers[i].name, "WWW-Authenticate"))
			rc = challenge_add(&c, reply->h.headers[i].value, e);
	if (rc == 0)
		rc = find_login(r, d, e);
	if (rc == 0 && c.kind == CHALLENGE_BEARER)
		rc = fetch_token(r, &c, scope, d, e);
	else if (rc == 0 && c.kind == CHALLENGE_BASIC && has_password(&r->login)) {
		buf_wipe(&r->authorization);
		basic(&r->login, &r->authorization);
	} else if (rc == 0)
		rc = err_set(e, ERR_DENIED, 401,
		             c.kind == CHALLENGE_BASIC
		                     ? "%s wants a user and a password, and none is known for it: "
		                       "docker login, or the runner's container registries"
		                     : "%s wants a login of a kind that is not known here",
		             r->host);
	challenge_free(&c);
	return rc;
}
