/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a native workspace. They are found as descendants of the recorded agent and by the
 * mark in the environment they were started with, which also finds what an agent that was killed has
 * left behind. Only processes of our own user are looked at.
 */
#ifndef PROVIDERS_NATIVE_PROCESS_H
#define PROVIDERS_NATIVE_PROCESS_H

#include "providers/native/box.h"
#include "providers/native/options.h"
#include "providers/native/state.h"

struct native_launch {
	const struct provider_env *env;
	const struct native_paths *paths;
	const struct native_options *options;
	struct kv *vars;          /* the whole environment of the agent; gets AGENT_READY_FD */
	const char *dir;          /* absolute: the checkout */
	struct native_boxed *box; /* or NULL: with the namespaces of the host, and … */
	struct native_bounds *bounds;
};
/* Starts the agent detached and waits until it says that it works; its output goes to the job's log
 * meanwhile. It has ended before: an error with its last lines, nothing of it is left. */
int native_agent_start(struct native_launch *l, struct deadline d, struct err *e);
struct proc_list;
void native_members(const struct native_paths *p, struct proc_list *l); /* all there are */
/* SIGTERM, grace, SIGKILL for all of them until none is left. None there: success. *n: how many
 * there were. */
int native_end(const struct native_paths *p, int64_t grace_ms, size_t *n, struct deadline d,
               struct err *e);

#endif
