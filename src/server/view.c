/* SPDX-License-Identifier: Apache-2.0 */
/* Resources as the Server shows them (protocol 11). See srv.h. */
#include "server/srv.h"

#include "base/jsonw.h"

void view_job(struct buf *b, const struct rec *job)
{
	static const char *const names[] = { "id",        "resourceId", "runnerId", "resourceType",
		                             "state",     "action",     "metadata", "error",
		                             "createdAt", "updatedAt" };

	jw_obj(b);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		rec_write(job, b, names[i], NULL);
	jw_obj_end(b);
}

void view_state(struct buf *b, const struct state *st)
{
	jw_obj(b);
	jw_kstr(b, "name", st->name);
	jw_kstr(b, "error", st->error);
	jw_kstr(b, "updatedAt", st->updated);
	jw_obj_end(b);
}

void view_runner(struct buf *b, const struct rec *r)
{
	rec_write(r, b, "id", NULL);
	rec_write(r, b, "name", NULL);
	jw_key(b, "metadata");
	jw_obj(b);
	rec_write(r, b, "id", "runnerId");
	rec_write(r, b, "mdUpdated", "updatedAt");
	rec_write(r, b, "mdUptime", "uptime");
	rec_write(r, b, "mdJobs", "runningJobs");
	rec_write(r, b, "mdProviders", "providers");
	jw_obj_end(b);
}

static void key_state(const struct srv *s, struct buf *b, const struct rec *r)
{
	struct state st;

	state_of(s, r, &st);
	jw_key(b, "state");
	view_state(b, &st);
}

static void key_last_job(struct buf *b, const struct rec *job, bool nested)
{
	jw_kstr(b, "lastJobId", job ? rec_text(job, "id") : NULL);
	jw_key(b, "lastJob");
	if (job && !nested)
		view_job(b, job);
	else
		jw_null(b);
}

static void key_env(struct buf *b, const struct rec *r, bool hide)
{
	if (!hide) {
		rec_write(r, b, "envVars", NULL);
		return;
	}
	jw_key(b, "envVars");
	normal_map_without_daytona(b, rec_json(r, "envVars"));
}

void view_config(struct buf *b, const struct rec *config, unsigned flags)
{
	static const char none[] =
		"{\"id\":\"\",\"name\":\"\","
		"\"providerInfo\":{\"runnerId\":\"\",\"runnerName\":\"\","
		"\"name\":\"\",\"version\":\"\",\"agentlessTarget\":false,\"label\":null,"
		"\"targetConfigManifest\":null},\"options\":\"\",\"deleted\":false}";

	if (!config) {
		jw_raw(b, STR_LIT(none));
		return;
	}
	jw_obj(b);
	rec_write(config, b, "id", NULL);
	rec_write(config, b, "name", NULL);
	rec_write(config, b, "providerInfo", NULL);
	if (flags & VIEW_OPTIONS)
		rec_write(config, b, "options", NULL);
	else
		jw_kstr(b, "options", "");
	rec_write(config, b, "deleted", NULL);
	jw_obj_end(b);
}

static void key_target_metadata(struct buf *b, const struct rec *t, bool nested)
{
	jw_key(b, "metadata");
	if (nested || !rec_has(t, "mdUpdated")) {
		jw_null(b);
		return;
	}
	jw_obj(b);
	rec_write(t, b, "id", "targetId");
	rec_write(t, b, "mdUpdated", "updatedAt");
	rec_write(t, b, "mdUptime", "uptime");
	jw_obj_end(b);
}

/* A target that was not loaded: what the reference writes for an empty one. */
static void view_no_target(struct buf *b)
{
	jw_obj(b);
	jw_kstr(b, "id", "");
	jw_kstr(b, "name", "");
	jw_kstr(b, "targetConfigId", "");
	jw_key(b, "targetConfig");
	view_config(b, NULL, 0);
	jw_kstr(b, "envVars", NULL);
	jw_kbool(b, "default", false);
	jw_kstr(b, "workspaces", NULL);
	jw_kstr(b, "metadata", NULL);
	key_last_job(b, NULL, true);
	jw_obj_end(b);
}

