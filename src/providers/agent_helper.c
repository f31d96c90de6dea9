/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_helper.h. On the pipe: '+' and the answer, or '-' and the text of an error. */
#include "providers/agent_helper.h"

#include "base/file.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define OVERTIME_MS 5000 /* the work has the deadline itself and ends its programs on it */

int helper_start(struct agent_helper *h,
                 int (*work)(void *arg, struct buf *answer, struct deadline d, struct err *e),
                 void *arg, struct deadline d, struct err *e)
{
	struct buf b = { 0 };
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "create pipe");
	pid = fork();
	if (pid < 0) {
		close(fd[0]);
		close(fd[1]);
		return err_sys(e, errno, "fork");
	}
	if (pid == 0) {
		struct buf answer = { 0 };
		struct err failed = { 0 };

		proc_reset_signals();
		signal(SIGPIPE, SIG_IGN);
		proc_close_fds(&fd[1], 1);
		/* Apart from the sign: what writes JSON looks at the byte before. */
		if (work(arg, &answer, d, &failed) < 0) {
			buf_addf(&b, "-%s", failed.msg);
		} else {
			buf_addc(&b, '+');
			buf_add_str(&b, buf_str(&answer));
		}
		_exit(file_write_all(fd[1], buf_str(&b), "pipe", &failed) < 0);
	}
	close(fd[1]);
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
	bool ok = h->answer.n > 0 && h->answer.p[0] == '+';

	if (h->answer.n > 0)
		buf_add(out, h->answer.p + 1, h->answer.n - 1);
	else
		buf_adds(out, "it ended without an answer");
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
		kill(h->pid, SIGKILL);
	return finish(h, out);
}
