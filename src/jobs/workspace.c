/* SPDX-License-Identifier: Apache-2.0 */
/* Workspace jobs (protocol 8.3). */
#include "jobs/ctx.h"
#include "jobs/known.h"

#include <string.h>

struct ws {
	struct ctx *c;
	struct workspace info;
	struct kv env;
	struct registries registries;
	struct git_provider git;
	bool have_git;
	bool noted;
	struct workspace_job job;
};

static void ws_free(struct ws *w)
{
	workspace_free(&w->info);
	kv_free(&w->env);
	registries_free(&w->registries);
	git_provider_free(&w->git);
}

static int read_workspace(struct ws *w, struct err *e)
{
	struct ctx *c = w->c;
	unsigned tries = 0;
	int rc;

	do
		rc = api_workspace(c->api, c->job->resource_id, &w->info, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0)
		return err_wrap(e, "read workspace %s", c->job->resource_id);
	ctx_hide(w->info.api_key);
	ctx_hide_env(&w->info.env);
	ctx_hide_env(&w->info.target.env);
	return 0;
}

/* Environment, registries and credentials: for the actions that make or start something. */
static int prepare(struct ws *w, struct err *e)
{
	struct ctx *c = w->c;
	struct kv server_env = { 0 };
	unsigned tries = 0;
	int rc;

	if (ctx_repository(&w->info.repo, e) < 0)
		return -1;
	do
		rc = api_env(c->api, &server_env, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0) {
		kv_free(&server_env);
		return err_wrap(e, "read the Server's environment variables");
	}
	env_merge(&w->env, &server_env, &w->info.env, c->env->env_allow);
	ctx_hide_env(&w->env);
	kv_free(&server_env);
	registries_split(&w->env, &w->registries);
	if (ctx_git_provider(c, w->info.git_provider_config_id, &w->git, &w->have_git, e) < 0)
		return -1;
	ctx_server_config(c, &w->info);
	return 0;
}

static int provider_call(struct ws *w, enum job_action a, struct err *e)
{
	struct ctx *c = w->c;

	w->job = (struct workspace_job){
		.ws = &w->info,
		.env = &w->env, /* nothing of what does not make or start */
		.registries = &w->registries,
		.git = w->have_git ? &w->git : NULL,
		.builder_image = c->server ? c->server->builder_image : "",
		.force = c->job->action == ACT_FORCE_DELETE,
	};
	if (provider_workspace(&c->provider, a, &w->job, c->d, e) < 0)
		return err_wrap(e, "%s: %s workspace %s", c->provider.p->name, job_action_name(a),
		                w->info.name);
	return 0;
}

static int report_metadata(struct ws *w, struct err *e)
{
	struct ctx *c = w->c;
	struct buf info = { 0 };
	unsigned tries = 0;
	int rc;

	c->worked = true;
	rc = provider_workspace_info(&c->provider, &w->job, &info, c->d, e);
	if (rc < 0)
		err_wrap(e, "%s: describe workspace %s", c->provider.p->name, w->info.name);
	if (rc == 0 && info.n) {
		do
			rc = api_workspace_provider_metadata(c->api, w->info.id, buf_str(&info),
			                                     ctx_call(c), e);
		while (rc < 0 && ctx_again(c, &tries, e));
		if (rc < 0)
			err_wrap(e, "report the workspace's metadata");
	}
	buf_free(&info);
	return rc;
}

/* For those who ask on this host; without it they have to ask the Server. */
static void note(struct ws *w)
{
	struct err problem = { 0 };

	if (!w->noted && known_save(w->c->env->state_dir, &w->info, &problem) < 0)
		joblog_say(w->c->log, "Warning: %s", problem.msg);
	w->noted = true;
}

static int start(struct ws *w, struct err *e)
{
	note(w);
	joblog_say(w->c->log, "Starting workspace %s", w->info.name);
	if (provider_call(w, ACT_START, e) < 0 || report_metadata(w, e) < 0)
		return -1;
	joblog_say(w->c->log, "Workspace %s started", w->info.name);
	return 0;
}

static int create(struct ws *w, struct err *e)
{
	joblog_say(w->c->log, "Creating workspace %s (%s)", w->info.name, w->info.id);
	note(w);
	if (provider_call(w, ACT_CREATE, e) < 0)
		return -1;
	joblog_say(w->c->log, "Workspace %s created", w->info.name);
	return start(w, e);
}

static int stop(struct ws *w, struct err *e)
{
	joblog_say(w->c->log, "Stopping workspace %s", w->info.name);
	if (provider_call(w, ACT_STOP, e) < 0)
		return -1;
	joblog_say(w->c->log, "Workspace %s stopped", w->info.name);
	return 0;
}

static int delete (struct ws *w, struct err *e)
{
	bool force = w->c->job->action == ACT_FORCE_DELETE;

	joblog_say(w->c->log, "Deleting workspace %s", w->info.name);
	if (provider_call(w, ACT_DELETE, e) < 0) {
		if (!force || *w->c->env->stop)
			return -1;
		joblog_say(w->c->log, "Warning: resources may remain: %s", e->msg);
	}
	joblog_say(w->c->log, "Workspace %s deleted", w->info.name);
	return 0;
}

static int act(struct ws *w, struct err *e)
{
	switch (w->c->job->action) {
	case ACT_CREATE:
		return prepare(w, e) < 0 ? -1 : create(w, e);
	case ACT_START:
		return prepare(w, e) < 0 ? -1 : start(w, e);
	case ACT_RESTART:
		return prepare(w, e) < 0 || stop(w, e) < 0 ? -1 : start(w, e);
	case ACT_STOP:
		return stop(w, e);
	default:
		return delete (w, e);
	}
}

int job_workspace(struct ctx *c, struct err *e)
{
	bool force = c->job->action == ACT_FORCE_DELETE;
	bool gone = force || c->job->action == ACT_DELETE;
	struct ws w = { .c = c };
	int rc = read_workspace(&w, e);

	if (rc == 0)
		rc = ctx_begin(c, RES_WORKSPACE, w.info.id, w.info.name, e);
	if (rc == 0) {
		rc = ctx_provider(c, w.info.target.config.provider.name, e);
		if (rc == 0)
			rc = act(&w, e);
		else if (force) {
			joblog_say(c->log, "Warning: resources may remain: %s", e->msg);
			rc = 0;
		}
	}
	if (rc == 0 && gone) {
		joblog_close(c->log, 3000);
		c->log = NULL;
		joblog_remove(c->env->state_dir, RES_WORKSPACE, w.info.id);
	}
	ctx_provider_done(c, rc, e);
	ws_free(&w);
	return rc;
}
