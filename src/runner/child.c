/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h: forked work. A child shares no descriptor but stderr and its pipe, and no lock. */
#include "runner/child.h"

#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn_child.h"

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

static _Noreturn void child_main(void (*work)(void *arg, const volatile int *stop, struct buf *out),
                                 void *arg, int fd, pid_t parent)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct buf out = { 0 };
	struct err e = { 0 };

	setsid();
	/* A job must not outlive its supervisor: the next one would start the same work again. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	confine_calls(CALLS_MACHINE);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what its programs leave behind comes to it */
	if (getppid() != parent)
		_exit(1);
	spawn_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	spawn_close_fds(&fd, 1);
	log_set_sink(NULL, NULL);
	log_to_stderr(true);
	work(arg, &child_stop, &out);
	if (file_write_all(fd, buf_str(&out), "result", &e) < 0)
		_exit(1);
	_exit(0);
}

int child_start(struct child *c, void (*work)(void *arg, const volatile int *stop, struct buf *out),
                void *arg, struct deadline term_at, struct err *e)
{
	pid_t parent = getpid();
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	pid = -1;
	if (fd_set_nonblock(p[0], e) == 0) {
		pid = fork();
		if (pid < 0)
			err_sys(e, errno, "start a process");
	}
	if (pid < 0) {
		close(p[0]);
		close(p[1]);
		return -1;
	}
	if (pid == 0)
		child_main(work, arg, p[1], parent);
	close(p[1]);
	buf_reset(&c->out);
	*c = (struct child){
		.fd = p[0], .out = c->out, .term_at = term_at, .kill_at = DEADLINE_NEVER
	};
	if (!proc_identify(pid, &c->id)) /* ended already: its zombie is still ours */
		c->id = (struct proc_id){ .pid = pid };
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

static void signal_session(const struct child *c, int sig)
{
	/* It leads its own process group from setsid on; before that the single process is all. */
	if (kill(-c->id.pid, sig) < 0)
		kill(c->id.pid, sig);
}

void child_tell(struct child *c, int64_t grace_ms)
{
	if (!c->id.pid)
		return;
	if (!c->told)
		signal_session(c, SIGTERM);
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
		signal_session(c, SIGKILL);
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
	kill(-c->id.pid, SIGKILL);
	if (!WIFEXITED(status))
		child_kill_session(c->id, UINT64_MAX);
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
