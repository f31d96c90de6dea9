/* SPDX-License-Identifier: Apache-2.0 */
/* See terminal.h. */
#include "applets/terminal.h"

#include "base/attr.h"
#include "base/file.h"

#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct winsize terminal_size(void)
{
	struct winsize ws = { 0 };

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	return ws;
}

static int make_raw(struct terminal *t, struct err *e)
{
	struct termios now;

	if (tcgetattr(STDIN_FILENO, &t->before) < 0)
		return err_sys(e, errno, "look at the terminal");
	now = t->before;
	cfmakeraw(&now);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &now) < 0)
		return err_sys(e, errno, "set the terminal");
	t->raw = true;
	return 0;
}

int terminal_take(struct terminal *t, bool raw, struct err *e)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH };
	sigset_t set;

	t->raw = false;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		sigaddset(&set, taken[i]);
	sigprocmask(SIG_BLOCK, &set, &t->mask);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->signals < 0)
		return err_sys(e, errno, "open a descriptor for signals");
	return raw ? make_raw(t, e) : 0;
}

void terminal_give_back(struct terminal *t)
{
	if (t->raw)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	t->raw = false;
	fd_close(&t->signals);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}
