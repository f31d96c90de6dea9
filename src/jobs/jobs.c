/* SPDX-License-Identifier: Apache-2.0 */
/* See jobs.h: from resource and action to the function that does it. */
#include "jobs/jobs.h"

#include "base/file.h"
#include "base/log.h"
#include "jobs/ctx.h"
#include "oci/imgstore.h"

#include <stdlib.h>

#define DAY_MS INT64_C(86400000)

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

bool job_asks_config(const struct job *j)
{
	return j->type == RES_BUILD ||
	       (j->type == RES_WORKSPACE &&
	        (j->action == ACT_CREATE || j->action == ACT_START || j->action == ACT_RESTART));
}

/* Old images, and for want of room, go after a job that may have brought or left some; not while anybody pulls. */
static void tidy_images(const struct ctx *c)
{
	const struct jobs_env *env = c->env;
	struct imgstore_keep keep = { .age_ms = env->image_keep_days * DAY_MS,
		                      .free_bytes = (uint64_t)env->image_keep_free_mb << 20,
		                      .made = true };
	struct imgstore_swept swept = { 0 };
	struct err e = { 0 };
	char *dir;

	if (!keep.age_ms && !keep.free_bytes)
		return;
	dir = path_join(env->state_dir, "images");
	if (file_is_dir(dir) && imgstore_sweep(dir, &keep, DEADLINE_PAST, &swept, &e) < 0 &&
	    e.kind != ERR_BUSY)
		log_say("images", e.msg);
	if (swept.names)
		log_info("removed %zu images that nobody used (image_keep)", swept.names);
	free(dir);
}

int job_run(const struct jobs_env *env, const struct job *j, bool *begun, struct err *e)
{
	struct ctx c;
	int rc;

	*begun = true;

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
	*begun = !c.untouched;
	if (j->type == RES_WORKSPACE || j->type == RES_BUILD)
		tidy_images(&c);
	if (rc < 0 && c.log && c.untouched)
		joblog_say(c.log, "Waiting, nothing was begun: %s", e->msg);
	else if (rc < 0 && c.log)
		joblog_say(c.log, "%s %s failed: %s", resource_type_name(j->type),
		           job_action_name(j->action), e->msg);
	ctx_end(&c, rc, e);
	ctx_close(&c);
	return rc;
}

bool job_provider(const struct jobs_env *env, const struct job *j, struct buf *name)
{
	struct workspace ws = { 0 };
	struct target t = { 0 };
	struct err e = { 0 };
	struct ctx c;

	if (!str_is_id(str_of(j->resource_id)))
		return false;
	ctx_open(&c, env, j);
	if (j->type == RES_WORKSPACE &&
	    api_workspace(c.api, j->resource_id, &ws, ctx_call(&c), &e) == 0 &&
	    !target_config_is_remote(&ws.target.config))
		buf_adds(name, ws.target.config.provider.name);
	else if (j->type == RES_TARGET &&
	         api_target(c.api, j->resource_id, &t, ctx_call(&c), &e) == 0 &&
	         !target_config_is_remote(&t.config))
		buf_adds(name, t.config.provider.name);
	workspace_free(&ws);
	target_free(&t);
	ctx_close(&c);
	return name->n > 0;
}
