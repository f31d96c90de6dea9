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

static void unuse(struct docker *k)
{
	if (k->agent.conn) {
		struct err ignored = { 0 };

		(void)exec_step(&k->agent, &ignored); /* what it said last */
	}
	exec_free(&k->agent);
	follow_finish(k->logs, LAST_WORDS_MS);
	k->logs = NULL;
	if (k->used_for) {
		engine_close(&k->g);
		docker_options_free(&k->opt);
	}
	mem_free_secret(k->used_for);
	k->used_for = NULL;
}

/* docker.c: opens the engine that the target config's options name. */
static int docker_use(struct docker *k, const char *options_json, struct err *e)
{
	const char *text = options_json ? options_json : "";

	if (k->used_for && strcmp(k->used_for, text) == 0)
		return 0;
	unuse(k);
	if (docker_options_parse(&k->opt, k->env->options, text, e) < 0)
		return -1;
	if (engine_open(&k->g, &k->opt, k->env, e) < 0) {
		docker_options_free(&k->opt);
		return -1;
	}
	k->used_for = mem_dup(text);
	return 0;
}

static int docker_open(void **self, const struct provider_env *env, struct err *e)
{
	struct docker *k = mem_alloc(sizeof(*k));

	(void)e;
	k->env = env;
	*self = k;
	return 0;
}

static void docker_close(void *self)
{
	struct docker *k = self;

	if (!k)
		return;
	unuse(k);
	free(k);
}

static bool docker_untouched(const void *self)
{
	const struct docker *k = self;

	return k->used_for && !k->g.api && !k->g.remote;
}

static int check(const struct provider_env *env, struct buf *report, struct deadline d,
                 struct err *e)
{
	struct docker k = { .env = env };
	struct buf why = { 0 };
	int rc = docker_use(&k, "", e);

	if (rc == 0) {
		k.g.call_ms = deadline_left_ms(d);
		k.g.doubted = true;
		rc = engine_hello(&k.g, d, e);
	}
	if (rc < 0) {
		buf_addf(report, "missing: %s\n", e->msg);
		if (e->kind == ERR_CONNECT && e->code == ENOENT && k.g.local)
			err_set(e, ERR_CONNECT, ENOENT,
			        "Docker is not here (%s: no such socket). Not needed? daytona-runner "
			        "provider disable docker-provider",
			        k.g.url.path);
	} else {
		buf_addf(report, "ok: %s %s at %s, API 1.%d\n", k.g.name, k.g.version, k.g.where,
		         k.g.api);
		if (!delivery_program(&k, &why))
			buf_addf(report, "note: no built-in agent for workspaces: %s\n",
			         buf_cstr(&why));
	}
	buf_free(&why);
	unuse(&k);
	return rc;
}

static int target_dir(const struct docker *k, const struct target *t, struct buf *dir,
                      struct err *e)
{
	if (!str_is_id(str_of(t->id)))
		return err_set(e, ERR_PARSE, 0, "target id \"%.100s\" is no id", t->id);
	buf_addf(dir, "%s/targets/%s", k->env->state_dir, t->id);
	return 0;
}

