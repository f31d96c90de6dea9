/* SPDX-License-Identifier: Apache-2.0 */
/* Runs git; see gitrun.h. */
#include "git/run.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/proc.h"

#include <stdlib.h>
#include <sys/wait.h>

static const char *const passed[] = {
	"http_proxy", "https_proxy", "HTTPS_PROXY",   "all_proxy",    "ALL_PROXY",
	"no_proxy",   "NO_PROXY",    "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK",
};

void git_env(struct kv *env, const char *home)
{
	const char *path = getenv("PATH");

	kv_set(env, "PATH", path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
	kv_set(env, "HOME", home);
	kv_set(env, "LC_ALL", "C");
	kv_set(env, "GIT_CONFIG_NOSYSTEM", "1");
	kv_set(env, "GIT_ATTR_NOSYSTEM", "1");
	kv_set(env, "GIT_TERMINAL_PROMPT", "0");
	kv_set(env, "GIT_LFS_SKIP_SMUDGE", "1");
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		const char *value = getenv(passed[i]);

		if (value && *value)
			kv_set(env, passed[i], value);
	}
}

int git_run(const struct git_run *r, struct deadline d, int *status, struct err *e)
{
	char **env = kv_to_env(r->env);
	const struct proc_spawn spawn = {
		.argv = r->argv,
		.env = (const char *const *)env,
		.cwd = r->cwd,
		.input = r->input,
		.output = r->output,
		.arg = r->arg,
		.stop = r->stop,
		.grace_ms = 2000,
		.confined = true,
		.end_daemons = r->end_daemons,
	};
	int wait_status = 0;
	int rc;

	if (r->cwd && !file_is_dir(r->cwd)) {
		kv_env_free(env);
		return err_set(e, ERR_OTHER, 0, "%s is no directory", r->cwd);
	}
	rc = proc_run(&spawn, d, &wait_status, e);
	kv_env_free(env);
	if (rc < 0 && e->kind == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, 0, "%s", GIT_MISSING_TEXT);
	if (rc < 0)
		return -1;
	if (!WIFEXITED(wait_status)) {
		struct buf how = { 0 };

		proc_describe_status(wait_status, &how);
		err_set(e, ERR_OTHER, 0, "git: %s", buf_cstr(&how));
		buf_free(&how);
		return -1;
	}
	*status = WEXITSTATUS(wait_status);
	return 0;
}
