/* SPDX-License-Identifier: Apache-2.0 */
/* See spawn.h: starting. Nothing else in the program forks. */
#include "base/spawn.h"

#include "base/attr.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/spawn_child.h"
#include "base/spawn_reap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEP_MAX 16
#define OTHERS_WRITE 022

/* What a child that could not do its part tells its parent. */
struct failure {
	int code;
	enum { IN_SETUP, IN_CHDIR, IN_EXEC } where;
};

static int set_streams(const struct spawn *s)
{
	int null = -1;

	for (int i = 0; i < 3; i++) {
		int from = s->std[i];

		if (from == SPAWN_OURS)
			continue;
		if (from == SPAWN_NULL) {
			if (null < 0)
				null = open("/dev/null", O_RDWR | O_CLOEXEC);
			from = null;
		}
		if (dup2(from, i) < 0)
			return errno;
	}
	return 0;
}

static void set_lead(const struct spawn *s)
{
	if (s->lead == SPAWN_SESSION)
		setsid();
	else if (s->lead == SPAWN_GROUP)
		setpgid(0, 0);
	if (s->terminal && s->lead != SPAWN_SESSION && isatty(0)) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpgrp());
	}
}

void spawn_confine(enum spawn_confine c)
{
	if (c == SPAWN_TOOL) {
		confine_self();
	} else if (c != SPAWN_FREE) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		confine_syscalls(c == SPAWN_JOB ? SYSCALLS_MACHINE : SYSCALLS_WORKSPACE);
	}
}

/* report: stays open with what is to be kept; -1: none. */
static void close_others(const struct spawn *s, int report)
{
	int keep[KEEP_MAX + 1] = { report };

	for (size_t i = 0; i < s->n_keep; i++) {
		keep[i + 1] = s->keep[i];
		if (!s->work)
			fcntl(s->keep[i], F_SETFD, 0);
	}
	spawn_close_fds(keep, s->n_keep + 1);
}

static struct failure set_up(const struct spawn *s, pid_t parent, int report)
{
	mode_t ours;
	int code;

	set_lead(s);
	if (s->death_signal)
		prctl(PR_SET_PDEATHSIG, s->death_signal);
	if (s->death_signal && getppid() != parent)
		_exit(127); /* it died before we could be told */
	code = set_streams(s);
	if (code == 0 && s->terminal && s->lead == SPAWN_SESSION && ioctl(0, TIOCSCTTY, 0) < 0)
		code = errno;
	if (code)
		return (struct failure){ code, IN_SETUP };
	if (s->cwd && chdir(s->cwd) < 0)
		return (struct failure){ errno, IN_CHDIR };
	if (s->nice && nice(s->nice) == -1)
		errno = 0; /* as fast as we are, then */
	if (!s->work) {
		ours = umask(s->umask);
		if (!s->umask)
			umask(ours | OTHERS_WRITE);
	}
	spawn_confine(s->confine);
	close_others(s, report);
	/* Last, so that a signal that was blocked finds the work about to begin. */
	spawn_reset_signals();
	return (struct failure){ 0 };
}

static _Noreturn void be_child(const struct spawn *s, const char *const *env, pid_t parent,
                               int report)
{
	struct failure f;

	spawn_register_clear();
	f = set_up(s, parent, report);
	if (f.code == 0 && s->work) {
		s->work(s->arg);
		_exit(0);
	}
	if (f.code == 0)
		f = (struct failure){ spawn_exec(s->program, s->argv, env), IN_EXEC };
	while (report >= 0 && write(report, &f, sizeof(f)) < 0 && errno == EINTR)
		;
	_exit(127);
}

static const char *name_of(const struct spawn *s)
{
	return s->program ? s->program : s->argv[0];
}

static int describe(const struct spawn *s, const struct failure *f, struct err *e)
{
	const char *name = name_of(s);

	if (f->where == IN_CHDIR)
		return err_sys(e, f->code, "start %s in directory %s", name, s->cwd);
	if (f->where == IN_EXEC && f->code == ENOENT && !strchr(name, '/'))
		return err_set(e, ERR_NOT_FOUND, f->code, "%s: no such program in PATH; install it",
		               name);
	return err_sys(e, f->code, "start %s", name);
}

/* Waits for the exec, or for the word why there was none. */
static int await_exec(const struct spawn *s, struct spawned *p, int report, struct deadline d,
                      struct err *e)
{
	struct failure f = { 0 };
	ssize_t n = -1;
	int status;

	if (wait_fd(report, POLLIN, d, e) < 0) {
		spawn_end(p);
		return err_wrap(e, "start %s", name_of(s));
	}
	do
		n = read(report, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	spawn_collect(p, &status);
	if (n != (ssize_t)sizeof(f))
		return err_set(e, ERR_OTHER, 0, "start %s: the child ended too early", name_of(s));
	return describe(s, &f, e);
}

static int fork_child(const struct spawn *s, const int report[2], struct spawned *out,
                      struct err *e)
{
	char path[PATH_MAX + 8];
	const char *const plain[] = { path, "HOME=/", NULL };
	const char *ours = getenv("PATH");
	pid_t parent = getpid(), pid;

	snprintf(path, sizeof(path), "PATH=%s", ours ? ours : SPAWN_DEFAULT_PATH);
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "fork");
	if (pid == 0)
		be_child(s, s->env ? s->env : plain, parent, report[1]);
	if (s->lead == SPAWN_GROUP)
		setpgid(pid, pid); /* whoever comes first; EACCES after its exec is harmless */
	*out = spawn_register(pid, s->lead != SPAWN_FOLLOW);
	return 0;
}

int spawn_start(const struct spawn *s, struct deadline d, struct spawned *out, struct err *e)
{
	int report[2] = { -1, -1 };
	int rc;

	*out = (struct spawned){ 0 };
	if (!s->work && !s->argv[0])
		return err_set(e, ERR_USAGE, 0, "no program to start");
	if (s->n_keep > KEEP_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %d descriptors to keep", KEEP_MAX);
	if (!s->work && pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, errno, "create pipe");
	rc = fork_child(s, report, out, e);
	fd_close(&report[1]);
	if (rc == 0 && !s->work)
		rc = await_exec(s, out, report[0], d, e);
	fd_close(&report[0]);
	return rc;
}

int spawn_become(const char *program, const char *const *argv, const int *keep, size_t n_keep,
                 struct err *e)
{
	int code;

	for (size_t i = 0; i < n_keep; i++)
		fcntl(keep[i], F_SETFD, 0);
	code = spawn_exec(program, argv, (const char *const *)environ);
	for (size_t i = 0; i < n_keep; i++)
		fcntl(keep[i], F_SETFD, FD_CLOEXEC);
	return err_sys(e, code, "start %s", program);
}
