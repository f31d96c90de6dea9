/* SPDX-License-Identifier: Apache-2.0 */
/* See proc.h: proc_run. */
#include "base/file.h"
#include "base/proc.h"
#include "base/proc_stat.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define GRACE_DEFAULT_MS 5000
#define DRAIN_MS 2000
#define KILL_WAIT_MS 5000 /* a process in the kernel's hands may not end at once */
#define DEPTH_MAX 256
#define LOOK_MS 100 /* how soon *stop is seen, and the end of a child without a pidfd */

enum phase { PHASE_RUN, PHASE_TERM, PHASE_KILL };

struct run {
	const struct proc_spawn *s;
	struct deadline d;
	enum phase phase;
	struct deadline phase_end;
	enum err_kind reason; /* why it is being ended */
	struct spawned p;
	pid_t pid;              /* p's, for texts once p was collected */
	struct proc_id *before; /* what was below us already, where daemons are to end */
	size_t n_before;
	int pidfd, in, out;
	struct str left; /* of the input */
	bool exited;
};

static int make_pipe(int fd[2], struct err *e)
{
	if (pipe2(fd, O_CLOEXEC) < 0) {
		fd[0] = fd[1] = -1;
		return err_sys(e, errno, "create pipe");
	}
	return 0;
}

static int start(struct run *r, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	struct spawn s = {
		.argv = r->s->argv,
		.env = r->s->env,
		.cwd = r->s->cwd,
		.lead = SPAWN_GROUP,
		.death_signal = SIGKILL,
		.confine = r->s->confined ? SPAWN_TOOL : SPAWN_FREE,
	};
	int rc = -1;

	if (r->s->end_daemons && !spawn_childless())
		r->n_before = proc_descendants(getpid(), &r->before);
	if (make_pipe(in, e) == 0 && make_pipe(out, e) == 0 && fd_set_nonblock(in[1], e) == 0 &&
	    fd_set_nonblock(out[0], e) == 0) {
		s.std[0] = in[0];
		s.std[1] = s.std[2] = out[1];
		rc = spawn_start(&s, r->d, &r->p, e);
	}
	fd_close(&in[0]);
	fd_close(&out[1]);
	r->in = in[1];
	r->out = out[0];
	if (rc < 0) {
		fd_close(&r->in);
		fd_close(&r->out);
		return -1;
	}
	r->pid = r->p.pid;
	r->pidfd = proc_pidfd(r->pid);
	return 0;
}

static void take_output(struct run *r)
{
	char chunk[8192];
	ssize_t n = read(r->out, chunk, sizeof(chunk));

	if (n > 0 && r->s->output)
		r->s->output(r->s->arg, (struct str){ chunk, (size_t)n });
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&r->out);
}

static void give_input(struct run *r)
{
	ssize_t n = r->left.n ? write(r->in, r->left.p, r->left.n) : 0;

	if (n > 0) {
		r->left.p += n;
		r->left.n -= (size_t)n;
	}
	/* A program need not read its input: that is no error. */
	if (!r->left.n || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&r->in);
}

static void look_for_exit(struct run *r)
{
	/* It stays a zombie until the group was dealt with, so that its number is not used again. */
	r->exited = spawn_look(&r->p) != SPAWN_RUNS;
}

static void next_phase(struct run *r)
{
	int64_t grace_ms = r->s->grace_ms ? r->s->grace_ms : GRACE_DEFAULT_MS;

	if (r->phase == PHASE_RUN) {
		bool stopped = r->s->stop && *r->s->stop;

		if (!stopped && !deadline_passed(r->d))
			return;
		r->reason = stopped ? ERR_CANCELED : ERR_TIMEOUT;
		r->phase = PHASE_TERM;
		r->phase_end = deadline_in_ms(grace_ms);
		spawn_signal(&r->p, SIGTERM);
		spawn_signal(&r->p, SIGCONT);
	} else if (r->phase == PHASE_TERM && deadline_passed(r->phase_end)) {
		r->phase = PHASE_KILL;
		r->phase_end = deadline_in_ms(KILL_WAIT_MS);
		spawn_signal(&r->p, SIGKILL);
	}
}

