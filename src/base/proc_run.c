/* SPDX-License-Identifier: Apache-2.0 */
/* See proc.h: proc_run. */
#include "base/confine.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define GRACE_DEFAULT_MS 5000
#define DRAIN_MS 2000
#define KILL_WAIT_MS 5000 /* a process in the kernel's hands may not end at once */
#define LOOK_MS 100       /* how soon *stop is seen, and the end of a child without a pidfd */

enum phase { PHASE_RUN, PHASE_TERM, PHASE_KILL };

struct run {
	const struct proc_spawn *s;
	struct deadline d;
	enum phase phase;
	struct deadline phase_end;
	enum err_kind reason; /* why it is being ended */
	pid_t pid;
	uint64_t began; /* its start time, as in struct proc_id; 0: not known */
	int pidfd, in, out;
	struct str left; /* of the input */
	bool exited, lost;
};

/* What a child that could not exec tells its parent. */
struct failure {
	int code;
	bool in_chdir;
};

static const char *find_path(const char *const *env)
{
	for (; *env; env++) {
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	}
	return DEFAULT_PATH;
}

int proc_exec(const char *const *argv, const char *const *env)
{
	union {
		const char *const *from;
		char *const *to;
	} a = { argv }, v = { env }; /* execve changes neither, but says so only in prose */
	struct str rest = str_of(find_path(env)), dir;
	char path[PATH_MAX];
	int code = ENOENT;

	if (strchr(argv[0], '/')) {
		execve(argv[0], a.to, v.to);
		return errno;
	}
	while (str_next(&rest, ':', &dir)) {
		int n = snprintf(path, sizeof(path), "%.*s/%s", STR_ARG(dir), argv[0]);

		if (dir.n == 0 || n < 0 || (size_t)n >= sizeof(path))
			continue;
		execve(path, a.to, v.to);
		if (errno != ENOENT && errno != ENOTDIR)
			code = errno;
	}
	return code;
}

static _Noreturn void be_child(const struct proc_spawn *s, const char *const *env, int in, int out,
                               int report, pid_t parent)
{
	struct failure f = { 0 };

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	proc_reset_signals();
	if (s->confined)
		confine_self();
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) {
		f.code = errno;
	} else if (s->cwd && chdir(s->cwd) < 0) {
		f = (struct failure){ errno, true };
	} else {
		proc_close_fds(&report, 1);
		f.code = proc_exec(s->argv, env);
	}
	while (write(report, &f, sizeof(f)) < 0 && errno == EINTR)
		;
	_exit(127);
}

static int make_pipe(int fd[2], struct err *e)
{
	if (pipe2(fd, O_CLOEXEC) < 0) {
		fd[0] = fd[1] = -1;
		return err_sys(e, errno, "create pipe");
	}
	return 0;
}

static int fork_child(struct run *r, int in, int out, int report, struct err *e)
{
	char path[PATH_MAX + 8];
	const char *const plain[] = { path, "HOME=/", NULL };
	const char *ours = getenv("PATH");
	pid_t parent = getpid();
	struct proc_id id;

	snprintf(path, sizeof(path), "PATH=%s", ours ? ours : DEFAULT_PATH);
	r->pid = fork();
	if (r->pid < 0)
		return err_sys(e, errno, "fork");
	if (r->pid == 0)
		be_child(r->s, r->s->env ? r->s->env : plain, in, out, report, parent);
	setpgid(r->pid, r->pid); /* whoever comes first; EACCES after its exec is harmless */
	r->pidfd = proc_pidfd(r->pid);
	r->began = proc_identify(r->pid, &id) ? id.start : 0;
	return 0;
}

static void kill_group(const struct run *r, int sig)
{
	if (kill(-r->pid, sig) < 0)
		kill(r->pid, sig);
}

static void reap(struct run *r, int *status)
{
	*status = 0;
	while (!r->lost && waitpid(r->pid, status, 0) < 0) {
		if (errno != EINTR)
			r->lost = true;
	}
}

