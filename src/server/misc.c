/* SPDX-License-Identifier: Apache-2.0 */
/* The small endpoints: health, API keys, server variables, registries, network keys. See srv.h. */
#include "server/srv.h"

#include "base/jsonw.h"
#include "base/kv.h"
#include "base/mem.h"
#include "net/tls.h"

void h_health(struct call *c)
{
	struct buf b = { 0 };

	buf_adds(&b, "{\"status\":\"ok\"}");
	reply_json(c, 200, &b);
}

void h_samples(struct call *c)
{
	struct buf b = { 0 };

	buf_adds(&b, "[]");
	reply_json(c, 200, &b);
}

void h_network_key(struct call *c)
{
	unsigned char raw[24];
	struct buf hex = { 0 }, b = { 0 };
	struct err e = { 0 };

	/* The reference's runner and agent ask for one and do without; its command line would wait for half a minute. */
	if (c->key_type == KEY_CLIENT && !c->s->opt.reference_keys) {
		reply_error(
			c, 501,
			"this Server has no private network, which daytona create, code, ssh "
			"and forward need; use daytona-runner workspace create, ssh and forward");
		return;
	}
	if (crypto_random(raw, sizeof(raw), &e) < 0) {
		reply_error(c, 500, "failed to generate network key: %s", e.msg);
		return;
	}
	buf_add_hex(&hex, raw, sizeof(raw));
	jw_obj(&b);
	jw_kstr(&b, "key", buf_cstr(&hex));
	jw_obj_end(&b);
	reply_json(c, 200, &b);
	buf_free(&hex);
}

/* ?type=join: the calls are about join tokens, which the reference does not have. */
static const char *type_asked(struct call *c)
{
	struct buf b = { 0 };
	bool join = call_query(c, "type", &b) && str_eq(buf_str(&b), "join");

	buf_free(&b);
	return join ? "join" : "client";
}

void h_apikey_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	const struct rec *key = store_find(&c->s->store, K_KEY, "type", type_asked(c));

	for (; key; key = store_find_next(&c->s->store, key, "type")) {
		char until[TIME_TEXT_SIZE];

		if (key_expired(key))
			continue;
		jw_obj(&b);
		key_until(key, until);
		if (until[0])
			jw_kstr(&b, "expires", until);
		rec_write(key, &b, "type", NULL);
		rec_write(key, &b, "name", NULL);
		jw_kbool(&b, "current", key == c->key);
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

static void join_create(struct call *c)
{
	struct buf token = { 0 }, url = { 0 }, ms = { 0 };
	struct err e = { 0 };
	int64_t for_ms = KEY_JOIN_MS;

	call_base_url(c, &url);
	if (call_query(c, "for", &ms) && !str_to_i64(buf_str(&ms), 1, KEY_JOIN_MAX_MS, &for_ms))
		reply_error(c, 400, "for is a number of milliseconds");
	else if (key_join(c->s, c->param[0], for_ms, buf_cstr(&url), &token, &e) < 0)
		reply_error(c, error_status(&e), "failed to make a join token: %s", e.msg);
	else
		reply_text(c, 200, buf_cstr(&token));
	buf_free(&ms);
	buf_free(&url);
	buf_wipe(&token);
}

void h_apikey_create(struct call *c)
{
	if (strcmp(type_asked(c), "join") == 0) {
		join_create(c);
		return;
	}
	char key[API_KEY_SIZE];
	struct err e = { 0 };

	if (key_create(c->s, "client", c->param[0], key, &e) < 0)
		reply_error(c, error_status(&e), "failed to get API keys: %s", e.msg);
	else
		reply_text(c, 200, key);
	mem_wipe(key, sizeof(key));
}

/* Of the keys that are listed; a runner's goes with the runner. */
void h_apikey_delete(struct call *c)
{
	const struct rec *key = key_named(c->s, type_asked(c), c->param[0]);
	struct change *ch = change_begin(&c->s->store);
	struct err e = { 0 };
	int rc = 0;

	if (key && key != c->key) {
		change_remove(ch, key);
		rc = change_commit(ch, &e);
		ch = NULL;
	}
	if (!key)
		reply_error(c, 500, "failed to delete api key: api key not found");
	else if (ch)
		reply_error(c, 403, "cannot delete current api key");
	else if (rc < 0)
		reply_error(c, error_status(&e), "failed to delete api key: %s", e.msg);
	else
		reply_empty(c, 200);
	change_drop(ch);
}

void h_env_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *v = store_first(&c->s->store, K_ENV); v; v = store_next(v)) {
		jw_obj(&b);
		rec_write(v, &b, "key", NULL);
		rec_write(v, &b, "value", NULL);
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

void h_env_set(struct call *c)
{
	struct json body;
	struct err e = { 0 };

	if (!call_body(c, &dto_env, &body))
		return;
	char *key = json_dup_or_empty(json_get(body, "key"));
	const struct rec *old = store_find(&c->s->store, K_ENV, "key", key);
	struct change *ch = change_begin(&c->s->store);
	struct rec *v = old ? change_edit(ch, old) : change_add(ch, K_ENV);

	rec_set(v, "key", key);
	rec_set_value(v, "value", json_get(body, "value"));
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to save environment variable: %s", e.msg);
	else
		reply_empty(c, 201);
	free(key);
}

void h_env_delete(struct call *c)
{
	const struct rec *v = store_find(&c->s->store, K_ENV, "key", c->param[0]);
	struct change *ch = change_begin(&c->s->store);
	struct err e = { 0 };

	if (v)
		change_remove(ch, v);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to remove environment variable: %s",
		            e.msg);
	else
		reply_empty(c, 204);
}

