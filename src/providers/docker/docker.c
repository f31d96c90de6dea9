/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's table, its requirements, and targets (protocol 10, 10.2). */
#include "providers/docker/docker.h"

#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/engine/follow.h"
#include "providers/docker/workspace/internal.h"
#include "providers/docker/workspace/wsexec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LAST_WORDS_MS 300 /* for the output of a container that was just started */

static void unuse(struct docker *docker)
{
	if (docker->agent.conn) {
		struct err ignored = { 0 };

		(void)exec_step(&docker->agent, &ignored); /* what it said last */
	}
	exec_free(&docker->agent);
	follow_finish(docker->logs, LAST_WORDS_MS);
	docker->logs = NULL;
	if (docker->used_for) {
		engine_close(&docker->engine);
		docker_options_free(&docker->opt);
	}
	mem_free_secret(docker->used_for);
	docker->used_for = NULL;
}

/* docker.c: opens the engine that the target config's options name. */
static int docker_use(struct docker *docker, const char *options_json, struct err *e)
{
	const char *text = options_json ? options_json : "";

	if (docker->used_for && strcmp(docker->used_for, text) == 0)
		return 0;
	unuse(docker);
	if (docker_options_parse(&docker->opt, docker->env->options, text, e) < 0)
		return -1;
	if (engine_open(&docker->engine, &docker->opt, docker->env, e) < 0) {
		docker_options_free(&docker->opt);
		return -1;
	}
	docker->used_for = mem_dup(text);
	return 0;
}

static int docker_open(void **self, const struct provider_env *env, struct err *e)
{
	struct docker *docker = mem_alloc(sizeof(*docker));

	(void)e;
	docker->env = env;
	*self = docker;
	return 0;
}

static void docker_close(void *self)
{
	struct docker *docker = self;

	if (!docker)
		return;
	unuse(docker);
	free(docker);
}

static bool docker_untouched(const void *self)
{
	const struct docker *docker = self;

	return docker->used_for && !docker->engine.api && !docker->engine.remote;
}

static int check(const struct provider_env *env, struct buf *report, struct deadline d,
                 struct err *e)
{
	struct docker docker = { .env = env };
	struct buf why = { 0 };
	int rc = docker_use(&docker, "", e);

	if (rc == 0) {
		docker.engine.call_ms = deadline_left_ms(d);
		docker.engine.doubted = true;
		rc = engine_hello(&docker.engine, d, e);
	}
	if (rc < 0) {
		buf_addf(report, "missing: %s\n", e->msg);
		if (e->kind == ERR_CONNECT && e->code == ENOENT && docker.engine.local)
			err_set(e, ERR_CONNECT, ENOENT,
			        "Docker is not here (%s: no such socket). Not needed? daytona-runner "
			        "provider disable docker-provider",
			        docker.engine.url.path);
	} else {
		buf_addf(report, "ok: %s %s at %s, API 1.%d\n", docker.engine.name,
		         docker.engine.version, docker.engine.where, docker.engine.api);
		if (!delivery_program(&docker, &why))
			buf_addf(report, "note: no built-in agent for workspaces: %s\n",
			         buf_cstr(&why));
	}
	buf_free(&why);
	unuse(&docker);
	return rc;
}

static int target_dir(const struct docker *docker, const struct target *t, struct buf *dir,
                      struct err *e)
{
	if (!str_is_id(str_of(t->id)))
		return err_set(e, ERR_PARSE, 0, "target id \"%.100s\" is no id", t->id);
	buf_addf(dir, "%s/targets/%s", docker->env->state_dir, t->id);
	return 0;
}

static int target_create(void *self, const struct target *t, struct deadline d, struct err *e)
{
	struct docker *docker = self;
	struct buf dir = { 0 };
	int rc = docker_use(docker, t->config.options, e);

	if (rc == 0)
		rc = target_dir(docker, t, &dir, e);
	if (rc == 0)
		rc = engine_hello(&docker->engine, d, e);
	if (rc == 0) {
		provider_logf(docker->env, "Using %s %s at %s, API 1.%d", docker->engine.name,
		              docker->engine.version, docker->engine.where, docker->engine.api);
		rc = file_mkdirs(buf_cstr(&dir), 0700, e);
	}
	buf_free(&dir);
	return rc;
}

/* Targets have no process of their own. */
static int target_nothing(void *self, const struct target *t, struct deadline d, struct err *e)
{
	(void)self;
	(void)t;
	(void)d;
	(void)e;
	return 0;
}

