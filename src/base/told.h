/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that a command gets which stands for a program elsewhere. */
#ifndef BASE_TOLD_H
#define BASE_TOLD_H

#include <stdbool.h>

struct told {           /* zero to start */
	int sig;        /* the last that may mean an end */
	unsigned times; /* in a row */
};
/* Whether sig means the end of the command itself: with a terminal, whose keys are the program's, or when the program has ignored it
 * too often. SIGUSR1 and SIGUSR2 never do. */
bool told_ends(struct told *t, int sig, bool terminal);

#endif