static void key_workspaces(const struct srv *s, struct buf *b, const struct rec *t, unsigned flags)
{
	bool any = false;

	const struct rec *w = NULL;

	jw_key(b, "workspaces");
	if (!(flags & (VIEW_NESTED | VIEW_CREATED | VIEW_ALONE)))
		w = store_find(&s->store, K_WORKSPACE, "targetId", rec_text(t, "id"));
	for (; w; w = store_find_next(&s->store, w, "targetId")) {
		if (is_deleted(s, w))
			continue;
		if (!any)
			jw_arr(b);
		any = true;
		view_workspace(s, b, w, (flags & VIEW_HIDE) | VIEW_NESTED, 0);
	}
	if (any)
		jw_arr_end(b);
	else
		jw_null(b);
}

void view_target(const struct srv *s, struct buf *b, const struct rec *t, unsigned flags)
{
	bool nested = flags & VIEW_NESTED;

	jw_obj(b);
	rec_write(t, b, "id", NULL);
	rec_write(t, b, "name", NULL);
	rec_write(t, b, "targetConfigId", NULL);
	jw_key(b, "targetConfig");
	view_config(b, store_find(&s->store, K_CONFIG, "id", rec_text(t, "targetConfigId")), flags);
	key_env(b, t, flags & VIEW_HIDE);
	rec_write(t, b, "default", NULL);
	key_workspaces(s, b, t, flags);
	key_target_metadata(b, t, nested);
	key_last_job(b, job_last(s, t), nested);
	if (rec_has(t, "providerMetadata"))
		rec_write(t, b, "providerMetadata", NULL);
	if (flags & VIEW_STATE)
		key_state(s, b, t);
	jw_obj_end(b);
}

static void key_workspace_metadata(struct buf *b, const struct rec *w, bool hidden)
{
	jw_key(b, "metadata");
	if (hidden || !rec_has(w, "mdUpdated")) {
		jw_null(b);
		return;
	}
	jw_obj(b);
	rec_write(w, b, "id", "workspaceId");
	rec_write(w, b, "mdUpdated", "updatedAt");
	rec_write(w, b, "mdUptime", "uptime");
	rec_write(w, b, "mdGit", "gitStatus");
	jw_obj_end(b);
}

void view_workspace(const struct srv *s, struct buf *b, const struct rec *w, unsigned flags,
                    unsigned target_flags)
{
	const struct rec *t = store_find(&s->store, K_TARGET, "id", rec_text(w, "targetId"));
	bool nested = flags & VIEW_NESTED;

	jw_obj(b);
	rec_write(w, b, "id", NULL);
	rec_write(w, b, "name", NULL);
	rec_write(w, b, "image", NULL);
	rec_write(w, b, "user", NULL);
	if (rec_has(w, "buildConfig"))
		rec_write(w, b, "buildConfig", NULL);
	rec_write(w, b, "repository", NULL);
	key_env(b, w, flags & VIEW_HIDE);
	rec_write(w, b, "labels", NULL);
	rec_write(w, b, "targetId", NULL);
	jw_key(b, "target");
	if (t && !nested)
		view_target(s, b, t, target_flags);
	else
		view_no_target(b);
	if (flags & VIEW_HIDE)
		jw_kstr(b, "apiKey", "");
	else
		rec_write(w, b, "apiKey", NULL);
	key_workspace_metadata(b, w, nested || (flags & VIEW_NEW));
	if (rec_has(w, "gitProviderConfigId"))
		rec_write(w, b, "gitProviderConfigId", NULL);
	key_last_job(b, job_last(s, w), nested);
	if (rec_has(w, "providerMetadata"))
		rec_write(w, b, "providerMetadata", NULL);
	if (flags & VIEW_STATE)
		key_state(s, b, w);
	jw_obj_end(b);
}

void view_build(const struct srv *s, struct buf *b, const struct rec *build)
{
	static const char *const names[] = {
		"id", "image", "user", "containerConfig", "buildConfig", "repository", "envVars"
	};

	jw_obj(b);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		rec_write(build, b, names[i], NULL);
	key_last_job(b, job_last(s, build), false);
	rec_write(build, b, "prebuildId", NULL);
	rec_write(build, b, "createdAt", NULL);
	rec_write(build, b, "updatedAt", NULL);
	key_state(s, b, build);
	jw_obj_end(b);
}
