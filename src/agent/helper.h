/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of the agent's work that may block, done in a child so that the loop never does: a function
 * in a child, or a program that the child becomes. The answer comes over a pipe; nobody needs the exit
 * status.
 */
#ifndef AGENT_HELPER_H
#define AGENT_HELPER_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/spawn.h"
#include "net/pollset.h"

#include <stdbool.h>

#define HELPER_ANSWER_MAX (2u << 20)

struct agent_helper {
	bool busy; /* until its answer was taken */
	struct spawned process;
	int fd;
	struct buf answer;
	struct deadline d;
};

/* Forks. The child, alone in its process group, has the pipe as standard output and runs work, which
 * writes the answer, or "-" and the text of an error, and does not return. */
int helper_start(struct agent_helper *h, void (*work)(void *arg, struct deadline d), void *arg,
                 struct deadline d, struct err *e);
void helper_poll(const struct agent_helper *h, struct pollset *ps);
enum helper_state { HELPER_NONE, HELPER_BUSY, HELPER_OK, HELPER_FAILED };
/* Never blocks. HELPER_OK and HELPER_FAILED come once, then there is none; the answer (or the text of
 * the error) is appended to out. A child past its deadline is killed. */
enum helper_state helper_step(struct agent_helper *h, struct buf *out);

#endif
