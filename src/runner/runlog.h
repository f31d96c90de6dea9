/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's own log: every line to the local file first, then to the Server when it can be had. */
#ifndef RUNNER_RUNLOG_H
#define RUNNER_RUNLOG_H

#include "net/pollset.h"
#include "runner/sup.h"

void runlog_open(struct sup *s);
void runlog_close(struct sup *s, int64_t flush_ms);
void runlog_poll(struct sup *s, struct pollset *ps);
void runlog_step(struct sup *s);
void runlog_hang_up(struct sup *s); /* before the link to the Server goes, which its socket uses */
void runlog_reopen(struct sup *s);  /* after external rotation or a changed configuration */

#endif
