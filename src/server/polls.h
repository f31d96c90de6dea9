/* SPDX-License-Identifier: Apache-2.0 */
/* The runners' long polls: each waits without looking, whoever makes a job pending wakes it. */
#ifndef SERVER_POLLS_H
#define SERVER_POLLS_H

#include "server/srv.h"

struct polls *polls_new(void);
void polls_free(struct polls *p); /* NULL is fine; none may wait any more */
void polls_poll(struct srv *s, struct pollset *ps);
void polls_step(struct srv *s); /* ends polls whose time is up */
size_t polls_waiting(const struct polls *p);
/* Answers those of a runner with its pending jobs; "": those of all. */
void polls_wake(struct srv *s, const char *runner_id);

#endif
