/* SPDX-License-Identifier: Apache-2.0 */
/* exec and shell: a program in a workspace, with our standard streams (protocol 15.3). */
#include "applets/applets.h"
#include "applets/host.h"
#include "applets/streams.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char exec_usage[] =
	"exec WORKSPACE [-i] [-t] [-u USER] [--cwd DIR] [--env K=V]... -- COMMAND [ARG...]\n"
	"Runs a program in a workspace and ends with its exit status (128 and the number of the signal that ended it; 127: it "
	"cannot be started; 255: the Server or the workspace is not reached). -i passes standard input on, -t gives it a "
	"terminal when there is one here; signals are passed on. A workspace of this host's runner is reached without the Server, "
	"unless --api-url names one.";
static const char shell_usage[] = "shell WORKSPACE [-u USER]\n"
				  "Opens the user's shell in a workspace, in its checkout.";

#define NOT_STARTED 127
/* As login does, but for accounts that are not to log in. */
#define SHELL_COMMAND \
	"s=$(getent passwd \"$(id -u)\" 2>/dev/null); s=${s##*:}; case $s in ''|*nologin|*false) s=${SHELL:-/bin/sh};; " \
	"esac; [ -x \"$s\" ] || s=/bin/sh; exec \"$s\" -l"

static void take_variables(const struct opt_list *l, bool terminal, struct kv *env)
{
	const char *term = getenv("TERM");

	if (terminal && term)
		kv_set(env, "TERM", term);
	for (size_t i = 0; i < l->n; i++) {
		const char *eq = strchr(l->v[i], '=');
		char *key = eq ? mem_dupn(l->v[i], (size_t)(eq - l->v[i])) : mem_dup(l->v[i]);
		const char *value = eq ? eq + 1 : getenv(key);

		if (value && *key)
			kv_set(env, key, value);
		free(key);
	}
}

static int exec_here(const char *applet, const struct config *c, const struct workspace *ws,
                     const struct exec_call *call, const char *user)
{
	const char **argv = mem_array((size_t)call->n_args + 4, sizeof(*argv));
	struct kv env = { 0 };
	struct host_exec h = {
		.argv = argv, .env = &env, .cwd = call->cwd, .user = user, .input = call->input
	};
	struct err e = { 0 };
	int status = STREAM_FAILED;

	h.tty = call->terminal && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	for (int i = 0; i < call->n_args; i++)
		argv[i] = call->args[i];
	if (!call->n_args) {
		argv[0] = "/bin/sh";
		argv[1] = "-c";
		argv[2] = SHELL_COMMAND;
	}
	take_variables(&call->env, h.tty, &env);
	if (host_exec(c, ws, &h, &status, &e) < 0) {
		status = e.kind == ERR_CANCELED && e.code    ? 128 + e.code
		         : e.kind == ERR_NOT_FOUND && e.code ? NOT_STARTED
		                                             : STREAM_FAILED;
		applet_fail(applet, &e);
	}
	kv_free(&env);
	free(argv);
	return status;
}

/* False: the workspace does not run here, or we may not know. */
static bool run_here(const char *applet, const struct cli_admin *a, const struct exec_call *call,
                     const char *user, int *status)
{
	struct config c = { 0 };
	struct known known = { 0 };
	const struct workspace *ws = NULL;
	struct err ignored = { 0 };
	bool here;

	if (!a->url && host_workspaces(applet, a->config_dir, &c, &known, &ignored) == 0)
		ws = known_find(&known, call->workspace, &ignored);
	here = ws && host_runs(&c, ws);
	if (here)
		*status = exec_here(applet, &c, ws, call, user);
	known_free(&known);
	config_free(&c);
	return here;
}

static int run(const char *applet, struct cli_admin *a, struct exec_call *call, const char *user)
{
	struct err e = { 0 };
	int status = STREAM_FAILED;

	if (run_here(applet, a, call, user, &status))
		return status;
	if (user) {
		err_set(&e, ERR_USAGE, 0, "--user needs a workspace that runs on this host");
		return applet_fail(applet, &e);
	}
	call->admin = a;
	if (cli_admin_open(a, applet, &e) == 0)
		status = stream_exec(applet, call);
	else
		status = applet_fail(applet, &e) == 2 ? 2 : STREAM_FAILED;
	cli_admin_close(a);
	return status;
}

static int exec_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct exec_call call = { 0 };
	const char *user = NULL;
	const struct opt opts[] = {
		OPT_FLAG('i', "interactive", &call.input, "pass standard input on"),
		OPT_FLAG('t', "tty", &call.terminal, "with a terminal, if this is one"),
		OPT_STR('u', "user", "USER", &user, "user; on the workspace's own host alone"),
		OPT_STR('w', "cwd", "DIR", &call.cwd, "directory; the checkout if not given"),
		OPT_LIST('e', "env", "K=V", &call.env, "a variable; K alone: with its value here"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int n = opts_parse(opts, exec_usage, argc, argv, 2, -1), status;

	call.workspace = argv[1];
	call.args = argv + 2;
	call.n_args = n - 1;
	status = run("exec", &a, &call, user);
	free(call.env.v);
	return status;
}

static int shell_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct exec_call call = { .input = true, .terminal = true };
	const char *user = NULL;
	const struct opt opts[] = {
		OPT_STR('u', "user", "USER", &user, "user; on the workspace's own host alone"),
		OPT_STR('w', "cwd", "DIR", &call.cwd, "directory; the checkout if not given"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};

	opts_parse(opts, shell_usage, argc, argv, 1, 1);
	call.workspace = argv[1];
	return run("shell", &a, &call, user);
}

const struct applet exec_applet = {
	.name = "exec",
	.summary = "run a program in a workspace",
	.run = exec_run,
};
const struct applet shell_applet = {
	.name = "shell",
	.summary = "open a shell in a workspace",
	.run = shell_run,
};
