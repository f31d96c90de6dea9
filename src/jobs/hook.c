/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's programs before and after a job. They get the job's facts in an environment of their own, in which there is
 * no secret, and nothing else of ours; what they say goes to the log of the job's resource.
 */
#include "jobs/ctx.h"

#include "base/mask.h"
#include "base/mem.h"
#include "base/proc.h"

#include <string.h>

#define ENDING_MS 5000 /* after a job that was told to end, whose process is killed soon */

static void to_log(void *arg, struct str bytes)
{
	struct ctx *c = arg;

	if (c->log)
		joblog_output(c->log, bytes);
}

static void add_facts(struct kv *env, const struct ctx *c, const char *name)
{
	const struct job *j = c->job;

	kv_set(env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	kv_set(env, "HOME", "/");
	kv_set(env, "DAYTONA_HOOK", name);
	kv_set(env, "DAYTONA_RUNNER_ID", c->env->runner_id);
	kv_set(env, "DAYTONA_RUNNER_NAME", c->env->runner_name);
	kv_set(env, "DAYTONA_JOB_ID", j->id);
	kv_set(env, "DAYTONA_JOB_ACTION", job_action_name(j->action));
	kv_set(env, "DAYTONA_JOB_RESOURCE", resource_type_name(j->type));
	kv_set(env, "DAYTONA_JOB_RESOURCE_ID", j->resource_id);
	kv_set(env, "DAYTONA_JOB_RESOURCE_NAME", c->label);
	if (*api_trace(c->api))
		kv_set(env, "TRACEPARENT", api_trace(c->api));
}

static int run(struct ctx *c, const char *program, struct kv *facts, struct deadline d,
               const volatile int *stop, struct err *e)
{
	const char *const argv[] = { program, NULL };
	char **env = kv_to_env(facts);
	const struct proc_spawn s = {
		.argv = argv,
		.env = (const char *const *)env,
		.cwd = "/",
		.output = to_log,
		.arg = c,
		.end_daemons = true,
		.stop = stop,
	};
	struct buf how = { 0 };
	int status = 0, rc = proc_run(&s, d, &status, e);

	if (rc == 0 && status != 0) {
		proc_describe_status(status, &how);
		rc = err_set(e, ERR_OTHER, 0, "%s: %s", program, buf_cstr(&how));
	}
	buf_free(&how);
	kv_env_free(env);
	return rc;
}

int ctx_begin(struct ctx *c, enum resource_type kind, const char *id, const char *name,
              struct err *e)
{
	const char *program = c->env->hook_before;
	struct kv facts = { 0 };
	int rc;

	c->label = mem_dup(name);
	c->log = joblog_open(c->api, c->env->state_dir, kind, id, name);
	if (*api_trace(c->api))
		joblog_say(c->log, "traceparent %s", api_trace(c->api));
	if (!program || !*program)
		return 0;
	joblog_say(c->log, "Running hook_before_job");
	add_facts(&facts, c, "before");
	rc = run(c, program, &facts, deadline_min(c->d, deadline_in_ms(c->env->hook_timeout_ms)),
	         c->env->stop, e);
	kv_free(&facts);
	return rc < 0 ? err_wrap(e, "hook_before_job") : 0;
}

void ctx_end(struct ctx *c, int rc, const struct err *e)
{
	const char *program = c->env->hook_after;
	struct kv facts = { 0 };
	struct buf masked = { 0 };
	struct err failed = { 0 };
	bool ending = c->env->stop && *c->env->stop;

	if (!c->label || c->untouched || !program || !*program)
		return;
	add_facts(&facts, c, "after");
	kv_set(&facts, "DAYTONA_JOB_RESULT", rc == 0 ? "success" : "error");
	mask_text(&masked, str_of(rc == 0 ? "" : e->msg));
	kv_set(&facts, "DAYTONA_JOB_ERROR", buf_cstr(&masked));
	if (run(c, program, &facts,
	        deadline_in_ms(ending && c->env->hook_timeout_ms > ENDING_MS
	                               ? ENDING_MS
	                               : c->env->hook_timeout_ms),
	        NULL, &failed) < 0 &&
	    c->log)
		joblog_say(c->log, "hook_after_job: %s", failed.msg);
	buf_free(&masked);
	kv_free(&facts);
}
