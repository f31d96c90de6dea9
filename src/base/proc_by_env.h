/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes found by a variable in the environment they were started with. Unlike a recorded pid this
 * also finds what is left when the one that would have recorded it was killed.
 */
#ifndef BASE_PROC_BY_ENV_H
#define BASE_PROC_BY_ENV_H

#include "base/proc.h"

struct proc_list {
	struct proc_id *v;
	size_t n, cap;
};
void proc_list_add(struct proc_list *l, struct proc_id id); /* unless it is there */
void proc_list_free(struct proc_list *l);
/* Whether the process is of our own user and has the variable with that value. False when it cannot be looked at. */
bool proc_has_env(pid_t pid, const char *name, const char *value);
/* Adds every live process of our own user, but not ourselves, that has the variable with that
 * value. */
void proc_list_by_env(struct proc_list *l, const char *name, const char *value);

#endif
