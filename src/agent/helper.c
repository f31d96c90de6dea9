/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_helper.h. */
#include "agent/helper.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define OVERTIME_MS 5000 /* the work has the deadline itself and ends its programs on it */

struct errand {
	void (*work)(void *arg, struct deadline d);
	void *arg;
	struct deadline d;
};

static void be_helper(void *arg)
{
	const struct errand *t = arg;

	signal(SIGPIPE, SIG_IGN);
	t->work(t->arg, t->d);
}

int helper_start(struct agent_helper *h, void (*work)(void *arg, struct deadline d), void *arg,
                 struct deadline d, struct err *e)
{
	struct errand errand = { work, arg, d };
	int fd[2], rc;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "create pipe");
	rc = fd_set_nonblock(fd[0], e);
	if (rc == 0)
		rc = spawn_start(&(struct spawn){ .work = be_helper,
		                                  .arg = &errand,
		                                  .std = { SPAWN_OURS, fd[1], SPAWN_OURS },
		                                  .lead = SPAWN_GROUP },
		                 d, &h->process, e);
	close(fd[1]);
	if (rc < 0) {
		close(fd[0]);
		return -1;
	}
	buf_reset(&h->answer);
	h->busy = true;
	h->fd = fd[0];
	h->d = d;
	return 0;
}

void helper_poll(const struct agent_helper *h, struct pollset *ps)
{
	if (!h->busy)
		return;
	pollset_add(ps, h->fd, POLLIN);
	pollset_until(ps, (struct deadline){ h->d.at_ms + OVERTIME_MS });
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
	spawn_forget(&h->process);
	h->busy = false;
	return ok ? HELPER_OK : HELPER_FAILED;
}

enum helper_state helper_step(struct agent_helper *h, struct buf *out)
{
	struct err e = { 0 };
	char chunk[4096];
	ssize_t n;

	if (!h->busy)
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
	if (n != 0)
		spawn_signal(&h->process, SIGKILL);
	return finish(h, out);
}
