/* SPDX-License-Identifier: Apache-2.0 */
/* Builds, and the workspace templates they are made of (protocol 3.14, 3.15, 11.5). See srv.h. */
#include "server/builds.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "server/git.h"

void h_build_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *r = store_first(&c->s->store, K_BUILD); r; r = store_next(r))
		if (!is_deleted(c->s, r))
			view_build(c->s, &b, r);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

void h_build_get(struct call *c)
{
	bool deleted;
	const struct rec *r = find_live(c->s, K_BUILD, c->param[0], &deleted);
	struct buf b = { 0 };

	if (!r) {
		reply_error(c, 404, "failed to find build: build %s",
		            deleted ? "is deleted" : "not found");
		return;
	}
	view_build(c->s, &b, r);
	reply_json(c, 200, &b);
}

/* The reference looks for the empty URL here and so finds nothing, ever (protocol 3.15). */
void h_build_successful(struct call *c)
{
	struct buf b = { 0 };

	buf_adds(&b, "null");
	reply_json(c, 200, &b);
}

static void set_source(struct rec *r, const struct rec *t, const char *branch, const char *sha,
                       struct str env)
{
	struct buf b = { 0 };

	jw_obj(&b);
	rec_write(t, &b, "image", NULL);
	rec_write(t, &b, "user", NULL);
	jw_obj_end(&b);
	rec_set_json(r, "containerConfig", buf_str(&b));
	rec_set_json(r, "buildConfig",
	             rec_has(t, "buildConfig") ? rec_json(t, "buildConfig") : STR_LIT("null"));
	buf_reset(&b);
	git_repository(&b, rec_text(t, "repositoryUrl"), branch, sha);
	rec_set_json(r, "repository", buf_str(&b));
	buf_free(&b);
	rec_set_json(r, "envVars", env);
}

void build_renew(struct change *ch, const struct rec *build, const struct rec *t,
                 const char *branch, const char *sha, struct str env)
{
	struct rec *r = change_edit(ch, build);
	char now[STAMP_SIZE];

	stamp_now(now);
	set_source(r, t, branch, sha, env);
	rec_set(r, "updatedAt", now);
}

int build_add(struct srv *s, struct change *ch, const struct rec *t, const char *branch,
              const char *sha, const char *prebuild, struct str env, char id[ID_SIZE],
              struct err *e)
{
	char now[STAMP_SIZE];
	struct rec *r;

	if (new_id(id, e) < 0)
		return -1;
	stamp_now(now);
	r = change_add(ch, K_BUILD);
	rec_set(r, "id", id);
	rec_set(r, "image", NULL);
	rec_set(r, "user", NULL);
	set_source(r, t, branch, sha, env);
	rec_set(r, "prebuildId", prebuild);
	rec_set(r, "createdAt", now);
	rec_set(r, "updatedAt", now);
	return job_add(s, ch, "build", id, NULL, "run", NULL, e);
}

static int build_create(struct srv *s, const struct rec *t, struct json body, char id[ID_SIZE],
                        struct err *e)
{
	struct change *ch = change_begin(&s->store);
	struct buf env = { 0 };
	char *branch = json_dup_or_empty(json_get(body, "branch"));
	char *prebuild = json_dup(json_get(body, "prebuildId"));
	int rc;

	normal_map(&env, json_get(body, "envVars"));
	rc = build_add(s, ch, t, branch, "", prebuild, buf_str(&env), id, e);
	if (rc < 0)
		change_drop(ch);
	else
		rc = change_commit(ch, e);
	free(branch);
	free(prebuild);
	buf_wipe(&env);
	return rc;
}

void h_build_create(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	char id[ID_SIZE];

	if (!call_body(c, &dto_create_build, &body))
		return;
	char *name = json_dup_or_empty(json_get(body, "workspaceTemplateName"));
	const struct rec *t = store_find(&c->s->store, K_TEMPLATE, "name", name);

	free(name);
	if (!t)
		reply_error(c, 500, "failed to create build: workspace template not found");
	else if (build_create(c->s, t, body, id, &e) < 0)
		reply_error(c, error_status(&e), "failed to create build: %s", e.msg);
	else
		reply_text(c, 201, id);
}

