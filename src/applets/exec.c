/* SPDX-License-Identifier: Apache-2.0 */
/* exec and shell: a program in a workspace, with our standard streams (protocol 15.3). */
#include "applets/applets.h"
#include "applets/streams.h"

static const char exec_usage[] =
	"exec WORKSPACE [-i] [-t] [--cwd DIR] [--env K=V]... -- COMMAND [ARG...]\n"
	"Runs a program in a workspace and ends with its exit status (128 and the number of the signal that ended it; 127: it "
	"cannot be started; 255: the Server or the workspace is not reached). -i passes standard input on, -t gives it a "
	"terminal when there is one here; signals are passed on.\n"
	"\nExamples:\n"
	"  daytona-runner exec app -- make test\n"
	"  tar c src | daytona-runner exec app -i -- tar x -C /tmp";
static const char shell_usage[] = "shell WORKSPACE\n"
				  "Opens the user's shell in a workspace, in its checkout.\n"
				  "\nExample:\n"
				  "  daytona-runner shell app";

static int run(const char *applet, struct cli_admin *a, struct exec_call *x)
{
	struct err e = { 0 };
	int status = STREAM_FAILED;

	x->admin = a;
	if (cli_admin_open(a, applet, &e) == 0)
		status = stream_exec(applet, x);
	else
		status = applet_fail(applet, &e) == 2 ? 2 : STREAM_FAILED;
	cli_admin_close(a);
	return status;
}

static int exec_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct exec_call x = { 0 };
	const struct opt opts[] = {
		OPT_FLAG('i', "interactive", &x.input, "pass standard input on"),
		OPT_FLAG('t', "tty", &x.terminal, "with a terminal, if this is one"),
		OPT_STR('w', "cwd", "DIR", &x.cwd, "directory; the checkout if not given"),
		OPT_LIST('e', "env", "K=V", &x.env, "a variable; K alone: with its value here"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int n = opts_parse(opts, exec_usage, argc, argv, 2, -1), status;

	x.workspace = argv[1];
	x.args = argv + 2;
	x.n_args = n - 1;
	status = run("exec", &a, &x);
	free(x.env.v);
	return status;
}

static int shell_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct exec_call x = { .input = true, .terminal = true };
	const struct opt opts[] = {
		OPT_STR('w', "cwd", "DIR", &x.cwd, "directory; the checkout if not given"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};

	opts_parse(opts, shell_usage, argc, argv, 1, 1);
	x.workspace = argv[1];
	return run("shell", &a, &x);
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