/* The variable of the same prefix with another ending; "" if there is none. */
static const char *sibling(const struct kv *env, const char *key, const char *ending)
{
	struct buf name = { 0 };
	struct str rest = str_of(key);
	const char *value, *at;

	while ((at = str_find(rest, "SERVER")) != NULL) {
		buf_add(&name, rest.p, (size_t)(at - rest.p));
		buf_adds(&name, ending);
		rest = str_of(at + 6);
	}
	buf_add_str(&name, rest);
	value = kv_get(env, buf_cstr(&name));
	buf_free(&name);
	return value ? value : "";
}

/* Server variables, then the workspace's (protocol 3.17). */
void h_registry_get(struct call *c)
{
	struct buf id = { 0 }, b = { 0 };
	struct kv env = { 0 };
	struct err e = { 0 };

	for (const struct rec *v = store_first(&c->s->store, K_ENV); v; v = store_next(v))
		kv_set(&env, rec_text(v, "key"), rec_text(v, "value"));
	if (call_query(c, "workspaceId", &id)) {
		const struct rec *w = store_find_any(&c->s->store, K_WORKSPACE, buf_cstr(&id));
		struct json_doc *doc = w ? json_parse(rec_json(w, "envVars"), SIZE_MAX, &e) : NULL;

		kv_from_json(&env, json_root(doc));
		json_doc_free(doc);
	}
	for (size_t i = 0; i < env.n && !b.n; i++) {
		const struct kv_pair *p = &env.pairs[i];

		if (!str_ends(str_of(p->key), "CONTAINER_REGISTRY_SERVER") ||
		    strcmp(p->value, c->param[0]) != 0)
			continue;
		jw_obj(&b);
		jw_kstr(&b, "server", p->value);
		jw_kstr(&b, "username", sibling(&env, p->key, "USERNAME"));
		jw_kstr(&b, "password", sibling(&env, p->key, "PASSWORD"));
		jw_obj_end(&b);
	}
	if (b.n)
		reply_json(c, 200, &b);
	else
		reply_error(c, 404, "failed to find container registry for server: %s",
		            c->param[0]);
	kv_free(&env);
	buf_free(&id);
}
