/* SPDX-License-Identifier: Apache-2.0 */
/* See jobs.h: what became of jobs of an earlier process. */
#include "jobs/jobs.h"

#include "jobs/ctx.h"

#include <string.h>

/* The job's state on the Server: JOB_STATE_UNKNOWN when it is not listed. *listed false: this Server has no such list. */
static int state_on_server(struct ctx *c, enum job_state *state, bool *listed, struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc = NULL;
	int rc;

	buf_adds(&path, "/job?resourceId=");
	buf_add_urlenc(&path, str_of(c->job->resource_id));
	buf_addf(&path, "&resourceType=%s", resource_type_name(c->job->type));
	rc = api_call(c->api, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, ctx_call(c), e);
	*state = JOB_STATE_UNKNOWN;
	*listed = !(rc < 0 && api_verdict(e) == API_NO_ROUTE);
	if (!*listed) {
		err_clear(e);
		rc = 0;
	}
	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		struct job j = { 0 };
		struct err ignored;

		if (job_parse(member, &j, &ignored) == 0 && strcmp(j.id, c->job->id) == 0)
			*state = j.state;
		job_free(&j);
	}
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

/* Stopping and deleting what is stopped or gone succeeds, so they are done again, whole: what is not there any more may
 * have left files, logs or containers beside it. */
static bool can_be_done_again(const struct job *j)
{
	return (j->type == RES_WORKSPACE || j->type == RES_TARGET) &&
	       (j->action == ACT_STOP || j->action == ACT_DELETE || j->action == ACT_FORCE_DELETE);
}

/* Not of a restart: what runs may be what was to be stopped. */
static bool finished(enum job_action a, enum resource_condition is)
{
	return (a == ACT_CREATE || a == ACT_START) && is == COND_RUNNING;
}

static const char *condition_text(enum resource_condition is)
{
	static const char *const texts[] = { "in an unknown state", "not there", "incomplete",
		                             "stopped", "running" };

	return texts[is];
}

/* True when the workspace is what the job was to make of it. Where it was not found out, text says what is known;
 * *away: who knows it may be back later. */
static bool workspace_finished(struct ctx *c, struct buf *text, bool *away)
{
	struct workspace ws = { 0 };
	struct buf info = { 0 };
	struct err e = { 0 };
	enum resource_condition is = COND_UNKNOWN;
	struct registries none = { 0 };
	struct workspace_job w = {
		.ws = &ws, .env = &ws.env, .registries = &none, .builder_image = ""
	};
	const struct provider *p;
	bool done = false;

	if (api_workspace(c->api, c->job->resource_id, &ws, ctx_call(c), &e) < 0)
		goto out;
	if (ctx_provider(c, ws.target.config.provider.name, &e) < 0)
		goto out;
	p = c->provider.p;
	if (!p->workspace_condition ||
	    p->workspace_condition(c->provider.self, &ws, &is, ctx_call(c), &e) < 0)
		goto out;
	done = finished(c->job->action, is);
	buf_addf(text, "; the workspace is %s", condition_text(is));
	if (done && is == COND_RUNNING) { /* what the job would have reported last */
		done = provider_workspace_info(&c->provider, &w, &info, ctx_call(c), &e) == 0 &&
		       (info.n == 0 ||
		        api_workspace_provider_metadata(c->api, ws.id, buf_str(&info), ctx_call(c),
		                                        &e) == 0);
	}
out:
	*away = ctx_is_away(&e);
	if (e.kind)
		buf_addf(text, "; %s", e.msg);
	buf_free(&info);
	workspace_free(&ws);
	return done;
}

/* The Server shows it as running, and its work may have been done. -1: to be looked at again. */
static int look(struct ctx *c, struct job_fate *f, struct err *e)
{
	const struct job *j = c->job;
	bool away = false, done;

	if (can_be_done_again(j)) {
		f->state = JOB_RUNNING;
		return 0;
	}
	buf_addf(&f->text, "the runner was restarted while the job ran (%s %s)",
	         resource_type_name(j->type), job_action_name(j->action));
	done = (j->type == RES_WORKSPACE && str_is_id(str_of(j->resource_id)) &&
	        workspace_finished(c, &f->text, &away)) ||
	       (j->type == RES_RUNNER && job_runner_finished(c));
	if (!done && away && !f->last)
		return err_set(e, ERR_BUSY, 0, "%s", buf_cstr(&f->text));
	f->state = done ? JOB_SUCCESS : JOB_ERROR;
	if (!done)
		buf_adds(&f->text, j->action == ACT_CREATE ? "; delete it and create it again"
		                                           : "; please repeat the action");
	return 0;
}

int job_reconcile(const struct jobs_env *env, const struct job *j, struct job_fate *f,
                  struct err *e)
{
	enum job_state server = JOB_STATE_UNKNOWN;
	bool listed;
	struct ctx c;
	int rc;

	ctx_open(&c, env, j);
	rc = state_on_server(&c, &server, &listed, e);
	if (rc < 0) {
		ctx_close(&c);
		return err_wrap(e, "find out what became of job %s", j->id);
	}
	f->state = server;
	if (server == JOB_SUCCESS || server == JOB_ERROR)
		f->state = JOB_STATE_UNKNOWN;
	if (!listed || (server == JOB_RUNNING && f->begun))
		rc = look(&c, f, e);
	ctx_close(&c);
	return rc;
}
