/* SPDX-License-Identifier: Apache-2.0 */
/* Target jobs (protocol 8.4). */
#include "jobs/ctx.h"

static int call(struct ctx *c, enum job_action a, const struct target *t, struct err *e)
{
	if (provider_target(&c->provider, a, t, c->d, e) < 0)
		return err_wrap(e, "%s: %s target %s", c->provider.p->name, job_action_name(a),
		                t->name);
	return 0;
}

static int start(struct ctx *c, const struct target *t, struct err *e)
{
	struct buf info = { 0 };
	unsigned tries = 0;
	int rc;

	joblog_say(c->log, "Starting target %s", t->name);
	if (call(c, ACT_START, t, e) < 0)
		return -1;
	c->worked = true;
	rc = provider_target_info(&c->provider, t, &info, c->d, e);
	if (rc == 0 && info.n) { /* empty metadata would be refused (protocol 12.22) */
		do
			rc = api_target_provider_metadata(c->api, t->id, buf_str(&info),
			                                  ctx_call(c), e);
		while (rc < 0 && ctx_again(c, &tries, e));
	}
	buf_free(&info);
	if (rc < 0)
		return err_wrap(e, "report the target's metadata");
	joblog_say(c->log, "Target %s started", t->name);
	return 0;
}

static int create(struct ctx *c, const struct target *t, struct err *e)
{
	unsigned tries = 0;
	int rc;

	joblog_say(c->log, "Creating target %s (%s)", t->name, t->id);
	if (call(c, ACT_CREATE, t, e) < 0)
		return -1;
	c->worked = true;
	do
		rc = api_target_created(c->api, t->id, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0)
		return err_wrap(e, "report the target's creation");
	joblog_say(c->log, "Target %s created", t->name);
	return t->config.provider.agentless ? 0 : start(c, t, e);
}

static int stop(struct ctx *c, const struct target *t, struct err *e)
{
	joblog_say(c->log, "Stopping target %s", t->name);
	if (call(c, ACT_STOP, t, e) < 0)
		return -1;
	joblog_say(c->log, "Target %s stopped", t->name);
	return 0;
}

static int delete (struct ctx *c, const struct target *t, bool force, struct err *e)
{
	joblog_say(c->log, "Deleting target %s", t->name);
	if (provider_target(&c->provider, force ? ACT_FORCE_DELETE : ACT_DELETE, t, c->d, e) < 0) {
		err_wrap(e, "%s: delete target %s", c->provider.p->name, t->name);
		if (!force || *c->env->stop)
			return -1;
		joblog_say(c->log, "Warning: resources may remain: %s", e->msg);
	}
	joblog_say(c->log, "Target %s deleted", t->name);
	return 0;
}

static int act(struct ctx *c, const struct target *t, struct err *e)
{
	switch (c->job->action) {
	case ACT_CREATE:
		return create(c, t, e);
	case ACT_START:
		return start(c, t, e);
	case ACT_RESTART:
		return stop(c, t, e) < 0 ? -1 : start(c, t, e);
	case ACT_STOP:
		return stop(c, t, e);
	default:
		return delete (c, t, c->job->action == ACT_FORCE_DELETE, e);
	}
}

int job_target(struct ctx *c, struct err *e)
{
	bool force = c->job->action == ACT_FORCE_DELETE;
	struct target t = { 0 };
	unsigned tries = 0;
	int rc;

	do
		rc = api_target(c->api, c->job->resource_id, &t, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0) {
		target_free(&t);
		return err_wrap(e, "read target %s", c->job->resource_id);
	}
	ctx_hide_env(&t.env);
	if (ctx_begin(c, RES_TARGET, t.id, t.name, e) < 0) {
		target_free(&t);
		return -1;
	}
	rc = ctx_provider(c, t.config.provider.name, e);
	if (rc == 0)
		rc = act(c, &t, e);
	else if (force) {
		joblog_say(c->log, "Warning: resources may remain: %s", e->msg);
		rc = 0;
	}
	if (rc == 0 && (force || c->job->action == ACT_DELETE)) {
		joblog_close(c->log, 3000);
		c->log = NULL;
		joblog_remove(c->env->state_dir, RES_TARGET, t.id);
	}
	ctx_provider_done(c, rc, e);
	target_free(&t);
	return rc;
}
