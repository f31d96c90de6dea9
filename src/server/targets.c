/* SPDX-License-Identifier: Apache-2.0 */
/* Target configs and targets (protocol 3.8 to 3.10, 3.16, 11.7). See srv.h. */
#include "server/resources.h"

#include "base/jsonw.h"
#include "base/mem.h"

static unsigned options_flag(struct call *c)
{
	return call_query_true(c, "showOptions") ? VIEW_OPTIONS : 0;
}

static struct rec *config_find(const struct srv *s, const char *id_or_name)
{
	for (struct rec *r = s->store.first[K_CONFIG]; r; r = r->next)
		if (!rec_bool(r, "deleted") &&
		    (rec_is(r, "id", id_or_name) || rec_is(r, "name", id_or_name)))
			return r;
	return NULL;
}

void h_target_config_list(struct call *c)
{
	unsigned flags = options_flag(c);
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *r = c->s->store.first[K_CONFIG]; r; r = r->next)
		if (!rec_bool(r, "deleted"))
			view_config(&b, r, flags);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

static struct rec *config_create(struct srv *s, struct json body, struct err *e)
{
	struct json info = json_get(body, "providerInfo");
	char *name = json_dup_or_empty(json_get(body, "name"));
	struct buf id = { 0 }, provider = { 0 };
	struct rec *r = NULL;

	if (config_find(s, name)) {
		err_set(e, ERR_EXISTS, 0, "target config with the same name already exists");
	} else if (new_hex_id(&id, e) == 0) {
		normal_provider(&provider, info);
		r = store_add(&s->store, K_CONFIG);
		rec_set(r, "id", buf_cstr(&id));
		rec_set(r, "name", name);
		rec_set_json(r, "providerInfo", buf_str(&provider));
		rec_set_value(r, "options", json_get(body, "options"));
		rec_set_bool(r, "deleted", false);
		rec_set_value(r, "runnerId", json_get(info, "runnerId"));
		rec_set_bool(r, "agentless", json_bool(json_get(info, "agentlessTarget"), false));
		if (store_save(&s->store, r, e) < 0)
			r = NULL;
	}
	free(name);
	buf_free(&id);
	buf_free(&provider);
	return r;
}

void h_target_config_create(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (!call_body(c, &dto_create_config, &body))
		return;
	const struct rec *r = config_create(c->s, body, &e);

	if (!r) {
		reply_error(c, 500, "failed to set target config: %s", e.msg);
		return;
	}
	view_config(&b, r, options_flag(c));
	reply_json(c, 200, &b);
}

void h_target_config_delete(struct call *c)
{
	struct rec *r = config_find(c->s, c->param[0]);
	struct err e = { 0 };

	if (!r) {
		reply_error(c, 500, "failed to delete target config: target config not found");
		return;
	}
	rec_set_bool(r, "deleted", true);
	if (store_save(&c->s->store, r, &e) < 0)
		reply_error(c, 500, "failed to delete target config: %s", e.msg);
	else
		reply_empty(c, 204);
}

static unsigned hide_flag(const struct call *c)
{
	return c->key_type == KEY_CLIENT ? VIEW_HIDE : 0;
}

void h_target_list(struct call *c)
{
	unsigned flags = options_flag(c) | hide_flag(c) | VIEW_STATE;
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *t = c->s->store.first[K_TARGET]; t; t = t->next)
		if (!is_deleted(c->s, t))
			view_target(c->s, &b, t, flags);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

void h_target_get(struct call *c)
{
	bool deleted;
	const struct rec *t = find_live(c->s, K_TARGET, c->param[0], &deleted);
	struct buf b = { 0 };

	if (!t) {
		reply_error(c, 404, "failed to find target: target %s",
		            deleted ? "is deleted" : "not found");
		return;
	}
	view_target(c->s, &b, t, options_flag(c) | hide_flag(c) | VIEW_STATE);
	reply_json(c, 200, &b);
}

static bool id_in_use(struct srv *s, const char *id)
{
	struct rec *old = store_find_any(&s->store, K_TARGET, id);
	struct err e = { 0 };

	/* The id of a deleted one is free again. */
	return old && (!is_deleted(s, old) || store_remove(&s->store, old, &e) < 0);
}

