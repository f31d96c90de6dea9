/* SPDX-License-Identifier: Apache-2.0 */
/* See jobs.h: dispatch, and what became of jobs of an earlier process. */
#include "jobs/jobs.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "jobs/ctx.h"
#include "jobs/things.h"

#include <stdlib.h>
#include <string.h>

const char *jobs_provider_version(void)
{
	return "v" DR_VERSION;
}

static bool action_fits(enum resource_type t, enum job_action a)
{
	switch (t) {
	case RES_WORKSPACE:
	case RES_TARGET:
		return a >= ACT_CREATE && a <= ACT_FORCE_DELETE;
	case RES_BUILD:
		return a == ACT_RUN || a == ACT_DELETE || a == ACT_FORCE_DELETE;
	case RES_RUNNER:
		return a >= ACT_INSTALL_PROVIDER;
	default:
		return false;
	}
}

int job_run(const struct jobs_env *env, const struct job *j, struct err *e)
{
	struct ctx c;
	int rc;

	if (j->type == RES_UNKNOWN)
		return err_set(e, ERR_UNSUPPORTED, 0, "invalid resource type for job: \"%s\"",
		               j->type_text);
	if (!action_fits(j->type, j->action))
		return err_set(e, ERR_UNSUPPORTED, 0, "invalid job action: \"%s\" for a %s",
		               j->action_text, j->type_text);
	if (!str_is_id(str_of(j->resource_id)))
		return err_set(
			e, ERR_PARSE, 0,
			"the job's resource id is not usable: only letters, digits and . _ - are");
	ctx_open(&c, env, j);
	switch (j->type) {
	case RES_WORKSPACE:
		rc = job_workspace(&c, e);
		break;
	case RES_TARGET:
		rc = job_target(&c, e);
		break;
	case RES_BUILD:
		rc = job_build(&c, e);
		break;
	default:
		rc = job_runner(&c, e);
		break;
	}
	if (rc < 0 && c.log)
		joblog_say(c.log, "%s %s failed: %s", resource_type_name(j->type),
		           job_action_name(j->action), e->msg);
	ctx_close(&c);
	return rc;
}

/* ---- reconciliation ---- */

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
	*listed = !(rc < 0 && e->kind == ERR_HTTP && (e->code == 404 || e->code == 405));
	if (!*listed) {
		err_clear(e);
		rc = 0;
	}
	for (struct json m = json_first(json_root(doc)); json_present(m); m = json_next(m)) {
		struct job j = { 0 };
		struct err ignored;

		if (job_parse(m, &j, &ignored) == 0 && strcmp(j.id, c->job->id) == 0)
			*state = j.state;
		job_free(&j);
	}
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

static bool finished(enum job_action a, enum resource_condition is)
{
	switch (a) {
	case ACT_CREATE:
	case ACT_START: /* not of a restart: what runs may be what was to be stopped */
		return is == COND_RUNNING;
	case ACT_STOP:
		return is == COND_STOPPED || is == COND_MISSING;
	case ACT_DELETE:
	case ACT_FORCE_DELETE:
		return is == COND_MISSING;
	default:
		return false;
	}
}

static const char *condition_text(enum resource_condition is)
{
	static const char *const texts[] = { "in an unknown state", "not there", "incomplete",
		                             "stopped", "running" };

	return texts[is];
}

/* True when the workspace is what the job was to make of it. Where it was not found out, text says what is known. */
static bool workspace_finished(struct ctx *c, struct buf *text)
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
	if (e.kind)
		buf_addf(text, "; %s", e.msg);
	buf_free(&info);
	workspace_free(&ws);
	return done;
}

int job_reconcile(const struct jobs_env *env, const struct job *j, bool begun,
                  enum job_state *state, struct buf *text, struct err *e)
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
	*state = server;
	if (server == JOB_SUCCESS || server == JOB_ERROR)
		*state = JOB_STATE_UNKNOWN;
	if (!listed || (server == JOB_RUNNING && begun)) {
		*state = JOB_ERROR;
		buf_addf(text, "the runner was restarted while the job ran (%s %s)",
		         resource_type_name(j->type), job_action_name(j->action));
		if ((j->type == RES_WORKSPACE && str_is_id(str_of(j->resource_id)) &&
		     workspace_finished(&c, text)) ||
		    (j->type == RES_RUNNER && job_runner_finished(&c)))
			*state = JOB_SUCCESS;
		else
			buf_adds(text, "; please repeat the action");
	}
	ctx_close(&c);
	return 0;
}

