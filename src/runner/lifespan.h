/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runner for a while: how many jobs it takes, how long it may idle, for how long it takes any. When one of them is
 * reached it ends by itself, with nothing under way and each result at the Server.
 */
#ifndef RUNNER_LIFESPAN_H
#define RUNNER_LIFESPAN_H

#include "net/pollset.h"
#include "runner/sup.h"

/* How many of places more jobs may have. */
size_t lifespan_room(const struct sup *s, size_t places);
/* Why it is to end now, or NULL. */
const char *lifespan_over(struct sup *s);
void lifespan_poll(const struct sup *s, struct pollset *ps);

#endif
