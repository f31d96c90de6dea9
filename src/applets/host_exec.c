/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h: the terminal and the signals of who asked. */
#include "applets/host.h"

#include "base/file.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

/* What a terminal needs to be given back, whatever ends us but SIGKILL. */
struct terminal {
	struct termios before;
	bool raw;
};

static void make_raw(struct terminal *t)
{
	struct termios now;

	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return;
	now = t->before;
	cfmakeraw(&now);
	t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
}

static void give_back(const struct terminal *t)
{
	if (t->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
}

static void window(unsigned short *rows, unsigned short *cols)
{
	struct winsize w = { 0 };

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	*rows = w.ws_row;
	*cols = w.ws_col;
}

static bool next_event(void *arg, struct exec_event *ev)
{
	const int *fd = arg;
	struct signalfd_siginfo si;

	if (read(*fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return false;
	*ev = (struct exec_event){ .signal = (int)si.ssi_signo };
	if (ev->signal == SIGWINCH) {
		ev->signal = 0;
		window(&ev->rows, &ev->cols);
	}
	return true;
}

static int open_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		err_sys(e, errno, "signalfd");
	return fd;
}

int host_exec(const struct config *c, const struct workspace *ws, const struct host_exec *x,
              int *status, struct err *e)
{
	struct terminal t = { .raw = false };
	struct host_provider p;
	int signals = open_signals(e), rc = -1;
	struct workspace_exec w = { .ws = ws,
		                    .argv = x->argv,
		                    .env = x->env,
		                    .cwd = x->cwd,
		                    .user = x->user,
		                    .tty = x->tty,
		                    .std = { x->input ? STDIN_FILENO : -1, STDOUT_FILENO,
		                             STDERR_FILENO },
		                    .side = signals,
		                    .next = next_event,
		                    .arg = &signals };

	if (signals < 0)
		return -1;
	window(&w.rows, &w.cols);
	if (host_provider_open(&p, c, ws, e) == 0) {
		if (x->tty)
			make_raw(&t);
		rc = provider_workspace_exec(&p.h, &w, status, DEADLINE_NEVER, e);
		give_back(&t);
		host_provider_close(&p);
	}
	fd_close(&signals);
	return rc;
}
