/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long polls of many, each by the key of what it asks about: it waits without looking, and whoever
 * makes something come true for that key wakes it.
 */
#ifndef SERVER_POLLS_H
#define SERVER_POLLS_H

#include "server/srv.h"

/* Answers a request if there is something for that key; else false. */
typedef bool polls_answer(struct call *c, const char *key);
/* max: how many of one key may wait; the oldest makes room. */
struct polls *polls_new(struct srv *s, polls_answer *answer, size_t max);
void polls_free(struct polls *p); /* NULL is fine; none may wait any more */
void polls_poll(const struct polls *p, struct pollset *ps);
void polls_release(struct polls *p); /* ends all of them */
void polls_step(struct polls *p);    /* ends polls whose time is up */
size_t polls_waiting(const struct polls *p);
/* Answers now, or when there is something; 204 when its time is up. */
void polls_wait(struct polls *p, struct call *c, const char *key);
/* Answers those of that key; "": those of all. */
void polls_wake(struct polls *p, const char *key);

polls_answer jobs_answer; /* a runner's pending jobs */

#endif