int build_delete_job(struct srv *s, struct change *ch, const struct rec *r, bool force,
                     struct err *e)
{
	const char *id = rec_text(r, "id");

	if (force && !store_first(&s->store, K_RUNNER))
		return job_add_done(s, ch, "build", id, NULL, "force-delete", e);
	return job_add(s, ch, "build", id, NULL, force ? "force-delete" : "delete", NULL, e);
}

static int build_delete(struct srv *s, const struct rec *r, bool force, struct err *e)
{
	struct change *ch = change_begin(&s->store);

	if (build_delete_job(s, ch, r, force, e) == 0)
		return change_commit(ch, e);
	change_drop(ch);
	return -1;
}

void h_build_delete(struct call *c)
{
	bool deleted, force;
	const struct rec *r = find_live(c->s, K_BUILD, c->param[0], &deleted);
	struct err e = { 0 };

	if (!call_force(c, &force))
		return;
	if (!r)
		reply_error(c, 500, "build not found");
	else if (build_delete(c->s, r, force, &e) < 0)
		reply_error(c, error_status(&e), "%s", e.msg);
	else
		reply_empty(c, 204);
}

/* Of the prebuild that the path names, if it does. Those that can be deleted are, also when others cannot; the first reason
 * is answered. */
void h_build_delete_all(struct call *c)
{
	bool force;
	struct err first = { 0 }, e = { 0 };

	if (!call_force(c, &force))
		return;
	struct change *ch = change_begin(&c->s->store);

	for (const struct rec *r = store_first(&c->s->store, K_BUILD); r; r = store_next(r)) {
		if ((!c->param[0][0] || rec_is(r, "prebuildId", c->param[0])) &&
		    !is_deleted(c->s, r) && build_delete_job(c->s, ch, r, force, &e) < 0 &&
		    first.kind == ERR_NONE)
			first = e;
	}
	if (change_commit(ch, &e) < 0)
		first = e;
	if (first.kind != ERR_NONE)
		reply_error(c, error_status(&first), "%s", first.msg);
	else
		reply_empty(c, 204);
}

static void view_template(const struct srv *s, struct buf *b, const struct rec *t)
{
	jw_obj(b);
	rec_write(t, b, "name", NULL);
	rec_write(t, b, "image", NULL);
	rec_write(t, b, "user", NULL);
	if (rec_has(t, "buildConfig"))
		rec_write(t, b, "buildConfig", NULL);
	rec_write(t, b, "repositoryUrl", NULL);
	rec_write(t, b, "envVars", NULL);
	rec_write(t, b, "labels", NULL);
	rec_write(t, b, "default", NULL);
	jw_key(b, "prebuilds");
	prebuilds_view(s, b, t);
	rec_write(t, b, "gitProviderConfigId", NULL);
	jw_obj_end(b);
}

void h_template_list(struct call *c)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (const struct rec *t = store_first(&c->s->store, K_TEMPLATE); t; t = store_next(t))
		view_template(c->s, &b, t);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
}

static void set_text(struct call *c, struct rec *t, const char *name, struct json body,
                     const char *setting)
{
	char *text = json_dup_or_empty(json_get(body, name));

	if (!text[0]) {
		free(text);
		text = srv_config_get(c->s, setting);
	}
	rec_set(t, name, text ? text : "");
	free(text);
}

/* NULL when no template of that repository is the default. */
static const struct rec *default_for(const struct srv *s, const char *url)
{
	const struct rec *t = store_find(&s->store, K_TEMPLATE, "repositoryUrl", url);

	while (t && !rec_bool(t, "default"))
		t = store_find_next(&s->store, t, "repositoryUrl");
	return t;
}

