/* SPDX-License-Identifier: Apache-2.0 */
/* See bounds.h: a program that begins when its bounds are set, so that nothing it starts is without them. */
#include "base/file.h"
#include "base/spawn_child.h"
#include "providers/native/bounds.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATE_KEEP 2

struct gate {
	const struct spawn *s;
	int go, report;
};

static void pass(void *arg)
{
	const struct gate *gate = arg;
	char c;
	int code;

	if (read(gate->go, &c, 1) != 1)
		_exit(127);
	umask(gate->s->umask);
	for (size_t i = 0; i < gate->s->n_keep; i++)
		fcntl(gate->s->keep[i], F_SETFD, 0);
	code = spawn_exec(gate->s->program, gate->s->argv, gate->s->env);
	if (write(gate->report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

/* Nothing comes when the program was executed. */
static int await_exec(int report, const char *name, struct deadline d, struct err *e)
{
	int code = 0;

	if (wait_fd(report, POLLIN, d, e) < 0)
		return err_wrap(e, "start %s", name);
	if (read(report, &code, sizeof(code)) != (ssize_t)sizeof(code))
		return 0;
	if (code == ENOENT && !strchr(name, '/'))
		return err_set(e, ERR_NOT_FOUND, code, "%s: no such program in PATH", name);
	return err_sys(e, code, "start %s", name);
}

static int open_gate(const struct spawn *s, int go[2], int report[2],
                     int (*admit)(void *arg, pid_t pid, struct err *e), void *arg,
                     struct deadline d, struct spawned *p, struct err *e)
{
	struct gate gate = { s, go[0], report[1] };
	struct spawn child = *s;
	int keep[GATE_KEEP + 2] = { go[0], report[1] };
	int rc;

	if (s->n_keep > GATE_KEEP)
		return err_set(e, ERR_LIMIT, 0, "more than %d descriptors to keep", GATE_KEEP);
	for (size_t i = 0; i < s->n_keep; i++)
		keep[i + 2] = s->keep[i];

	child.work = pass;
	child.arg = &gate;
	child.keep = keep;
	child.n_keep = s->n_keep + 2;
	rc = spawn_start(&child, d, p, e);
	fd_close(&go[0]);
	fd_close(&report[1]);
	if (rc == 0)
		rc = admit(arg, p->pid, e);
	if (rc == 0 && write(go[1], "x", 1) != 1)
		rc = err_sys(e, errno, "start %s", s->argv[0]);
	if (rc == 0)
		rc = await_exec(report[0], s->argv[0], d, e);
	if (rc < 0)
		spawn_end(p);
	return rc;
}

int native_gate(const struct spawn *s, int (*admit)(void *arg, pid_t pid, struct err *e), void *arg,
                struct deadline d, struct spawned *p, struct err *e)
{
	int go[2] = { -1, -1 }, report[2] = { -1, -1 }, rc;

	if (s->cwd && access(s->cwd, X_OK) < 0)
		return err_sys(e, errno, "start %s in directory %s", s->argv[0], s->cwd);
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		rc = err_sys(e, errno, "pipe");
	else
		rc = open_gate(s, go, report, admit, arg, d, p, e);
	for (int i = 0; i < 2; i++) {
		fd_close(&go[i]);
		fd_close(&report[i]);
	}
	return rc;
}
