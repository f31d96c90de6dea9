/* SPDX-License-Identifier: Apache-2.0 */
/* See dcrun.h. */
#include "providers/docker/workspace/dcrun.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PARALLEL_MAX 16
#define PROBE_MS 15000

struct hook_run {
	const struct devcontainer *dc;
	struct engine *engine;
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
		&r->execs[r->n], r->engine, r->container,
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
	for (struct json member = json_first(v); json_present(member); member = json_next(member)) {
		struct buf name = { 0 };
		int rc;

		buf_addf(&name, "%s.", r->hook);
		json_key(member, &name);
		rc = start_one(r, member, buf_cstr(&name), d, e);
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

/* The user's shell by /etc/passwd, since the image may have no tool that knows it. */
static const char probe_script[] =
	"s=; while IFS=: read -r n _ i _ _ _ x; do [ \"$n\" != \"$1\" ] && [ \"$i\" != \"$1\" ] || s=$x; "
	"done </etc/passwd; exec \"${s:-/bin/sh}\" \"$2\" \"printf %s '" PROBE_MARK
	"'; cat /proc/self/environ; printf %s '" PROBE_MARK "'\"";

/* What its start-up files set; a shell that fails or hangs costs a warning. */
static void probe(struct devcontainer *dc, struct engine *engine, const char *container,
                  const char *user)
{
	static const char *const modes[][2] = { { "loginInteractiveShell", "-lic" },
		                                { "interactiveShell", "-ic" },
		                                { "loginShell", "-lc" } };
	char *mode = dc_last(dc, "userEnvProbe");
	const char *argv[] = { "/bin/sh", "-c", probe_script, "sh", user, NULL, NULL };
	struct buf out = { 0 };
	struct err e = { 0 };
	int64_t status = 0;

	dc->was_probed = true;
	for (size_t i = 0; i < ARRAY_LEN(modes) && !argv[5]; i++)
		if (strcmp(mode ? mode : modes[0][0], modes[i][0]) == 0)
			argv[5] = modes[i][1];
	if (argv[5] &&
	    (exec_run(engine, container,
	              &(struct exec_spec){
			      .argv = argv, .user = user, .quiet = true, .capture = &out },
	              &status, deadline_in_ms(PROBE_MS), &e) < 0 ||
	     !dc_probe_parse(buf_str(&out),
	                     dc->container_env ? kv_get(dc->container_env, "PATH") : NULL,
	                     &dc->probed)))
		provider_logf(
			engine->env,
			"Warning: the shell of user %s did not say its environment (userEnvProbe)%s%s",
			user, e.kind ? ": " : "", e.msg);
	buf_wipe(&out);
	free(mode);
}

/* Below it what the shell sets. */
static void hook_env(struct devcontainer *dc, struct engine *engine, const char *container,
                     const char *user, const struct kv *env, struct kv *out)
{
	if (!dc->was_probed)
		probe(dc, engine, container, user);
	kv_merge(out, &dc->probed);
	kv_merge(out, env);
}

int dc_run_hook(struct devcontainer *dc, const char *hook, struct engine *engine,
                const char *container, const char *user, const struct kv *env, struct deadline d,
                struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < dc->n_layers; i++) {
		struct json v = json_get(dc->layers[i], hook);
		struct hook_run *r;
		struct kv all = { 0 };

		if (!json_present(v) || json_is_null(v))
			continue;
		hook_env(dc, engine, container, user, env, &all);
		r = mem_alloc(sizeof(*r));
		r->dc = dc;
		r->engine = engine;
		r->hook = hook;
		r->container = container;
		r->user = user;
		r->env = &all;
		provider_logf(engine->env, "Running %s", hook);
		rc = start_all(r, v, d, e);
		if (rc == 0)
			rc = wait_all(r, d, e);
		for (size_t k = 0; k < PARALLEL_MAX; k++) {
			exec_free(&r->execs[k]);
			buf_free(&r->names[k]);
		}
		free(r);
		kv_free(&all);
	}
	return rc;
}