/* Waits for the exec, or for the word why there was none. */
static int await_exec(struct run *r, int report, struct err *e)
{
	struct failure f = { 0 };
	ssize_t n = -1;
	int status;

	if (wait_fd(report, POLLIN, r->d, e) < 0) {
		kill_group(r, SIGKILL);
		reap(r, &status);
		return err_wrap(e, "start %s", r->s->argv[0]);
	}
	do
		n = read(report, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	reap(r, &status);
	if (n != (ssize_t)sizeof(f))
		return err_set(e, ERR_OTHER, 0, "start %s: the child ended too early",
		               r->s->argv[0]);
	if (f.in_chdir)
		return err_sys(e, f.code, "start %s in directory %s", r->s->argv[0], r->s->cwd);
	if (f.code == ENOENT && !strchr(r->s->argv[0], '/'))
		return err_set(e, ERR_NOT_FOUND, f.code, "%s: no such program in PATH; install it",
		               r->s->argv[0]);
	return err_sys(e, f.code, "start %s", r->s->argv[0]);
}

static int start(struct run *r, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, report[2] = { -1, -1 };
	int rc = -1;

	if (make_pipe(in, e) == 0 && make_pipe(out, e) == 0 && make_pipe(report, e) == 0 &&
	    fd_set_nonblock(in[1], e) == 0 && fd_set_nonblock(out[0], e) == 0 &&
	    fork_child(r, in[0], out[1], report[1], e) == 0) {
		fd_close(&report[1]);
		rc = await_exec(r, report[0], e);
	}
	fd_close(&in[0]);
	fd_close(&out[1]);
	fd_close(&report[0]);
	fd_close(&report[1]);
	r->in = in[1];
	r->out = out[0];
	if (rc < 0) {
		fd_close(&r->in);
		fd_close(&r->out);
		fd_close(&r->pidfd);
	}
	return rc;
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
	siginfo_t si = { 0 };

	/* It stays a zombie until the group was dealt with, so that its number is not used again. */
	if (waitid(P_PID, (id_t)r->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0)
		r->exited = si.si_pid == r->pid;
	else if (errno != EINTR)
		r->exited = r->lost = true;
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
		kill_group(r, SIGTERM);
		kill_group(r, SIGCONT);
	} else if (r->phase == PHASE_TERM && deadline_passed(r->phase_end)) {
		r->phase = PHASE_KILL;
		r->phase_end = deadline_in_ms(KILL_WAIT_MS);
		kill_group(r, SIGKILL);
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

/* Daemons that it left come to us where we are a subreaper, and nothing else of ours began after it did. */
static void end_orphans(const struct run *r)
{
	struct proc_id *all = NULL;
	size_t n = r->s->end_daemons && r->began ? proc_descendants(getpid(), &all) : 0;

	for (size_t i = 0; i < n; i++) {
		if (all[i].start >= r->began && proc_signal(all[i], SIGKILL))
			waitpid(all[i].pid, NULL, WNOHANG);
	}
	free(all);
}

static int finish(struct run *r, int *status, struct err *e)
{
	const char *name = r->s->argv[0];
	struct deadline drain = deadline_in_ms(DRAIN_MS);

	if (r->reason)
		kill_group(r, SIGKILL);
	fd_close(&r->in);
	while (r->out >= 0 && !deadline_passed(drain))
		wait_some(r, drain);
	if (!r->exited)
		return err_set(e, r->reason, 0, "%s (process %ld) does not end, not even killed",
		               name, (long)r->pid);
	reap(r, status);
	end_orphans(r);
	if (r->reason == ERR_CANCELED)
		return err_set(e, ERR_CANCELED, 0, "%s was stopped", name);
	if (r->reason)
		return err_set(e, ERR_TIMEOUT, 0, "%s took too long and was ended", name);
	if (r->lost)
		return err_set(e, ERR_OTHER, 0, "the exit status of %s is lost", name);
	return 0;
}

int proc_run(const struct proc_spawn *s, struct deadline d, int *status, struct err *e)
{
	struct run r = {
		.s = s, .d = d, .pid = -1, .pidfd = -1, .in = -1, .out = -1, .left = s->input
	};
	int rc;

	if (start(&r, e) < 0)
		return -1;
	if (!r.left.n)
		fd_close(&r.in);
	look_for_exit(&r);
	while (!r.exited && !(r.phase == PHASE_KILL && deadline_passed(r.phase_end))) {
		wait_some(&r, r.phase == PHASE_RUN ? r.d : r.phase_end);
		look_for_exit(&r);
		next_phase(&r);
	}
	rc = finish(&r, status, e);
	fd_close(&r.out);
	fd_close(&r.pidfd);
	return rc;
}