/* Containers of the target that outlive it belong to workspaces that failed to go: named, never touched. */
static void name_leftovers(struct docker *docker, const struct target *t, struct deadline d)
{
	bool is = false;
	struct buf label = { 0 };
	const char *labels[1];
	struct container_list l;
	struct err problem = { 0 };

	buf_addf(&label, LABEL_TARGET "=%s", t->id);
	labels[0] = buf_cstr(&label);
	if (container_list(&docker->engine, labels, 1, &l, d, &problem) < 0)
		provider_logf(docker->env, "Warning: resources may remain: %s", problem.msg);
	for (size_t i = 0; i < l.n; i++)
		if (identity_is(docker, &l.list[i].labels, l.list[i].image_id, LABEL_TARGET, t->id,
		                &is, d, &problem) == 0 &&
		    is)
			provider_logf(docker->env,
			              "Warning: resources may remain: container %s (%.12s)",
			              l.list[i].name, l.list[i].id);
	container_list_free(&l);
	buf_free(&label);
}

static int target_delete(void *self, const struct target *t, bool force, struct deadline d,
                         struct err *e)
{
	struct docker *docker = self;
	struct buf dir = { 0 };
	struct err problem = { 0 };
	int rc;

	if (target_dir(docker, t, &dir, e) < 0)
		return -1;
	if (docker_use(docker, t->config.options, &problem) == 0)
		name_leftovers(docker, t, deadline_min(d, deadline_in_ms(15000)));
	else
		provider_logf(docker->env, "Warning: resources may remain: %s", problem.msg);
	rc = file_remove_tree(buf_cstr(&dir), e);
	if (rc < 0 && force) {
		provider_logf(docker->env, "Warning: resources may remain: %s", e->msg);
		err_clear(e);
		rc = 0;
	}
	buf_free(&dir);
	return rc;
}

static int workspace_create(void *self, const struct workspace_job *w, struct deadline d,
                            struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, w->ws->target.config.options, e) < 0 ? -1
	                                                               : ws_create(docker, w, d, e);
}

static int workspace_start(void *self, const struct workspace_job *w, struct deadline d,
                           struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, w->ws->target.config.options, e) < 0 ? -1
	                                                               : ws_start(docker, w, d, e);
}

static int workspace_stop(void *self, const struct workspace_job *w, struct deadline d,
                          struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, w->ws->target.config.options, e) < 0 ? -1
	                                                               : ws_stop(docker, w, d, e);
}

static int workspace_delete(void *self, const struct workspace_job *w, struct deadline d,
                            struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, w->ws->target.config.options, e) < 0 ? -1
	                                                               : ws_delete(docker, w, d, e);
}

static int find(struct docker *docker, const struct workspace *ws, struct container *c,
                struct deadline d, struct err *e)
{
	struct wsdir dir;
	int rc = wsdir_open(&dir, docker->env, ws, e);

	*c = (struct container){ 0 };
	if (rc == 0)
		rc = ws_find(docker, ws, &dir, c, d, e);
	wsdir_free(&dir);
	return rc;
}

/* The container's labels (protocol 10.7), but for what only the runner is to know. */
static int workspace_info(void *self, const struct workspace_job *w, struct buf *b,
                          struct deadline d, struct err *e)
{
	struct docker *docker = self;
	struct container c;

	if (docker_use(docker, w->ws->target.config.options, e) < 0 ||
	    find(docker, w->ws, &c, d, e) < 0)
		return -1;
	if (delivery_agent_stays(docker, e) < 0) {
		container_free(&c);
		return -1;
	}
	(void)kv_del(&c.labels, LABEL_NONCE);
	for (size_t i = 0; i < identity_labels_n; i++) {
		const char *value = kv_get(&c.labels, identity_labels[i]);

		if (value && !*value)
			(void)kv_del(&c.labels, identity_labels[i]);
	}
	if (c.out_of_memory)
		kv_set(&c.labels, "daytona.runner.outOfMemory", "true");
	kv_to_json(&c.labels, b);
	container_free(&c);
	return 0;
}

static int workspace_condition(void *self, const struct workspace *ws, enum resource_condition *out,
                               struct deadline d, struct err *e)
{
	struct docker *docker = self;
	struct container c;

