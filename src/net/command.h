/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program whose standard input and output are a byte stream to a peer (ssh). Its standard error
 * is kept, bounded, for the error text.
 */
#ifndef NET_COMMAND_H
#define NET_COMMAND_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/mask.h"
#include "base/spawn.h"
#include "net/pollset.h"

struct command {
	const char *name; /* argv[0], borrowed */
	struct spawned process;
	int err_fd;            /* -1: closed */
	struct mask_head said; /* on its standard error */
	struct deadline grace; /* after the end of its output: for the last words */
};

/* Starts argv in its own session by d; *fd is our end of its standard streams, non-blocking. */
int command_start(struct command *c, const char *const *argv, struct deadline d, int *fd,
                  struct err *e);
/* Reads what it complained of, so that a full pipe never blocks it. */
void command_drain(struct command *c);
/* Its output ended. 0: wait a moment longer for the reason (see command_poll), -1: e has it. */
int command_ended(struct command *c, struct err *e);
void command_poll(const struct command *c, struct pollset *ps);
void command_free(struct command *c); /* ends it */

#endif