static void wait_some(struct run *r, struct deadline d)
{
	struct pollfd p[] = {
		{ .fd = r->out, .events = POLLIN },
		{ .fd = r->in, .events = POLLOUT },
		{ .fd = r->exited ? -1 : r->pidfd, .events = POLLIN },
	};

	if (!r->exited && (r->s->stop || r->pidfd < 0))
		d = deadline_min(d, deadline_in_ms(LOOK_MS));
	if (poll(p, ARRAY_LEN(p), deadline_poll_ms(d)) <= 0)
		return;
	if (p[0].revents)
		take_output(r);
	if (p[1].revents)
		give_input(r);
}

static bool was_before(const struct run *r, struct proc_id id)
{
	for (size_t i = 0; i < r->n_before; i++) {
		if (r->before[i].pid == id.pid && r->before[i].start == id.start)
			return true;
	}
	return false;
}

/* Was there before, or is below one that was. */
static bool is_older(const struct run *r, struct proc_id id)
{
	struct proc_stat s;

	for (int depth = 0; depth < DEPTH_MAX && proc_stat_read(id.pid, &s); depth++) {
		if (was_before(r, s.id))
			return true;
		if (s.ppid <= 1 || s.ppid == getpid())
			return false;
		id.pid = s.ppid;
	}
	return false;
}

/* All that were not there before; how many. */
static size_t find_orphans(const struct run *r, struct proc_id **all)
{
	size_t n = proc_descendants(getpid(), all), left = 0;

	for (size_t i = 0; i < n; i++)
		if (!is_older(r, (*all)[i]))
			(*all)[left++] = (*all)[i];
	return left;
}

/* Daemons that it left come to us where we are a subreaper, and we began nothing else meanwhile. A walk is no snapshot: who
 * was not met in one has a parent that was not met either, since it has ended meanwhile, and come to us. A start time tells
 * nothing: it counts in hundredths of a second. */
static void end_orphans(const struct run *r)
{
	struct deadline until = deadline_in_ms(KILL_WAIT_MS);
	struct err ignored = { 0 }; /* one that does not even end by SIGKILL */
	bool more = r->s->end_daemons;

	while (more && !spawn_childless() && !deadline_passed(until)) {
		struct proc_id *all = NULL;
		size_t n = find_orphans(r, &all);

		if (n)
			(void)proc_end_tree(all, n, 0, until, &ignored);
		more = spawn_take_all() || n;
		free(all);
	}
}

static int finish(struct run *r, int *status, struct err *e)
{
	const char *name = r->s->argv[0];
	struct deadline drain = deadline_in_ms(DRAIN_MS);
	bool known;

	if (r->reason)
		spawn_signal(&r->p, SIGKILL);
	fd_close(&r->in);
	while (r->out >= 0 && !deadline_passed(drain))
		wait_some(r, drain);
	if (!r->exited) {
		spawn_forget(&r->p);
		return err_set(e, r->reason, 0, "%s (process %ld) does not end, not even killed",
		               name, (long)r->pid);
	}
	known = spawn_collect(&r->p, status);
	end_orphans(r);
	if (r->reason == ERR_CANCELED)
		return err_set(e, ERR_CANCELED, 0, "%s was stopped", name);
	if (r->reason)
		return err_set(e, ERR_TIMEOUT, 0, "%s took too long and was ended", name);
	if (!known)
		return err_set(e, ERR_OTHER, 0, "the exit status of %s is lost", name);
	return 0;
}

int proc_run(const struct proc_spawn *s, struct deadline d, int *status, struct err *e)
{
	struct run r = { .s = s, .d = d, .pidfd = -1, .in = -1, .out = -1, .left = s->input };
	int rc;

	if (start(&r, e) < 0) {
		free(r.before);
		return -1;
	}
	if (!r.left.n)
		fd_close(&r.in);
	look_for_exit(&r);
	while (!r.exited && !(r.phase == PHASE_KILL && deadline_passed(r.phase_end))) {
		wait_some(&r, r.phase == PHASE_RUN ? r.d : r.phase_end);
		look_for_exit(&r);
		next_phase(&r);
	}
	rc = finish(&r, status, e);
	free(r.before);
	fd_close(&r.out);
	fd_close(&r.pidfd);
	return rc;
}
