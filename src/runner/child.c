/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h: forked work. A child shares no descriptor but stderr and its pipe, and no lock. */
#include "runner/child.h"

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "sandbox/idhelper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_OUT_MAX 65536
#define CHILD_GRACE_MS 10000

static volatile int child_stop; /* set by SIGTERM, in the child alone */

static void on_term(int sig)
{
	(void)sig;
	child_stop = 1;
}

/* What a child is about; its copy of our memory has it. */
struct errand {
	void (*work)(void *arg, const volatile int *stop, struct buf *out);
	void *arg;
	int fd;
};

static void child_main(void *arg)
{
	const struct errand *t = arg;
	struct sigaction sa = { .sa_handler = on_term };
	struct buf out = { 0 };
	struct err e = { 0 };

	idhelper_start(); /* before no privileges can be gained any more */
	spawn_confine(SPAWN_JOB);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what its programs leave behind comes to it */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	log_set_sink(NULL, NULL);
	log_to_stderr(true);
	t->work(t->arg, &child_stop, &out);
	if (file_write_all(t->fd, buf_str(&out), "result", &e) < 0)
		_exit(1);
}

int child_start(struct child *c, void (*work)(void *arg, const volatile int *stop, struct buf *out),
                void *arg, struct deadline term_at, struct err *e)
{
	struct errand errand = { .work = work, .arg = arg };
	struct spawned p = { 0 };
	int fd[2];
	int rc = -1;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	errand.fd = fd[1];
	if (fd_set_nonblock(fd[0], e) == 0)
		rc = spawn_start(
			&(struct spawn){
				.work = child_main,
				.arg = &errand,
				.cwd = "/", /* ours may be removed while we run */
				.std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
				.keep = &fd[1],
				.n_keep = 1,
				.lead = SPAWN_SESSION,
				/* Else the next supervisor would start the same work again. */
				.death_signal = SIGKILL },
			DEADLINE_NEVER, &p, e);
	close(fd[1]);
	if (rc < 0) {
		close(fd[0]);
		return -1;
	}
	buf_reset(&c->out);
	*c = (struct child){
		.p = p, .fd = fd[0], .out = c->out, .term_at = term_at, .kill_at = DEADLINE_NEVER
	};
	if (!proc_identify(p.pid, &c->id)) /* ended already: its zombie is still ours */
		c->id = (struct proc_id){ .pid = p.pid };
	return 0;
}

void child_poll(const struct child *c, struct pollset *ps)
{
	if (!c->id.pid)
		return;
	pollset_add(ps, c->fd, POLLIN);
	pollset_until(ps, deadline_min(c->term_at, c->kill_at));
}

static void read_pipe(struct child *c)
{
	char chunk[2048];
	ssize_t n;

	while (c->fd >= 0 && (n = read(c->fd, chunk, sizeof(chunk))) != 0) {
		size_t room = CHILD_OUT_MAX - c->out.n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* nothing there now */
		buf_add(&c->out, chunk, (size_t)n < room ? (size_t)n : room);
	}
	fd_close(&c->fd);
}

void child_tell(struct child *c, int64_t grace_ms)
{
	if (!c->id.pid)
		return;
	if (!c->told)
		spawn_signal(&c->p, SIGTERM);
	c->told = true;
	c->term_at = DEADLINE_NEVER;
	c->kill_at = deadline_min(c->kill_at, deadline_in_ms(grace_ms));
}

void child_step(struct child *c)
{
	if (!c->id.pid)
		return;
	read_pipe(c);
	if (deadline_passed(c->term_at)) {
		c->overdue = true;
		child_tell(c, CHILD_GRACE_MS);
	}
	if (deadline_passed(c->kill_at)) {
		spawn_signal(&c->p, SIGKILL);
		c->kill_at = DEADLINE_NEVER;
	}
}

size_t child_kill_session(struct proc_id leader, uint64_t latest)
{
	const pid_t roots[] = {
		getpid(), 1
	}; /* a process that entered our namespace is below neither of them alone */
	struct proc_id now;
	size_t found = 0;

	/* While members of the session are left, its number is no one else's. */
	if (proc_identify(leader.pid, &now) && now.start != leader.start)
		return 0;
	for (size_t r = 0; r < ARRAY_LEN(roots); r++) {
		struct proc_id *all = NULL;
		size_t n = proc_descendants(roots[r], &all);

		for (size_t i = 0; i < n; i++) {
			if (all[i].pid != getpid() && all[i].start >= leader.start &&
			    all[i].start <= latest && getsid(all[i].pid) == leader.pid)
				found += proc_signal(all[i], SIGKILL);
		}
		free(all);
	}
	return found;
}

void child_ended(struct child *c, int status)
{
	read_pipe(c);
	fd_close(&c->fd);
	/* What is left of its process group; a group outlives its leader's zombie. */
	spawn_signal(&c->p, SIGKILL);
	if (!WIFEXITED(status))
		child_kill_session(c->id, UINT64_MAX);
	spawn_forget(&c->p);
	c->id = (struct proc_id){ 0 };
	c->term_at = c->kill_at = DEADLINE_NEVER;
}

void child_free(struct child *c)
{
	if (c->fd > 0)
		fd_close(&c->fd);
	buf_free(&c->out);
	*c = (struct child){ .fd = -1 };
}
