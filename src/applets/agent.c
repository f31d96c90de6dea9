/* SPDX-License-Identifier: Apache-2.0 */
/* The workspace agent (design 6): everything but a command beside it comes from the environment. */
#include "agent/agent.h"
#include "applets/applets.h"
#include "base/err.h"
#include "base/opts.h"
#include "base/spawn_child.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* What enters a workspace is this program before it is another (sandbox/enter.c). */
static int become(char **argv)
{
	struct err e = { 0 };
	int code = spawn_exec(NULL, (const char *const *)argv, (const char *const *)environ);

	err_sys(&e, code, "%s", argv[0]);
	applet_fail("exec", &e);
	return code == ENOENT ? 127 : 126;
}

static int agent_run(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_END };
	struct err e = { 0 };
	int rc;

	if (argc > 2 && strcmp(argv[1], "--become") == 0)
		return become(argv + 2);
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		argc--;
		argv++;
	} else if (argc > 1 && argv[1][0] == '-') {
		opts_parse(
			opts,
			"agent [--] [COMMAND [ARG...]]\n"
			"Runs inside a workspace: clones when asked to, posts the workspace's state,\n"
			"adopts and reaps processes, and runs COMMAND beside. A runner starts it and\n"
			"sets its environment (DAYTONA_SERVER_API_URL and more).",
			argc, argv, 0, 0);
	}
	rc = agent_main(argc - 1, argv + 1, &e);
	return rc < 0 ? applet_fail("agent", &e) : rc;
}

const struct applet agent_applet = {
	.name = "agent",
	.summary = "run inside a workspace and keep it known to the Server",
	.run = agent_run,
};
