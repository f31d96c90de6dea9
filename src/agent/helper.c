/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_helper.h. */
#include "agent/helper.h"

#include "base/file.h"
#include "base/proc.h"
#include "base/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define OVERTIME_MS 5000 /* the work has the deadline itself and ends its programs on it */

static _Noreturn void be_helper(int out, void (*work)(void *arg, struct deadline d), void *arg,
                                struct deadline d)
{
	setpgid(0, 0);
	spawn_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	if (dup2(out, 1) == 1) {
		spawn_close_fds(NULL, 0);
		work(arg, d);
	}
	_exit(126);
}

int helper_start(struct agent_helper *h, void (*work)(void *arg, struct deadline d), void *arg,
                 struct deadline d, struct err *e)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "create pipe");
	pid = fork();
	if (pid == 0)
		be_helper(fd[1], work, arg, d);
	close(fd[1]);
	if (pid < 0) {
		int code = errno;

		close(fd[0]);
		return err_sys(e, code, "fork");
	}
	setpgid(pid, pid); /* whoever comes first */
	buf_reset(&h->answer);
	h->pid = pid;
	h->fd = fd[0];
	h->d = d;
	return fd_set_nonblock(h->fd, e);
}

void helper_poll(const struct agent_helper *h, struct pollset *ps)
{
	if (!h->pid)
		return;
	pollset_add(ps, h->fd, POLLIN);
	pollset_until(ps, (struct deadline){ h->d.at_ms + OVERTIME_MS });
}

void helper_reaped(struct agent_helper *h, pid_t pid)
{
	if (h->pid == pid)
		h->pid = -1; /* still to be read to its end */
}

static enum helper_state finish(struct agent_helper *h, struct buf *out)
{
	bool ok = h->answer.n == 0 || h->answer.p[0] != '-';

	if (ok)
		buf_add_str(out, buf_str(&h->answer));
	else
		buf_adds(out, buf_cstr(&h->answer) + 1);
	fd_close(&h->fd);
	buf_free(&h->answer);
	h->pid = 0;
	return ok ? HELPER_OK : HELPER_FAILED;
}

enum helper_state helper_step(struct agent_helper *h, struct buf *out)
{
	struct err e = { 0 };
	char chunk[4096];
	ssize_t n;

	if (!h->pid)
		return HELPER_NONE;
	for (;;) {
		n = read(h->fd, chunk, sizeof(chunk));
		if (n > 0 && buf_add_max(&h->answer, chunk, (size_t)n, HELPER_ANSWER_MAX, &e) == 0)
			continue;
		if (n < 0 && errno == EINTR)
			continue;
		break;
	}
	if (n < 0 && errno == EAGAIN) {
		if (clock_mono_ms() < h->d.at_ms + OVERTIME_MS)
			return HELPER_BUSY;
		buf_reset(&h->answer);
		buf_adds(&h->answer, "-it took too long");
	}
	if (n != 0 && h->pid > 0)
		kill(-h->pid, SIGKILL);
	return finish(h, out);
}
