/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a native workspace may use: CPUs, Memory, Pids by control groups (sandbox/cgroup.h), Disk by a project quota. What a
 * machine does not keep is a line in the log with what stands in for it, or an error where the target says strict.
 */
#ifndef PROVIDERS_NATIVE_BOUNDS_H
#define PROVIDERS_NATIVE_BOUNDS_H

#include "base/spawn.h"
#include "providers/native/call.h"
#include "sandbox/cgroup.h"

struct native_bounds {
	const struct native_call *c;
	struct cgroup cgroup;
	unsigned missing; /* as in struct cgroup_plan */
	bool boxed;       /* process 1 of a sandbox is bounded; else the agent */
	bool watch_disk;  /* nothing else keeps that limit */
};

/* Where the workspace is made: before there is a file in its directory. */
int native_bounds_disk(const struct native_call *c, struct err *e);
void native_bounds_free_disk(const struct native_paths *p); /* before the directory is removed */

/* The groups of one that is about to start. Without a limit one that is not boxed has none. */
int native_bounds_open(struct native_bounds *b, const struct native_call *c, bool boxed,
                       struct err *e);
void native_bounds_close(struct native_bounds *b);
/*
 * As spawn_start of a program with an environment; it waits for admit. The bounds of what has begun already would not be
 * those of what it has started.
 */
int native_gate(const struct spawn *s, int (*admit)(void *arg, pid_t pid, struct err *e), void *arg,
                struct deadline d, struct spawned *p, struct err *e);
/* first, which has started nothing yet. */
int native_bounds_admit(struct native_bounds *b, struct proc_id first, struct err *e);

/* One more process of a workspace that runs. */
int native_bounds_join(const struct native_paths *p, const struct native_options *o, bool boxed,
                       pid_t pid, struct err *e);
/* Of its groups; false: it has none. */
bool native_bounds_usage(const struct native_paths *p, struct cgroup_usage *u);
/* Says in the log what was ended for want of memory, and what was not started. */
void native_bounds_tell(const struct provider_env *env, const struct native_paths *p);
/* Kills what is in the groups still, and removes them. */
int native_bounds_end(const struct native_paths *p, struct deadline d, struct err *e);

#endif
