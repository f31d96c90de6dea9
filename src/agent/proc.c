/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_proc.h. */
#include "agent/proc.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILL_MS 5000
#define EXEC_MS 30000 /* a program on a dead network file system */
#define ROUNDS_MAX 20

extern char **environ;

static _Noreturn void be_command(char *const *argv, const char *dir, int report)
{
	int code;

	setpgid(0, 0);
	if (isatty(0)) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpgrp());
	}
	spawn_reset_signals();
	if (dir && chdir(dir) < 0) {
		code = errno;
	} else {
		spawn_close_fds(&report, 1);
		code = spawn_exec(NULL, (const char *const *)argv, (const char *const *)environ);
	}
	while (write(report, &code, sizeof(code)) < 0 && errno == EINTR)
		;
	_exit(127);
}

int agent_command_start(char *const *argv, const char *dir, pid_t *pid, struct err *e)
{
	int fd[2], code = 0;
	ssize_t n;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "create pipe");
	*pid = fork();
	if (*pid < 0) {
		code = errno;
		close(fd[0]);
		close(fd[1]);
		return err_sys(e, code, "fork");
	}
	if (*pid == 0)
		be_command(argv, dir, fd[1]);
	setpgid(*pid, *pid); /* whoever comes first */
	close(fd[1]);
	if (wait_fd(fd[0], POLLIN, deadline_in_ms(EXEC_MS), e) < 0) {
		close(fd[0]);
		kill(*pid, SIGKILL);
		return err_wrap(e, "start %s", argv[0]);
	}
	do
		n = read(fd[0], &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(fd[0]);
	if (n == 0)
		return 0;
	waitpid(*pid, NULL, 0);
	*pid = 0;
	return err_sys(e, code, "start %s", argv[0]);
}

void agent_command_signal(pid_t pid, int sig)
{
	if (pid > 0 && kill(-pid, sig) < 0)
		kill(pid, sig);
}

int agent_end_children(int64_t grace_ms, struct err *e)
{
	struct deadline d = deadline_in_ms(grace_ms + KILL_MS);
	int64_t grace_end = clock_mono_ms() + grace_ms;

	/* Orphans of what ends come to us, so one round may not be all. */
	for (int round = 0; round < ROUNDS_MAX; round++) {
		int64_t left = grace_end - clock_mono_ms();
		struct proc_id *ids;
		size_t n = proc_descendants(getpid(), &ids);
		int rc = n ? proc_end_tree(ids, n, left > 0 ? left : 0, d, e) : 0;

		free(ids);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (n == 0 || rc < 0)
			return rc;
	}
	return err_set(e, ERR_TIMEOUT, 0, "new processes appear faster than they can be ended");
}
