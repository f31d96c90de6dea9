/* SPDX-License-Identifier: Apache-2.0 */
/* A forked process that works and hands back some bytes. */
#ifndef RUNNER_CHILD_H
#define RUNNER_CHILD_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/proc.h"
#include "base/spawn.h"
#include "net/pollset.h"

struct child {
	struct proc_id id; /* pid 0: none */
	struct spawned p;
	int fd;                  /* result pipe; -1 when closed */
	struct buf out;          /* what came through it, bounded */
	struct deadline term_at; /* SIGTERM to its session, then SIGKILL after CHILD_GRACE_MS */
	struct deadline kill_at;
	bool overdue; /* it was ended because of term_at */
	bool told;    /* SIGTERM was sent */
};

/* Runs work in a new session: it appends its result to out, which is written to the pipe. stop becomes
 * non-zero on SIGTERM. Nothing of the supervisor but stderr and memory is there. */
int child_start(struct child *c, void (*work)(void *arg, const volatile int *stop, struct buf *out),
                void *arg, struct deadline term_at, struct err *e);
void child_poll(const struct child *c, struct pollset *ps);
void child_step(struct child *c);                   /* reads the pipe, sends due signals */
void child_tell(struct child *c, int64_t grace_ms); /* SIGTERM now, SIGKILL after grace_ms */
/* It has ended and is not collected yet, so that its number is not another's: reads what is left, kills the rest of
 * its process group, and collects it; unless it ended by itself, the rest of its session too (a git in a group of its own). */
void child_ended(struct child *c, int status);
/* SIGKILL to the members of leader's session that began between it and latest (ticks since boot): how many there were.
 * None when its number is another process's by now. */
size_t child_kill_session(struct proc_id leader, uint64_t latest);
void child_free(struct child *c);

#endif