static struct rec *target_create(struct call *c, struct json body, struct err *e)
{
	struct srv *s = c->s;
	char *id = json_dup_or_empty(json_get(body, "id"));
	char *name = json_dup_or_empty(json_get(body, "name"));
	char *config_id = json_dup_or_empty(json_get(body, "targetConfigId"));
	const struct rec *config = config_find(s, config_id);
	struct buf env = { 0 };
	char key[API_KEY_SIZE] = "", now[STAMP_SIZE];
	struct rec *t = NULL;

	if (id_in_use(s, id)) {
		err_set(e, ERR_EXISTS, 0, "target already exists");
	} else if (!config) {
		err_set(e, ERR_NOT_FOUND, 0, "target config not found");
	} else if (!resource_name_ok(name)) {
		err_set(e, ERR_USAGE, 0, "name is not a valid alphanumeric string");
	} else if (job_in_progress(s, "target", id)) {
		err_set(e, ERR_BUSY, 0, "another job is in progress");
	} else if (key_create(s, "target", id, key, e) == 0) {
		resource_env(c, &env, id, NULL, NULL, key, (struct json){ 0 });
		stamp_now(now);
		t = store_add(&s->store, K_TARGET);
		rec_set(t, "id", id);
		rec_set(t, "name", name);
		rec_set(t, "targetConfigId", rec_text(config, "id"));
		rec_set_json(t, "envVars", buf_str(&env));
		rec_set(t, "apiKey", key);
		rec_set_bool(t, "default", false);
		rec_set(t, "providerMetadata", NULL);
		rec_set(t, "mdUpdated", now);
		rec_set_int(t, "mdUptime", 0);
		if (store_save(&s->store, t, e) < 0) {
			key_delete(s, "target", id);
			t = NULL;
		} else if (job_create(s, "target", id, rec_get(config, "runnerId"), "create", NULL,
		                      e) < 0) {
			struct err ignored = { 0 };

			store_remove(&s->store, t, &ignored);
			key_delete(s, "target", id);
			t = NULL;
		}
	}
	mem_wipe(key, sizeof(key));
	buf_wipe(&env);
	free(id);
	free(name);
	free(config_id);
	return t;
}

void h_target_create(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (!call_body(c, &dto_create_target, &body))
		return;
	const struct rec *t = target_create(c, body, &e);

	if (!t) {
		reply_error(c, 500, "failed to create target: %s", e.msg);
		return;
	}
	/* Here the reference shows the variables to every caller, and no metadata. */
	view_target(c->s, &b, t, VIEW_NESTED);
	reply_json(c, 200, &b);
}

void h_target_delete(struct call *c)
{
	resource_delete(c, K_TARGET);
}

void h_target_start(struct call *c)
{
	resource_act(c, K_TARGET, "start");
}

void h_target_stop(struct call *c)
{
	resource_act(c, K_TARGET, "stop");
}

void h_target_restart(struct call *c)
{
	resource_act(c, K_TARGET, "restart");
}

void h_target_state(struct call *c)
{
	resource_state(c, K_TARGET);
}

void h_target_metadata(struct call *c)
{
	resource_metadata(c, K_TARGET);
}

void h_target_provider_metadata(struct call *c)
{
	resource_provider_metadata(c, K_TARGET);
}

static int make_default(struct srv *s, const char *id_or_name, struct err *e)
{
	bool deleted;
	struct rec *target = find_live(s, K_TARGET, id_or_name, &deleted);

	if (!target)
		return err_set(e, ERR_NOT_FOUND, 0, "target not found");
	for (struct rec *t = s->store.first[K_TARGET], *next; t; t = next) {
		next = t->next;
		if (t == target || !rec_bool(t, "default"))
			continue;
		rec_set_bool(t, "default", false);
		if (store_save(&s->store, t, e) < 0)
			return -1;
	}
	rec_set_bool(target, "default", true);
	return store_save(&s->store, target, e);
}

void h_target_created(struct call *c)
{
	struct err e = { 0 };

	if (make_default(c->s, c->param[0], &e) < 0)
		reply_error(c, 404, "failed to handle successful creation of target: %s", e.msg);
	else
		reply_empty(c, 200);
}

void h_target_default(struct call *c)
{
	struct err e = { 0 };

	if (make_default(c->s, c->param[0], &e) < 0)
		reply_error(c, 404, "failed to set target to default: %s", e.msg);
	else
		reply_empty(c, 200);
}