/* ---- presets ---- */

static void configs_free(struct target_config *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		target_config_free(&list[i]);
	free(list);
}

int job_register_preset(const struct jobs_env *env, const struct provider *p, const char *version,
                        struct err *e)
{
	struct buf name = { 0 }, info = { 0 };
	struct job none = { 0 };
	struct target_config *list = NULL;
	struct ctx c;
	size_t n = 0;
	unsigned tries = 0;
	bool there = false;
	int rc;

	if (!p->preset_name)
		return 0;
	ctx_open(&c, env, &none);
	buf_addf(&name, "%s-runner-%s", p->preset_name, env->runner_id);
	do {
		configs_free(list, n);
		rc = api_target_configs(c.api, &list, &n, ctx_call(&c), e);
	} while (rc < 0 && ctx_again(&c, &tries, e));
	for (size_t i = 0; i < n; i++)
		there = there || strcmp(list[i].name, buf_cstr(&name)) == 0;
	configs_free(list, n);
	if (rc == 0 && !there) {
		provider_info_json(p, version, env->runner_id, env->runner_name, &info);
		do
			rc = api_target_config_create(c.api, buf_cstr(&name), p->preset_options,
			                              buf_str(&info), ctx_call(&c), e);
		while (rc < 0 && ctx_again(&c, &tries, e));
	}
	if (rc < 0)
		err_wrap(e, "register target config %s", buf_cstr(&name));
	ctx_close(&c);
	buf_free(&info);
	buf_free(&name);
	return rc;
}

/* ---- what an earlier life has left ---- */

#define ORPHANS_MAX 50
#define RUNNING_MAX 32768

struct search {
	struct ctx *c;
	struct buf *out;
	size_t n;
};

static int tell_orphan(void *arg, const struct provider_thing *t, struct err *e)
{
	struct search *s = arg;
	char *job;
	enum thing_use use = thing_use(s->c->api, t, &job, ctx_call(s->c));

	(void)e;
	if ((use == THING_ORPHAN || job) && s->n++ < ORPHANS_MAX) {
		if (job)
			buf_addf(s->out, "@%s ", job);
		else
			buf_addc(s->out, '!');
		buf_addf(s->out,
		         "orphan: container %s (%.12s, %s) of %s, %s; to remove it: "
		         "docker rm -f -v %.12s, or daytona-runner purge\n",
		         t->name, t->id, t->state, t->resource_id,
		         job ? "whose job this runner has no record of"
		             : "which the Server does not know",
		         t->id);
	}
	free(job);
	return 0;
}

/* Jobs of a runner that lost its state directory, or of another program with this id, would lock their resources for ever. */
static void list_running(struct ctx *c, struct buf *out)
{
	struct json_doc *doc = NULL;
	struct err none = { 0 }; /* a Server without that list */

	if (api_call(c->api, "GET", "/job?states=running", (struct str){ 0 }, &doc, ctx_call(c),
	             &none) < 0)
		return;
	for (struct json m = json_first(json_root(doc)); json_present(m); m = json_next(m)) {
		struct job j = { 0 };
		struct buf one = { 0 };

		if (json_str_is(json_get(m, "state"), "running") &&
		    json_str_is(json_get(m, "runnerId"), c->env->runner_id) &&
		    job_parse(m, &j, &none) == 0)
			job_write(&j, &one);
		if (one.n && out->n + one.n < RUNNING_MAX) /* else at the next start */
			buf_addf(out, "?%s\n", buf_cstr(&one));
		buf_free(&one);
		job_free(&j);
	}
	json_doc_free(doc);
}

int job_find_orphans(const struct jobs_env *env, const struct provider *p, struct buf *out,
                     struct err *e)
{
	struct job none = { 0 };
	struct ctx c;
	struct search s = { &c, out, 0 };
	int rc;

	ctx_open(&c, env, &none);
	rc = ctx_provider(&c, p->name, e);
	if (rc == 0)
		rc = things_each(&c.provider, c.api, env->runner_id, tell_orphan, &s, ctx_call(&c),
		                 e);
	if (rc == 0)
		list_running(&c, out);
	if (rc < 0)
		err_wrap(e, "look for what an earlier runner left");
	ctx_close(&c);
	return rc;
}
