/* SPDX-License-Identifier: Apache-2.0 */
/* See resources.h; protocol 1.2, 3.7, 3.10, 10.6, 11.7. */
#include "server/resources.h"

#include "base/jsonw.h"
#include "base/kv.h"
#include "base/mem.h"
#include "server/tunnels.h"

#include <errno.h>

static const char *word(enum kind kind)
{
	return kind == K_TARGET ? "target" : "workspace";
}

bool resource_name_ok(const char *name)
{
	return name[0] && strcmp(name, ".") != 0 &&
	       name[strspn(name,
	                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
	               '\0';
}

void resource_env(struct call *c, struct buf *b, const char *target_id, const char *workspace_id,
                  const char *repo_url, const char *api_key, struct json own)
{
	struct buf server = { 0 }, api = { 0 }, client = { 0 }, text = { 0 };
	struct kv env = { 0 };
	struct err e = { 0 };
	struct str given = http_head_get(c->r->head, "X-Daytona-Client-Id");

	srv_config_urls(c, &server, &api);
	if (given.n && given.n <= 64)
		buf_add_str(&client, given);
	else
		new_uuid(&client, &e); /* only telemetry would miss it */
	kv_set(&env, "DAYTONA_TARGET_ID", target_id);
	if (workspace_id) {
		kv_set(&env, "DAYTONA_WORKSPACE_ID", workspace_id);
		kv_set(&env, "DAYTONA_WORKSPACE_REPOSITORY_URL", repo_url);
	}
	kv_set(&env, "DAYTONA_SERVER_API_KEY", api_key);
	kv_set(&env, "DAYTONA_SERVER_VERSION", c->s->opt.version);
	kv_set(&env, "DAYTONA_SERVER_URL", buf_cstr(&server));
	kv_set(&env, "DAYTONA_SERVER_API_URL", buf_cstr(&api));
	kv_set(&env, "DAYTONA_CLIENT_ID", buf_cstr(&client));
	kv_set(&env, "DAYTONA_AGENT_LOG_FILE_PATH", "(HOME)/.daytona-agent.log");
	kv_set(&env, "DAYTONA_TELEMETRY_ENABLED", "true");
	/* Values like "$NAME" stay as they are: whoever makes a workspace could read our environment. */
	kv_from_json(&env, own);
	kv_to_json(&env, &text);
	struct json_doc *doc = json_parse(buf_str(&text), SIZE_MAX, &e);

	normal_map(b, json_root(doc));
	json_doc_free(doc);
	kv_free(&env);
	buf_wipe(&text);
	buf_free(&server);
	buf_free(&api);
	buf_free(&client);
}

const struct rec *resource_config(const struct srv *s, const struct rec *r)
{
	const struct rec *target = r;

	if (rec_kind(r) == K_WORKSPACE)
		target = store_find(&s->store, K_TARGET, "id", rec_text(r, "targetId"));

	if (!target)
		return NULL;
	return store_find(&s->store, K_CONFIG, "id", rec_text(target, "targetConfigId"));
}

int error_status(const struct err *e)
{
	bool full = e->kind == ERR_SYS && (e->code == ENOSPC || e->code == EDQUOT);

	return full ? 507 : 500;
}

static const char *runner_of(const struct srv *s, const struct rec *r)
{
	const struct rec *config = resource_config(s, r);

	return config ? rec_get(config, "runnerId") : NULL;
}

void resource_act(struct call *c, enum kind kind, const char *action)
{
	bool deleted;
	const struct rec *r = find_live(c->s, kind, c->param[0], &deleted);
	const struct rec *config = r ? resource_config(c->s, r) : NULL;
	struct err e = { 0 };
	int rc;

	if (!r)
		rc = err_set(&e, ERR_NOT_FOUND, 0, "%s not found", word(kind));
	else if (kind == K_TARGET && config && rec_bool(config, "agentless"))
		rc = err_set(&e, ERR_UNSUPPORTED, 0, "provider uses an agentless target");
	else
		rc = job_create(c->s, word(kind), rec_text(r, "id"), runner_of(c->s, r), action,
		                NULL, &e);
	if (rc < 0)
		reply_error(c, error_status(&e), "failed to %s %s %s: %s", action, word(kind),
		            c->param[0], e.msg);
	else
		reply_empty(c, 200);
}

/* The resource stays until the job is done; only its name, key and heartbeat go. */
static int begin_delete(struct srv *s, const struct rec *r, bool force, struct err *e)
{
	enum kind kind = (enum kind)rec_kind(r);
	struct change *ch = change_begin(&s->store);
	struct buf name = { 0 };
	struct rec *draft;

	const char *runner = runner_of(s, r), *id = rec_text(r, "id");
	bool orphan = !resource_config(s, r) ||
	              (runner && !store_find(&s->store, K_RUNNER, "id", runner));
	int rc;

	/* What a runner made that is registered no more, or that is not known any more, nobody can
	 * remove: it is forgotten. */
	if (force && orphan)
		rc = job_add_done(s, ch, word(kind), id, runner, "force-delete", e);
	else
		rc = job_add(s, ch, word(kind), id, runner, force ? "force-delete" : "delete", NULL,
		             e);
	if (rc < 0) {
		change_drop(ch);
		return -1;
	}
	draft = change_edit(ch, r);
	buf_addf(&name, "_DELETED_%s_DELETED_", rec_text(r, "name"));
	rec_set(draft, "name", buf_cstr(&name));
	rec_set(draft, "mdUpdated", NULL);
	if (kind == K_TARGET && !force)
		rec_set_bool(draft, "default", false);
	buf_free(&name);
	key_remove(s, ch, word(kind), rec_text(r, "id"));
	return change_commit(ch, e);
}

void resource_delete(struct call *c, enum kind kind)
{
	bool deleted, force;
	const struct rec *r = find_live(c->s, kind, c->param[0], &deleted);
	struct err e = { 0 };

	if (!call_force(c, &force))
		return;
	if (!r)
		reply_error(c, 500, "failed to delete %s: %s not found", word(kind), word(kind));
	else if (begin_delete(c->s, r, force, &e) < 0)
		reply_error(c, error_status(&e), "failed to delete %s: %s", word(kind), e.msg);
	else
		reply_empty(c, 200);
}

void resource_state(struct call *c, enum kind kind)
{
	bool deleted;
	const struct rec *r = find_live(c->s, kind, c->param[0], &deleted);
	struct state st;
	struct buf b = { 0 };

	if (!r) {
		reply_error(c, 404, "failed to find %s: %s %s", word(kind), word(kind),
		            deleted ? "is deleted" : "not found");
		return;
	}
	state_of(c->s, r, &st);
	view_state(&b, &st);
	reply_json(c, 200, &b);
}

void resource_provider_metadata(struct call *c, enum kind kind)
{
	struct json body;
	struct err e = { 0 };

	if (!call_body(c,
	               kind == K_TARGET ? &dto_provider_metadata_target
	                                : &dto_provider_metadata_workspace,
	               &body))
		return;
	bool deleted;
	const struct rec *r = find_live(c->s, kind, c->param[0], &deleted);

	if (!r) {
		reply_error(c, 500, "failed to update %s provider metadata for %s: %s not found",
		            word(kind), c->param[0], word(kind));
		return;
	}
	struct change *ch = change_begin(&c->s->store);

	rec_set_value(change_edit(ch, r), "providerMetadata", json_get(body, "metadata"));
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to update %s provider metadata for %s: %s",
		            word(kind), c->param[0], e.msg);
	else
		reply_empty(c, 200);
}

void resource_metadata(struct call *c, enum kind kind)
{
	struct json body;
	char now[STAMP_SIZE];

	if (!call_body(c, kind == K_TARGET ? &dto_target_metadata : &dto_workspace_metadata, &body))
		return;
	const struct rec *r = store_find(&c->s->store, kind, "id", c->param[0]);

	if (!r || !rec_has(r, "mdUpdated")) {
		reply_error(c, 500, "failed to set %s metadata for %s: %s metadata not found",
		            word(kind), c->param[0], word(kind));
		return;
	}
	struct change *ch = change_begin(&c->s->store);
	struct rec *draft = change_edit(ch, r);

	stamp_now(now);
	rec_set(draft, "mdUpdated", now);
	rec_set_value(draft, "mdUptime", json_get(body, "uptime"));
	if (kind == K_WORKSPACE) {
		struct buf git = { 0 };

		normal_git_status(&git, json_get(body, "gitStatus"));
		rec_set_json(draft, "mdGit", buf_str(&git));
		buf_free(&git);
	}
	change_beat(ch); /* kept in memory: it is worthless after 30 s */
	if (kind == K_WORKSPACE)
		tunnels_offer(c);
	else
		reply_empty(c, 200);
}
