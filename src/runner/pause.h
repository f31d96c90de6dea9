/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's pause: running jobs end, none are claimed. Kept in state_dir/paused.json over restarts. */
#ifndef RUNNER_PAUSE_H
#define RUNNER_PAUSE_H

#include "net/pollset.h"
#include "runner/sup.h"

void pause_load(struct sup *s);
void pause_free(struct sup *s);
/* for_ms 0: until pause_end. 0: it is kept; -1: it holds, but no restart will know of it. */
int pause_begin(struct sup *s, int64_t for_ms, struct str note, const char *by, struct err *e);
void pause_end(struct sup *s, const char *why);
bool pause_is_on(const struct sup *s);
void pause_poll(const struct sup *s, struct pollset *ps);
void pause_step(struct sup *s);                           /* ends one whose time is over */
void pause_status(const struct sup *s, struct buf *json); /* an object or null */

#endif
