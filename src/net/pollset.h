/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event loop waits for, gathered anew on each turn: every component adds its descriptors
 * and its next deadline, then one poll(2), then every component is stepped. Stepping is
 * non-blocking and may be done without need, so nothing has to be looked up by descriptor.
 */
#ifndef NET_POLLSET_H
#define NET_POLLSET_H

#include "base/deadline.h"
#include "base/err.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct pollset {
	struct pollfd *fds;
	size_t n, cap;
	struct deadline next; /* set by pollset_reset to never */
};

void pollset_free(struct pollset *ps);
void pollset_reset(struct pollset *ps);
void pollset_add(struct pollset *ps, int fd, short events); /* fd < 0 is ignored */
void pollset_until(struct pollset *ps, struct deadline d);  /* wakes no later than d */
/* 0 when something is ready, a deadline came or a signal arrived; -1 only for a broken poll(2). */
int pollset_wait(struct pollset *ps, struct err *e);
/* After pollset_wait: revents of fd, 0 if it is not in the set. */
short pollset_revents(const struct pollset *ps, int fd);
/* fd was asked for input in the wait that is over, and has none, nor anything else. */
bool pollset_is_quiet(const struct pollset *ps, int fd);

#endif
