/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal and the signals of whoever sits here, while they belong to a program somewhere else. */
#ifndef APPLETS_TERMINAL_H
#define APPLETS_TERMINAL_H

#include "base/err.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>

struct terminal {
	int signals; /* signalfd: what is passed on, and SIGWINCH */
	/* As it was: */
	sigset_t mask;
	struct termios before;
	bool raw;
};

/* raw: keys are the program's. To be given back whatever comes back. */
int terminal_take(struct terminal *t, bool raw, struct err *e);
void terminal_give_back(struct terminal *t);
struct winsize terminal_size(void); /* of standard output; 0 by 0: it is none */

#endif
