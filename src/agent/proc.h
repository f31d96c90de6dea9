/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's part as an init: the command beside it, and the end of all that is below it. */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/spawn.h"

/* Starts argv in its own process group with our standard streams, environment and dir (NULL: here);
 * waits until it was executed. The terminal, if there is one, is handed to it. */
int agent_command_start(char *const *argv, const char *dir, struct spawned *p, struct err *e);
/* TERM, up to grace_ms, then KILL, for every descendant of ours, adopted ones included.
 * ERR_TIMEOUT names what is left. */
int agent_end_children(int64_t grace_ms, struct err *e);

#endif
