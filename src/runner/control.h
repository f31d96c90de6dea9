/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's commands, by the Unix socket that host/control.h describes. */
#ifndef RUNNER_CONTROL_H
#define RUNNER_CONTROL_H

#include "base/proc.h"
#include "net/pollset.h"
#include "runner/sup.h"

void control_open(struct sup *s); /* without it the runner works, and says so */
void control_close(struct sup *s);
void control_poll(struct sup *s, struct pollset *ps);
void control_step(struct sup *s);

/* Whether a process is kept from more than we are, as those of jobs and workspaces are, or is gone: what it was kept
 * from cannot be known then. False for pid 0. */
bool control_is_contained(struct proc_id id);

#endif
