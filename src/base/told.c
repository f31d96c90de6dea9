/* SPDX-License-Identifier: Apache-2.0 */
/* See told.h. */
#include "base/told.h"

#include <signal.h>

#define TOO_OFTEN 3

bool told_ends(struct told *t, int sig, bool terminal)
{
	if (sig == SIGUSR1 || sig == SIGUSR2)
		return false;
	t->times = sig == t->sig ? t->times + 1 : 1;
	t->sig = sig;
	return terminal || t->times >= TOO_OFTEN;
}
