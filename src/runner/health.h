/* SPDX-License-Identifier: Apache-2.0 */
/* How it stands with the Server, and who may ask: listener, status file, what is said of failures. */
#ifndef RUNNER_HEALTH_H
#define RUNNER_HEALTH_H

#include "net/pollset.h"
#include "runner/sup.h"

void health_new(struct sup *s);
void health_free(struct sup *s);
void health_listen(struct sup *s); /* on the configured port; again after it changed */
void health_poll(struct sup *s, struct pollset *ps);
void health_step(struct sup *s);
void health_dump(struct sup *s);                           /* SIGUSR1 */
void health_status(const struct sup *s, struct buf *json); /* all that is known */
void health_changed(struct sup *s); /* the status file is written again, soon */

/* What came of requests. Failures are told in the log: a new one within 5 s, the same one once a minute. */
void health_good(struct sup *s);   /* a heartbeat was accepted */
void health_polled(struct sup *s); /* a poll was answered */
void health_bad(struct sup *s, const struct err *e, bool answered, bool heartbeat);
void health_forget_key(struct sup *s); /* there may be another one */

bool health_is_ok(const struct sup *s);           /* the last heartbeat was accepted */
bool health_key_refused(const struct sup *s);     /* … or our key was refused */
int64_t health_last_poll_ms(const struct sup *s); /* monotonic; 0: never */

#endif