void h_template_set(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (!call_body(c, &dto_template, &body))
		return;
	char *name = json_dup_or_empty(json_get(body, "name"));
	char *url = normal_repo_url(json_get(body, "repositoryUrl"));
	const struct rec *old = store_find(&c->s->store, K_TEMPLATE, "name", name);
	char *from = mem_dup(old ? rec_text(old, "repositoryUrl") : "");
	bool first = !default_for(c->s, url);
	struct change *ch = change_begin(&c->s->store);
	struct rec *t = old ? change_edit(ch, old) : change_add(ch, K_TEMPLATE);

	rec_set(t, "name", name);
	set_text(c, t, "image", body, "defaultWorkspaceImage");
	set_text(c, t, "user", body, "defaultWorkspaceUser");
	if (json_is_object(json_get(body, "buildConfig"))) {
		normal_build_config(&b, json_get(body, "buildConfig"));
		rec_set_json(t, "buildConfig", buf_str(&b));
		buf_reset(&b);
	} else {
		rec_set(t, "buildConfig", NULL);
	}
	rec_set(t, "repositoryUrl", url);
	normal_map(&b, json_get(body, "envVars"));
	rec_set_json(t, "envVars", buf_str(&b));
	rec_set_json(t, "labels", STR_LIT("{}"));
	rec_set_value(t, "gitProviderConfigId", json_get(body, "gitProviderConfigId"));
	rec_set_bool(t, "default", rec_bool(t, "default") || first);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to save workspace template: %s", e.msg);
	else
		reply_empty(c, 201);
	if (e.kind == ERR_NONE && old)
		prebuilds_moved(c->s, old, from);
	free(from);
	buf_free(&b);
	free(name);
	free(url);
}

const struct rec *template_param(struct call *c, int status, const char *what)
{
	const struct rec *t = store_find(&c->s->store, K_TEMPLATE, "name", c->param[0]);

	if (!t)
		reply_error(c, status, "failed to %s: workspace template not found", what);
	return t;
}

void h_template_get(struct call *c)
{
	const struct rec *t = template_param(c, 404, "get workspace template");
	struct buf b = { 0 };

	if (!t)
		return;
	view_template(c->s, &b, t);
	reply_json(c, 200, &b);
}

void h_template_delete(struct call *c)
{
	bool force;
	const struct rec *t = call_force(c, &force)
	                              ? template_param(c, 404, "get workspace template")
	                              : NULL;
	struct err e = { 0 };

	if (!t)
		return;
	struct change *ch = change_begin(&c->s->store);
	bool had = prebuilds_wanted(c->s, rec_text(t, "repositoryUrl"));
	char *url = mem_dup(rec_text(t, "repositoryUrl")),
	     *config = mem_dup(rec_text(t, "gitProviderConfigId"));
	int rc = prebuilds_remove(c->s, ch, c->param[0], force, &e);

	change_remove(ch, t);
	if (had)
		hooks_leave(c->s, ch, url, config);
	if (rc < 0)
		change_drop(ch);
	else
		rc = change_commit(ch, &e);
	if (rc < 0)
		reply_error(c, error_status(&e), "failed to delete workspace template: %s", e.msg);
	else
		reply_empty(c, 204);
	if (rc == 0 && had)
		browse_hook(c->s, url, config);
	free(url);
	free(config);
}

void h_template_default(struct call *c)
{
	const struct rec *chosen = template_param(c, 500, "set workspace template to default");
	struct err e = { 0 };

	if (!chosen)
		return;
	struct change *ch = change_begin(&c->s->store);
	const struct rec *t = store_find(&c->s->store, K_TEMPLATE, "repositoryUrl",
	                                 rec_text(chosen, "repositoryUrl"));

	for (; t; t = store_find_next(&c->s->store, t, "repositoryUrl"))
		if (rec_bool(t, "default") != (t == chosen))
			rec_set_bool(change_edit(ch, t), "default", t == chosen);
	if (change_commit(ch, &e) < 0)
		reply_error(c, error_status(&e), "failed to set workspace template to default: %s",
		            e.msg);
	else
		reply_empty(c, 200);
}

void h_template_for_url(struct call *c)
{
	struct buf url = { 0 }, b = { 0 };

	if (!buf_add_urldec(&url, str_of(c->param[0]), true)) {
		reply_error(c, 400, "failed to decode query param: invalid URL escape");
		return;
	}
	while (url.n && url.p[url.n - 1] == '/')
		buf_cut(&url, url.n - 1);
	const struct rec *t = default_for(c->s, buf_cstr(&url));

	if (t)
		view_template(c->s, &b, t);
	if (t)
		reply_json(c, 200, &b);
	else
		reply_error(c, 404,
		            "failed to find workspace template by git url: "
		            "workspace template not found");
	buf_free(&url);
}
