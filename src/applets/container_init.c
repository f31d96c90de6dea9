/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First process of a workspace's container (providers/docker): reaps, and passes a stop on to every
 * process, also those that an engine put beside it and that are not its children. With --empty it deletes all that
 * is in a directory and ends. It only ever does either as process 1 of its own name space.
 */
#include "applets/container_init.h"

#include "applets/applets.h"

#include "base/deadline.h"
#include "base/err.h"
#include "base/file.h"
#include "base/spawn.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define GRACE_MS 8000 /* engines kill after 10 s */
#define LOOK_MS 20

static void end_all(const sigset_t *set)
{
	struct deadline d = deadline_in_ms(GRACE_MS);
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000L };

	if (getpid() != 1) /* kill(-1) would be for the whole machine */
		return;
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	while (!deadline_passed(d) && kill(-1, 0) == 0) {
		spawn_take_all();
		sigtimedwait(set, NULL, &look);
	}
}

int container_init(int argc, char **argv)
{
	static const int taken[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGCHLD };
	struct err e = { 0 };
	sigset_t set;
	int sig = 0;

	if (argc == 3 && strcmp(argv[1], "--empty") == 0 && getpid() == 1)
		return file_empty_dir(argv[2], &e) < 0 ? applet_fail("container-init", &e) : 0;
	/* An engine may put its own first process before it. */
	if (argc > 1 || (getpid() != 1 && getppid() != 1) || isatty(STDIN_FILENO)) {
		err_set(&e, ERR_USAGE, 0, "is started by the runner, in a workspace's container");
		return applet_fail("container-init", &e);
	}
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		sig = sigwaitinfo(&set, NULL);
		if (sig == SIGCHLD)
			spawn_take_all();
		else if (sig > 0 && sig != SIGHUP)
			break;
	}
	end_all(&set);
	return 0;
}

const struct applet container_init_applet = {
	.name = "container-init",
	.summary = "keep a workspace's container alive",
	.run = container_init,
	.hidden = true,
};
