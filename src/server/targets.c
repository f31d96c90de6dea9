/* SPDX-License-Identifier: Apache-2.0 */
/* Target configs and targets (protocol 3.8 to 3.10, 3.16, 11.7). See srv.h. */
#include "server/resources.h"
#include "server/role.h"

#include "base/jsonw.h"
#include "base/mem.h"

static unsigned options_flag(struct call *c)
{
	return call_query_true(c, "showOptions") ? role_options(c) : 0;
}

static const struct rec *config_find(const struct srv *s, const char *id_or_name)
{
	static const char *const by[] = { "id", "name" };

	for (size_t i = 0; i < ARRAY_LEN(by); i++) {
		const struct rec *r = store_find(&s->store, K_CONFIG, by[i], id_or_name);

		for (; r; r = store_find_next(&s->store, r, by[i]))
			if (!rec_bool(r, "deleted"))
				return r;
	}
	return NULL;
}

void h_target_config_list(struct call *c)
{
	unsigned flags = options_flag(c);
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *r = store_first(&c->s->store, K_CONFIG); r; r = store_next(r))
		if (!rec_bool(r, "deleted") && role_owns(c, r))
			view_config(&b, r, flags);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

static const struct rec *config_create(struct srv *s, struct json body, struct err *e)
{
	struct json info = json_get(body, "providerInfo");
	char *name = json_dup_or_empty(json_get(body, "name"));
	struct buf id = { 0 }, provider = { 0 };
	struct rec *r = NULL;

	if (config_find(s, name)) {
		err_set(e, ERR_EXISTS, 0, "target config with the same name already exists");
	} else if (new_hex_id(&id, e) == 0) {
		normal_provider(&provider, info);
		struct change *ch = change_begin(&s->store);

		r = change_add(ch, K_CONFIG);
		rec_set(r, "id", buf_cstr(&id));
		rec_set(r, "name", name);
		rec_set_json(r, "providerInfo", buf_str(&provider));
		rec_set_value(r, "options", json_get(body, "options"));
		rec_set_bool(r, "deleted", false);
		rec_set_value(r, "runnerId", json_get(info, "runnerId"));
		rec_set_bool(r, "agentless", json_bool(json_get(info, "agentlessTarget"), false));
		if (change_commit(ch, e) < 0)
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
	char *runner = json_dup_or_empty(json_get(json_get(body, "providerInfo"), "runnerId"));
	bool own = role_owns_runner(c, runner);

	free(runner);
	if (!own) {
		reply_error(c, 403, "forbidden: providerInfo.runnerId is another runner");
		return;
	}
	const struct rec *r = config_create(c->s, body, &e);

	if (!r) {
		reply_error(c, error_status(&e), "failed to set target config: %s", e.msg);
		return;
	}
	view_config(&b, r, options_flag(c));
	reply_json(c, 200, &b);
}

void h_target_config_delete(struct call *c)
{
	const struct rec *r = config_find(c->s, c->param[0]);
	struct err e = { 0 };

	if (!r) {
		reply_error(c, 500, "failed to delete target config: target config not found");
		return;
	}
	struct change *ch = change_begin(&c->s->store);

	rec_set_bool(change_edit(ch, r), "deleted", true);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to delete target config: %s", e.msg);
	else
		reply_empty(c, 204);
}

void h_target_list(struct call *c)
{
	unsigned flags = options_flag(c) | role_hides(c, K_TARGET) | VIEW_STATE;
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *t = store_first(&c->s->store, K_TARGET); t; t = store_next(t))
		if (!is_deleted(c->s, t) && role_owns(c, t))
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
	view_target(c->s, &b, t, options_flag(c) | role_hides(c, K_TARGET) | VIEW_STATE);
	reply_json(c, 200, &b);
}

/* Adds target, key and job to a change; NULL with e. */
static const struct rec *target_add(struct call *c, struct change *ch, const char *id,
                                    const char *name, const struct rec *config, struct err *e)
{
	struct srv *s = c->s;
	struct buf env = { 0 };
	char key[API_KEY_SIZE] = "", now[STAMP_SIZE];
	struct rec *t = NULL;

	if (key_add(s, ch, "target", id, key, e) == 0) {
		resource_env(c, &env, id, NULL, NULL, key, (struct json){ 0 });
		stamp_now(now);
		t = change_add(ch, K_TARGET);
		rec_set(t, "id", id);
		rec_set(t, "name", name);
		rec_set(t, "targetConfigId", rec_text(config, "id"));
		rec_set_json(t, "envVars", buf_str(&env));
		rec_set(t, "apiKey", key);
		rec_set_bool(t, "default", false);
		rec_set(t, "providerMetadata", NULL);
		rec_set(t, "mdUpdated", now);
		rec_set_int(t, "mdUptime", 0);
		if (job_add(s, ch, "target", id, rec_get(config, "runnerId"), "create", NULL, e) <
		    0)
			t = NULL;
	}
	mem_wipe(key, sizeof(key));
	buf_wipe(&env);
	return t;
}

static const struct rec *target_create(struct call *c, struct json body, struct err *e)
{
	struct srv *s = c->s;
	char *id = json_dup_or_empty(json_get(body, "id"));
	char *name = json_dup_or_empty(json_get(body, "name"));
	char *config_id = json_dup_or_empty(json_get(body, "targetConfigId"));
	const struct rec *config = config_find(s, config_id), *t = NULL;
	const struct rec *old = store_find_any(&s->store, K_TARGET, id);
	const struct rec *namesake = store_find(&s->store, K_TARGET, "id", name);
	struct change *ch = change_begin(&s->store);

	/* Both are looked up as id or name: none may be another's. */
	if ((old && !is_deleted(s, old)) || (namesake && !is_deleted(s, namesake))) {
		err_set(e, ERR_EXISTS, 0, "target already exists");
	} else if (!config) {
		err_set(e, ERR_NOT_FOUND, 0, "target config not found");
	} else if (!resource_name_ok(name)) {
		err_set(e, ERR_USAGE, 0, "name is not a valid alphanumeric string");
	} else {
		if (old)
			change_remove(ch, old); /* the id of a deleted one is free again */
		t = target_add(c, ch, id, name, config, e);
	}
	if (!t)
		change_drop(ch);
	else if (change_commit(ch, e) < 0)
		t = NULL;
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
		reply_error(c, error_status(&e), "failed to create target: %s", e.msg);
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
	const struct rec *target = find_live(s, K_TARGET, id_or_name, &deleted);
	const struct rec *t = store_find(&s->store, K_TARGET, "default", "true");

	if (!target)
		return err_set(e, ERR_NOT_FOUND, 0, "target not found");
	struct change *ch = change_begin(&s->store);

	for (; t; t = store_find_next(&s->store, t, "default"))
		rec_set_bool(change_edit(ch, t), "default", false);
	rec_set_bool(change_edit(ch, target), "default", true);
	return change_commit(ch, e);
}

/* 404 for an unknown target, as the reference; what could not be kept is said as such. */
static void set_default(struct call *c, const char *what)
{
	struct err e = { 0 };

	if (make_default(c->s, c->param[0], &e) == 0)
		reply_empty(c, 200);
	else
		reply_error(c, e.kind == ERR_NOT_FOUND ? 404 : error_status(&e), "failed to %s: %s",
		            what, e.msg);
}

void h_target_created(struct call *c)
{
	set_default(c, "handle successful creation of target");
}

void h_target_default(struct call *c)
{
	set_default(c, "set target to default");
}
