/* SPDX-License-Identifier: Apache-2.0 */
/* Lifecycle commands, see dclife.h. */
#include "providers/docker/devcontainer/dclife.h"

#include "base/mem.h"
#include "base/proc.h"

#include <stdlib.h>

#define PARALLEL_MAX 16

bool dc_command(const struct devcontainer *dc, struct json v, struct strlist *argv)
{
	char *text;

	*argv = (struct strlist){ 0 };
	if (json_is_string(v)) {
		text = dc_text(dc, v);
		if (text && *text) {
			strlist_add(argv, "/bin/sh");
			strlist_add(argv, "-c");
			strlist_add(argv, text);
		}
		free(text);
	}
	for (struct json m = json_first(v); json_is_array(v) && json_present(m); m = json_next(m)) {
		text = dc_text(dc, m);
		strlist_add(argv, text ? text : "");
		free(text);
	}
	return argv->n > 0;
}

struct hook_run {
	const struct devcontainer *dc;
	struct engine *g;
	const char *hook, *container, *user;
	const struct kv *env;
	struct exec execs[PARALLEL_MAX];
	struct buf names[PARALLEL_MAX]; /* for messages */
	size_t n;
};

static int start_one(struct hook_run *r, struct json v, const char *name, struct deadline d,
                     struct err *e)
{
	struct strlist argv;
	const char **list;
	int rc;

	if (!dc_command(r->dc, v, &argv))
		return 0;
	if (r->n == PARALLEL_MAX) {
		strlist_free(&argv);
		return err_set(e, ERR_LIMIT, 0, "more than %d commands side by side", PARALLEL_MAX);
	}
	list = mem_array(argv.n + 1, sizeof(*list));
	for (size_t i = 0; i < argv.n; i++)
		list[i] = argv.p[i];
	buf_adds(&r->names[r->n], name);
	rc = exec_start(
		&r->execs[r->n], r->g, r->container,
		&(struct exec_spec){
			.argv = list, .user = r->user, .cwd = r->dc->folder, .env = r->env },
		d, e);
	if (rc == 0)
		r->n++;
	free(list);
	strlist_free(&argv);
	return rc;
}

static int start_all(struct hook_run *r, struct json v, struct deadline d, struct err *e)
{
	if (!json_is_object(v))
		return start_one(r, v, r->hook, d, e);
	for (struct json m = json_first(v); json_present(m); m = json_next(m)) {
		struct buf name = { 0 };
		int rc;

		buf_addf(&name, "%s.", r->hook);
		json_key(m, &name);
		rc = start_one(r, m, buf_cstr(&name), d, e);
		buf_free(&name);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int wait_all(struct hook_run *r, struct deadline d, struct err *e)
{
	bool open = r->n > 0;

	while (open) {
		if (exec_wait(r->execs, r->n, 500, d, e) < 0)
			return -1;
		open = false;
		for (size_t i = 0; i < r->n; i++) {
			if (exec_step(&r->execs[i], e) < 0)
				return err_wrap(e, "%s", buf_cstr(&r->names[i]));
			open |= !r->execs[i].ended;
		}
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->execs[i].status != 0) {
			struct buf b = { 0 };

			exec_describe(&r->execs[i], &b);
			err_set(e, ERR_OTHER, (int)r->execs[i].status, "%s failed: %s",
			        buf_cstr(&r->names[i]), buf_cstr(&b));
			buf_free(&b);
			return -1;
		}
	return 0;
}

int dc_run_hook(const struct devcontainer *dc, const char *hook, struct engine *g,
                const char *container, const char *user, const struct kv *env, struct deadline d,
                struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < dc->n_layers; i++) {
		struct json v = json_get(dc->layers[i], hook);
		struct hook_run *r;

		if (json_is_null(v))
			continue;
		r = mem_alloc(sizeof(*r));
		r->dc = dc;
		r->g = g;
		r->hook = hook;
		r->container = container;
		r->user = user;
		r->env = env;
		provider_logf(g->env, "Running %s", hook);
		rc = start_all(r, v, d, e);
		if (rc == 0)
			rc = wait_all(r, d, e);
		for (size_t k = 0; k < PARALLEL_MAX; k++) {
			exec_free(&r->execs[k]);
			buf_free(&r->names[k]);
		}
		free(r);
	}
	return rc;
}

static int initialize_one(const struct devcontainer *dc, struct json v, const char *checkout,
                          const struct provider_env *env, struct deadline d, struct err *e)
{
	struct proc_spawn s = { .cwd = checkout,
		                .output = env->log,
		                .arg = env->log_arg,
		                .stop = env->stop,
		                .confined = true,
		                .end_daemons = true };
	struct strlist argv;
	const char **list;
	struct buf how = { 0 };
	int status = 0, rc;

	if (!dc_command(dc, v, &argv))
		return 0;
	list = mem_array(argv.n + 1, sizeof(*list));
	for (size_t i = 0; i < argv.n; i++)
		list[i] = argv.p[i];
	s.argv = list;
	rc = proc_run(&s, d, &status, e);
	if (rc == 0 && status != 0) {
		proc_describe_status(status, &how);
		rc = err_set(e, ERR_OTHER, 0, "initializeCommand failed: %s", buf_cstr(&how));
		buf_free(&how);
	}
	free(list);
	strlist_free(&argv);
	return rc;
}

int dc_run_initialize(const struct devcontainer *dc, const char *checkout,
                      const struct provider_env *env, struct deadline d, struct err *e)
{
	struct json v = json_get(dc->root, "initializeCommand");
	int rc = 0;

	provider_logf(env, "Running initializeCommand on the runner's host");
	if (!json_is_object(v))
		return initialize_one(dc, v, checkout, env, d, e);
	for (struct json m = json_first(v); rc == 0 && json_present(m); m = json_next(m))
		rc = initialize_one(dc, m, checkout, env, d, e);
	return rc;
}
