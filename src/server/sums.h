/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA256SUMS of the downloads. Files may be large and whoever asks needs no key: they are hashed in
 * slices between events, each once until it changes, and all who ask share that work.
 */
#ifndef SERVER_SUMS_H
#define SERVER_SUMS_H

#include "server/srv.h"

struct sums;

struct sums *sums_new(void);
void sums_free(struct sums *u); /* NULL is fine; nobody may wait any more */
/* Answers with the lines of our own executable under that name and of what is in downloads/, now or
 * when they are known. */
void sums_reply(struct call *c, const char *own_name);
void sums_poll(const struct srv *s, struct pollset *ps);
void sums_step(struct srv *s);

#endif
