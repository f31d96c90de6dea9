/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's own output, followed into the log beside other work. When the stream ends while the
 * container runs it is opened again from the last time stamp, without doubles (field case 50).
 */
#ifndef PROVIDERS_DOCKER_ENGINE_FOLLOW_H
#define PROVIDERS_DOCKER_ENGINE_FOLLOW_H

#include "providers/docker/engine/container.h"

struct follow;

/* Begins at now (lines before are not shown). Never fails: a log that cannot be had is no reason to stop. */
struct follow *follow_start(struct engine *engine, const struct container *c);
void follow_step(struct follow *f); /* takes what is there; NULL is fine */
/* Takes what comes within ms, then frees. Does not wait for a container that only runs our own program. */
void follow_finish(struct follow *f, int64_t ms);
void follow_free(struct follow *f);
/* The last lines the container wrote, one line, for an error text. Appends. */
void follow_tail(struct engine *engine, const struct container *c, struct buf *out);

#endif