	*out = COND_UNKNOWN;
	if (docker_use(docker, ws->target.config.options, e) < 0)
		return -1;
	if (find(docker, ws, &c, d, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		*out = COND_MISSING;
		return 0;
	}
	if (c.state == CS_CREATED)
		*out = COND_INCOMPLETE;
	else if (c.state == CS_EXITED)
		*out = COND_STOPPED;
	else if (c.state == CS_RUNNING || c.state == CS_PAUSED)
		*out = COND_RUNNING;
	if (*out == COND_RUNNING && docker->opt.agent != AGENT_NONE) {
		bool runs = false;

		if (delivery_agent_runs(docker, &c, &runs, d, e) < 0)
			err_clear(e);
		else if (!runs)
			*out = COND_INCOMPLETE;
	}
	container_free(&c);
	return 0;
}

static int workspace_exec(void *self, const struct workspace_exec *exec, int *status,
                          struct deadline d, struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, exec->ws->target.config.options, e) < 0
	               ? -1
	               : ws_exec(docker, exec, status, d, e);
}

static int workspace_usage(void *self, const struct workspace *ws, struct provider_usage *u,
                           struct deadline d, struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, ws->target.config.options, e) < 0 ? -1
	                                                            : ws_usage(docker, ws, u, d, e);
}

/* Whose thing it is by labels that its image did not give it; NULL: not one of ours. */
static const char *resource_of(const struct docker *docker, const struct container_item *c,
                               const struct identity *i)
{
	static const char *const keys[] = { LABEL_WORKSPACE, LABEL_HELPER, LABEL_BUILD };
	const char *runner = identity_label(i, LABEL_RUNNER);
	const char *workspace = kv_get(&c->labels, LABEL_WORKSPACE);

	/* Of an image that an older runner built, which has the label too, a workspace's container is known by the record. */
	if (workspace && str_is_id(str_of(workspace)) &&
	    identity_recorded(docker, workspace, c->id))
		return workspace;
	for (size_t n = 0; runner && n < ARRAY_LEN(keys); n++)
		if (identity_label(i, keys[n]))
			return identity_label(i, keys[n]);
	return NULL;
}

/* Engines behind ssh are left out: a runner's start must not wait for other hosts. */
static int owned(void *self, const char *options, provider_owned_fn *each, void *arg,
                 struct deadline d, struct err *e)
{
	struct docker *docker = self;
	struct buf label = { 0 };
	struct container_list l = { 0 };
	const char *text;
	int rc;

	if (docker_use(docker, options, e) < 0)
		return -1;
	if (docker->engine.remote)
		return 0;
	buf_addf(&label, LABEL_RUNNER "=%s", docker->env->runner_id);
	text = buf_cstr(&label);
	rc = container_list(&docker->engine, &text, 1, &l, d, e);
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		const struct container_item *c = &l.list[i];
		struct provider_owned t = { .id = c->id, .name = c->name, .state = c->state_text };
		struct identity of;

		rc = identity_read(docker, &c->labels, c->image_id, &of, d, e);
		if (rc == 0)
			t.resource_id = resource_of(docker, c, &of);
		if (t.resource_id)
			rc = each(arg, &t, e);
		identity_free(&of);
	}
	container_list_free(&l);
	buf_free(&label);
	return rc;
}

static int owned_remove(void *self, const char *id, struct deadline d, struct err *e)
{
	struct docker *docker = self;

	return container_remove(&docker->engine, id, d, e);
}

static int run_build(void *self, const struct build_job *b, struct deadline d, struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, "", e) < 0 ? -1 : build_run(docker, b, d, e);
}

static int delete_build(void *self, const struct build_job *b, bool force, struct deadline d,
                        struct err *e)
{
	struct docker *docker = self;

	return docker_use(docker, "", e) < 0 ? -1 : build_delete(docker, b, force, d, e);
}

const struct provider docker_provider = {
	.name = "docker-provider",
	.label = "Docker",
	.agentless = true,
	.manifest = docker_options_manifest,
	.preset_name = "local",
	.preset_options = "{\"Sock Path\":\"" DOCKER_DEFAULT_SOCK "\"}",
	.syscalls = SYSCALLS_TOOL,
	.confined = true,
	.check = check,
	.open = docker_open,
	.close = docker_close,
	.untouched = docker_untouched,
	.target_create = target_create,
	.target_start = target_nothing,
	.target_stop = target_nothing,
	.target_delete = target_delete,
	.workspace_create = workspace_create,
	.workspace_start = workspace_start,
	.workspace_stop = workspace_stop,
	.workspace_delete = workspace_delete,
	.workspace_info = workspace_info,
	.workspace_condition = workspace_condition,
	.workspace_exec = workspace_exec,
	.workspace_usage = workspace_usage,
	.owned = owned,
	.owned_remove = owned_remove,
	.build_run = run_build,
	.build_delete = delete_build,
};
