/* SPDX-License-Identifier: Apache-2.0 */
/* See host.h: the terminal and the signals of who asked. */
#include "applets/host.h"

#include "applets/terminal.h"

#include <sys/signalfd.h>
#include <unistd.h>

static bool next_event(void *arg, struct exec_event *ev)
{
	const int *fd = arg;
	struct signalfd_siginfo si;

	if (read(*fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return false;
	*ev = (struct exec_event){ .signal = (int)si.ssi_signo };
	if (ev->signal == SIGWINCH) {
		struct winsize size = terminal_size();

		ev->signal = 0;
		ev->rows = size.ws_row;
		ev->cols = size.ws_col;
	}
	return true;
}

int host_exec(const struct config *c, const struct workspace *ws, const struct host_exec *exec,
              int *status, struct err *e)
{
	struct winsize size = terminal_size();
	struct terminal t;
	struct host_provider p;
	int rc = terminal_take(&t, exec->tty, e);
	struct workspace_exec w = { .ws = ws,
		                    .argv = exec->argv,
		                    .env = exec->env,
		                    .cwd = exec->cwd,
		                    .user = exec->user,
		                    .tty = exec->tty,
		                    .std = { exec->input ? STDIN_FILENO : -1, STDOUT_FILENO,
		                             STDERR_FILENO },
		                    .side = t.signals,
		                    .next = next_event,
		                    .arg = &t.signals,
		                    .rows = size.ws_row,
		                    .cols = size.ws_col };

	if (rc == 0)
		rc = host_provider_open(&p, c, ws, e);
	if (rc == 0) {
		rc = provider_workspace_exec(&p.h, &w, status, DEADLINE_NEVER, e);
		host_provider_close(&p);
	}
	terminal_give_back(&t);
	return rc;
}
