/* SPDX-License-Identifier: Apache-2.0 */
/* See inside.h: a program and the descriptors of who asked for it. */
#include "base/file.h"
#include "base/proc_stat.h"
#include "base/spawn.h"
#include "base/told.h"
#include "net/pollset.h"
#include "providers/native/inside.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS \
	100 /* where the kernel has no descriptors of processes, or a word could be missed */
#define BATCH 16384
#define LEAVE_MS 2000
#define END_OF_INPUT '\4' /* for a terminal */

/* What is not handed over itself: the terminal of who asked would let a program type into it (TIOCSTI) and change it. */
struct join {
	const struct workspace_exec *exec;
	struct spawned p;
	int pidfd;
	int in, out[2]; /* our ends; -1: it has our descriptor, or has closed its end. A terminal's master is in and out[0] */
	char input[BATCH];
	size_t at, n;
	struct told told;
	struct deadline left; /* then whoever asked is gone, or wants to be */
	bool over;            /* nothing comes from us any more */
	bool unwanted;        /* nobody reads what it writes */
};

static void set_size(const struct join *j, unsigned short rows, unsigned short cols)
{
	struct winsize w = { .ws_row = rows, .ws_col = cols };

	if (j->exec->tty && j->in >= 0 && rows && cols)
		(void)ioctl(j->in, TIOCSWINSZ, &w);
}

static void take_signal(struct join *j, int sig)
{
	bool ends = told_ends(&j->told, sig, j->exec->tty);

	spawn_signal(&j->p, ends && j->exec->tty ? SIGHUP : sig);
	if (ends && !j->left.at_ms)
		j->left = deadline_in_ms(j->exec->tty ? LEAVE_MS : 0);
}

static bool is_left(const struct join *j)
{
	return j->left.at_ms && deadline_passed(j->left);
}

static void take_events(struct join *j)
{
	struct exec_event ev;

	while (j->exec->next(j->exec->arg, &ev)) {
		if (ev.signal)
			take_signal(j, ev.signal);
		else
			set_size(j, ev.rows, ev.cols);
	}
}

static void take_input(struct join *j)
{
	ssize_t n = read(j->exec->std[0], j->input, sizeof(j->input));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	j->over = n <= 0;
	j->at = 0;
	j->n = n > 0 ? (size_t)n : 0;
	if (!j->over)
		return;
	if (j->exec->tty) {
		j->input[0] = END_OF_INPUT;
		j->n = 1;
	} else {
		fd_close(&j->in);
	}
}

static void give_input(struct join *j)
{
	while (j->n && j->in >= 0) {
		ssize_t n = write(j->in, j->input + j->at, j->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* it reads no more; its output still counts */
			j->over = true;
			j->n = 0;
			if (!j->exec->tty)
				fd_close(&j->in);
			return;
		}
		j->at += (size_t)n;
		j->n -= (size_t)n;
	}
}

static void take_output(struct join *j, int i)
{
	char piece[BATCH];
	struct err ignored;

	while (j->out[i] >= 0 && !j->unwanted) {
		ssize_t n = read(j->out[i], piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* EIO of a terminal: nobody has it open */
			if (!j->exec->tty)
				close(j->out[i]);
			j->out[i] = -1;
		} else if (file_write_all(j->exec->std[i + 1], (struct str){ piece, (size_t)n },
		                          "output", &ignored) < 0) {
			j->unwanted = true;
		}
	}
}

static int turn(struct join *j, struct pollset *ps, struct deadline d, struct err *e)
{
	bool reads = j->in >= 0 && !j->over && !j->n;

	pollset_reset(ps);
	pollset_add(ps, j->pidfd, POLLIN);
	pollset_add(ps, j->exec->side, POLLIN);
	if (reads)
		pollset_add(ps, j->exec->std[0], POLLIN);
	if (j->n)
		pollset_add(ps, j->in, POLLOUT);
	for (int i = 0; i < 2; i++)
		pollset_add(ps, j->out[i], POLLIN);
	pollset_until(ps,
	              j->pidfd < 0 || j->exec->stop ? deadline_min(d, deadline_in_ms(LOOK_MS)) : d);
	if (j->left.at_ms)
		pollset_until(ps, j->left);
	if (pollset_wait(ps, e) < 0)
		return -1;
	if (j->exec->stop && *j->exec->stop)
		return err_set(e, ERR_CANCELED, 0, "stopped because the runner was told to end");
	if (deadline_passed(d))
		return err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
	if (j->exec->side >= 0 && pollset_revents(ps, j->exec->side))
		take_events(j);
	if (reads && pollset_revents(ps, j->exec->std[0]))
		take_input(j);
	give_input(j);
	for (int i = 0; i < 2; i++)
		take_output(j, i);
	return 0;
}

