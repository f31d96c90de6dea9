/* SPDX-License-Identifier: Apache-2.0 */
/* Another key without a restart: when the Server refuses ours, key_command, key_file or
 * runner.ini is asked again, aside. */
#ifndef RUNNER_ROTATE_H
#define RUNNER_ROTATE_H

#include "net/pollset.h"
#include "runner/sup.h"

void rotate_poll(struct sup *s, struct pollset *ps);
void rotate_step(struct sup *s);
bool rotate_reaped(struct sup *s, pid_t pid, int status); /* true if it was its process */
void rotate_free(struct sup *s);

#endif
