/* SPDX-License-Identifier: Apache-2.0 */
/* The serve loop (design 4, style 2): one thread, one poll(2). */
#ifndef RUNNER_SUPERVISOR_H
#define RUNNER_SUPERVISOR_H

#include "base/err.h"
#include "host/config.h"

struct serve_options {
	const char *config_dir; /* for SIGHUP; or NULL */
	const struct kv *flags; /* command line values, for SIGHUP */
	const char *self_exe;
	/* 0: no limit. See runner/lifespan.h. */
	int64_t jobs_max, idle_exit_ms, max_uptime_ms;
	int ready_fd; /* -1, or written to: "ready\n" after the first accepted heartbeat, "failed: …\n" */
};

/* Signals that serve reads later wait from now on, instead of ending a start that has only just begun. */
void supervisor_hold_signals(void);
/* Runs until told to stop. 0: clean end. */
int supervisor_run(struct config *c, const struct serve_options *o, struct err *e);

#endif