static int run(struct join *j, int *status, struct deadline d, struct err *e)
{
	struct pollset ps = { 0 };
	int rc = 0, wait_status = 0;

	j->pidfd = proc_pidfd(j->p.pid);
	while (rc == 0 && !j->unwanted && !is_left(j) && spawn_look(&j->p) == SPAWN_RUNS)
		rc = turn(j, &ps, d, e);
	for (int i = 0; rc == 0 && i < 2; i++)
		take_output(j,
		            i); /* its last words: what its own children write is not waited for */
	pollset_free(&ps);
	fd_close(&j->pidfd);
	if (rc < 0 || j->unwanted) {
		spawn_end(&j->p);
		return rc < 0 ? -1
		              : err_set(e, ERR_CLOSED, 0, "nobody reads what the program says");
	}
	if (is_left(j) && spawn_look(&j->p) == SPAWN_RUNS) {
		spawn_end(&j->p);
		*status = 128 + j->told.sig;
		return 0;
	}
	if (!spawn_collect(&j->p, &wait_status))
		return err_set(e, ERR_OTHER, 0, "the exit status is lost");
	*status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	return 0;
}

static int open_terminal(int *master, int *slave, struct err *e)
{
	char name[64];

	*master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (*master < 0 || grantpt(*master) < 0 || unlockpt(*master) < 0 ||
	    ptsname_r(*master, name, sizeof(name)) != 0)
		return err_sys(e, errno, "open a terminal");
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return *slave < 0 ? err_sys(e, errno, "open %s", name) : 0;
}

/* Its stream i becomes theirs: our descriptor, or the far end of a pipe. */
static int open_stream(struct join *j, int i, int *theirs, struct err *e)
{
	int fds[2];

	*theirs = j->exec->std[i] == i  ? SPAWN_OURS
	          : j->exec->std[i] < 0 ? SPAWN_NULL
	                                : j->exec->std[i];
	if (j->exec->std[i] < 0 || !isatty(j->exec->std[i]))
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	*theirs = fds[i == 0 ? 0 : 1];
	*(i == 0 ? &j->in : &j->out[i - 1]) = fds[i == 0 ? 1 : 0];
	return fd_set_nonblock(fds[i == 0 ? 1 : 0], e);
}

static int open_all(struct join *j, struct proc_id box, int std[3], struct err *e)
{
	int slave = -1, rc = 0;

	if (j->exec->tty) {
		if (!box.pid)
			rc = open_terminal(&j->in, &slave, e);
		else if ((j->in = sandbox_terminal(box, &slave, e)) < 0)
			rc = -1;
		j->out[0] = j->in;
		std[0] = std[1] = std[2] = slave;
	}
	for (int i = 0; !j->exec->tty && rc == 0 && i < 3; i++)
		rc = open_stream(j, i, &std[i], e);
	return rc;
}

int native_join(native_start_fn *start, void *arg, struct proc_id box,
                const struct workspace_exec *exec, int *status, struct deadline d, struct err *e)
{
	struct join j = { .exec = exec, .pidfd = -1, .in = -1, .out = { -1, -1 } };
	int std[3] = { SPAWN_NULL, SPAWN_NULL, SPAWN_NULL }, master;
	int rc = open_all(&j, box, std, e);

	master = exec->tty ? j.in : -1;
	set_size(&j, exec->rows, exec->cols);
	if (rc == 0)
		rc = start(arg, exec, std, exec->tty, d, &j.p, e);
	for (int i = 0; i < 3; i++)
		if (std[i] > 2 && std[i] != exec->std[i] && (i == 0 || !exec->tty))
			close(std[i]);
	if (rc == 0)
		rc = run(&j, status, d, e);
	if (exec->tty) {
		fd_close(&master);
	} else {
		fd_close(&j.in);
		fd_close(&j.out[0]);
		fd_close(&j.out[1]);
	}
	return rc;
}

/* What a command says, on its way to the job's log. */
struct words {
	const struct provider_env *env;
	int fd;
};

static bool pass_on(void *arg, struct exec_event *ev)
{
	const struct words *w = arg;
	char piece[BATCH];
	ssize_t n;

	(void)ev;
	while ((n = read(w->fd, piece, sizeof(piece))) > 0)
		if (w->env->log)
			w->env->log(w->env->log_arg, (struct str){ piece, (size_t)n });
	return false;
}

int native_logged(const struct provider_env *env, const char *const *argv,
                  struct workspace_exec *exec,
                  int (*run_it)(void *arg, const struct workspace_exec *exec, int *status,
                                struct deadline d, struct err *e),
                  void *arg, const char *name, struct deadline d, struct err *e)
{
	struct words w = { .env = env };
	int fd[2], status = 0, rc;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	w.fd = exec->side = fd[0];
	exec->argv = argv;
	exec->std[0] = -1;
	exec->std[1] = exec->std[2] = fd[1];
	exec->next = pass_on;
	exec->arg = &w;
	exec->stop = env->stop;
	rc = fd_set_nonblock(fd[0], e);
	if (rc == 0)
		rc = run_it(arg, exec, &status, d, e);
	pass_on(&w, NULL);
	exec->arg = NULL;
	close(fd[0]);
	close(fd[1]);
	if (rc == 0 && status != 0)
		rc = err_set(e, ERR_OTHER, status, "%s failed: exit status %d", name, status);
	return rc;
}
