/* SPDX-License-Identifier: Apache-2.0 */
/* See dclife.h. */
#include "providers/devcontainer/dclife.h"

#include "base/mem.h"
#include "base/proc.h"

#include <stdlib.h>
#include <string.h>

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
	for (struct json member = json_first(v); json_is_array(v) && json_present(member);
	     member = json_next(member)) {
		text = dc_text(dc, member);
		strlist_add(argv, text ? text : "");
		free(text);
	}
	return argv->n > 0;
}

static void merge_path(const char *container, struct kv *out)
{
	struct str rest = str_of(container), piece;
	struct buf path = { 0 };

	buf_adds(&path, kv_get(out, "PATH"));
	while (container && str_next(&rest, ':', &piece)) {
		struct str have = buf_str(&path), one;
		bool there = piece.n == 0;

		while (!there && str_next(&have, ':', &one))
			there = one.n == piece.n && memcmp(one.p, piece.p, one.n) == 0;
		if (!there)
			buf_addf(&path, ":%.*s", STR_ARG(piece));
	}
	kv_set(out, "PATH", buf_cstr(&path));
	buf_free(&path);
}

bool dc_probe_parse(struct str output, const char *container_path, struct kv *out)
{
	static const char *const own[] = { "_", "PWD", "OLDPWD", "SHLVL" };
	const char *from = str_find(output, PROBE_MARK), *to;
	struct str rest, line;

	if (!from)
		return false;
	from += strlen(PROBE_MARK);
	rest = (struct str){ from, (size_t)(output.p + output.n - from) };
	to = str_find(rest, PROBE_MARK);
	if (!to)
		return false;
	rest.n = (size_t)(to - from);
	while (out->n < PROBE_VARIABLES_MAX && str_next(&rest, '\0', &line)) {
		char *pair = mem_dupn(line.p, line.n), *eq = strchr(pair, '=');
		bool ours = !eq || eq == pair;

		if (eq)
			*eq = '\0';
		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			ours |= strcmp(pair, own[i]) == 0;
		if (!ours)
			kv_set(out, pair, eq + 1);
		mem_free_secret(pair);
	}
	if (kv_get(out, "PATH"))
		merge_path(container_path, out);
	return true;
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
	for (struct json member = json_first(v); rc == 0 && json_present(member);
	     member = json_next(member))
		rc = initialize_one(dc, member, checkout, env, d, e);
	return rc;
}