static int target_create(void *self, const struct target *t, struct deadline d, struct err *e)
{
	struct docker *k = self;
	struct buf dir = { 0 };
	int rc = docker_use(k, t->config.options, e);

	if (rc == 0)
		rc = target_dir(k, t, &dir, e);
	if (rc == 0)
		rc = engine_hello(&k->g, d, e);
	if (rc == 0) {
		provider_logf(k->env, "Using %s %s at %s, API 1.%d", k->g.name, k->g.version,
		              k->g.where, k->g.api);
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
static void name_leftovers(struct docker *k, const struct target *t, struct deadline d)
{
	bool is = false;
	struct buf label = { 0 };
	const char *labels[1];
	struct container_list l;
	struct err problem = { 0 };

	buf_addf(&label, LABEL_TARGET "=%s", t->id);
	labels[0] = buf_cstr(&label);
	if (container_list(&k->g, labels, 1, &l, d, &problem) < 0)
		provider_logf(k->env, "Warning: resources may remain: %s", problem.msg);
	for (size_t i = 0; i < l.n; i++)
		if (identity_is(k, &l.list[i].labels, l.list[i].image_id, LABEL_TARGET, t->id, &is,
		                d, &problem) == 0 &&
		    is)
			provider_logf(k->env, "Warning: resources may remain: container %s (%.12s)",
			              l.list[i].name, l.list[i].id);
	container_list_free(&l);
	buf_free(&label);
}

static int target_delete(void *self, const struct target *t, bool force, struct deadline d,
                         struct err *e)
{
	struct docker *k = self;
	struct buf dir = { 0 };
	struct err problem = { 0 };
	int rc;

	if (target_dir(k, t, &dir, e) < 0)
		return -1;
	if (docker_use(k, t->config.options, &problem) == 0)
		name_leftovers(k, t, deadline_min(d, deadline_in_ms(15000)));
	else
		provider_logf(k->env, "Warning: resources may remain: %s", problem.msg);
	rc = file_remove_tree(buf_cstr(&dir), e);
	if (rc < 0 && force) {
		provider_logf(k->env, "Warning: resources may remain: %s", e->msg);
		err_clear(e);
		rc = 0;
	}
	buf_free(&dir);
	return rc;
}

static int workspace_create(void *self, const struct workspace_job *w, struct deadline d,
                            struct err *e)
{
	struct docker *k = self;

	return docker_use(k, w->ws->target.config.options, e) < 0 ? -1 : ws_create(k, w, d, e);
}

static int workspace_start(void *self, const struct workspace_job *w, struct deadline d,
                           struct err *e)
{
	struct docker *k = self;

	return docker_use(k, w->ws->target.config.options, e) < 0 ? -1 : ws_start(k, w, d, e);
}

static int workspace_stop(void *self, const struct workspace_job *w, struct deadline d,
                          struct err *e)
{
	struct docker *k = self;

	return docker_use(k, w->ws->target.config.options, e) < 0 ? -1 : ws_stop(k, w, d, e);
}

static int workspace_delete(void *self, const struct workspace_job *w, struct deadline d,
                            struct err *e)
{
	struct docker *k = self;

	return docker_use(k, w->ws->target.config.options, e) < 0 ? -1 : ws_delete(k, w, d, e);
}

static int find(struct docker *k, const struct workspace *ws, struct container *c,
                struct deadline d, struct err *e)
{
	struct wsdir dir;
	int rc = wsdir_open(&dir, k->env, ws, e);

	*c = (struct container){ 0 };
	if (rc == 0)
		rc = ws_find(k, ws, &dir, c, d, e);
	wsdir_free(&dir);
	return rc;
}

/* The container's labels (protocol 10.7), but for what only the runner is to know. */
static int workspace_info(void *self, const struct workspace_job *w, struct buf *b,
                          struct deadline d, struct err *e)
{
	struct docker *k = self;
	struct container c;

	if (docker_use(k, w->ws->target.config.options, e) < 0 || find(k, w->ws, &c, d, e) < 0)
		return -1;
	if (delivery_agent_stays(k, e) < 0) {
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
	struct docker *k = self;
	struct container c;

	*out = COND_UNKNOWN;
	if (docker_use(k, ws->target.config.options, e) < 0)
		return -1;
	if (find(k, ws, &c, d, e) < 0) {
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
	if (*out == COND_RUNNING && k->opt.agent != AGENT_NONE) {
		bool runs = false;

		if (delivery_agent_runs(k, &c, &runs, d, e) < 0)
			err_clear(e);
		else if (!runs)
			*out = COND_INCOMPLETE;
	}
	container_free(&c);
	return 0;
}

static int workspace_exec(void *self, const struct workspace_exec *x, int *status,
                          struct deadline d, struct err *e)
{
	struct docker *k = self;

	return docker_use(k, x->ws->target.config.options, e) < 0 ? -1
	                                                          : ws_exec(k, x, status, d, e);
}

static int workspace_usage(void *self, const struct workspace *ws, struct provider_usage *u,
                           struct deadline d, struct err *e)
{
	struct docker *k = self;

	return docker_use(k, ws->target.config.options, e) < 0 ? -1 : ws_usage(k, ws, u, d, e);
}

/* Whose thing it is by labels that its image did not give it; NULL: not one of ours. */
static const char *resource_of(const struct docker *k, const struct container_item *c,
                               const struct identity *i)
{
	static const char *const keys[] = { LABEL_WORKSPACE, LABEL_HELPER, LABEL_BUILD };
	const char *runner = identity_label(i, LABEL_RUNNER);
	const char *workspace = kv_get(&c->labels, LABEL_WORKSPACE);

	/* Of an image that an older runner built, which has the label too, a workspace's container is known by the record. */
	if (workspace && str_is_id(str_of(workspace)) && identity_recorded(k, workspace, c->id))
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
	struct docker *k = self;
	struct buf label = { 0 };
	struct container_list l = { 0 };
	const char *text;
	int rc;

	if (docker_use(k, options, e) < 0)
		return -1;
	if (k->g.remote)
		return 0;
	buf_addf(&label, LABEL_RUNNER "=%s", k->env->runner_id);
	text = buf_cstr(&label);
	rc = container_list(&k->g, &text, 1, &l, d, e);
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		const struct container_item *c = &l.list[i];
		struct provider_owned t = { .id = c->id, .name = c->name, .state = c->state_text };
		struct identity of;

		rc = identity_read(k, &c->labels, c->image_id, &of, d, e);
		if (rc == 0)
			t.resource_id = resource_of(k, c, &of);
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
	struct docker *k = self;

	return container_remove(&k->g, id, d, e);
}

static int run_build(void *self, const struct build_job *b, struct deadline d, struct err *e)
{
	struct docker *k = self;

	return docker_use(k, "", e) < 0 ? -1 : build_run(k, b, d, e);
}

static int delete_build(void *self, const struct build_job *b, bool force, struct deadline d,
                        struct err *e)
{
	struct docker *k = self;

	return docker_use(k, "", e) < 0 ? -1 : build_delete(k, b, force, d, e);
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
