/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workspace may use of the machine: control groups of its own, of version 2, of version 1, or some of each as the
 * host has mounted them. They lie in "daytona-runner" at the highest place that we may write, where they outlive the
 * runner's own group, and are found again by state directory and id: nothing has to be remembered.
 *
 * Nothing here needs root. What cannot be had is a line for the log, not an error.
 */
#ifndef SANDBOX_CGROUP_H
#define SANDBOX_CGROUP_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum cgroup_controller {
	CGROUP_CPU, /* of these three there are limits */
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_CPUACCT, /* version 1 counts and freezes apart */
	CGROUP_FREEZER,
	CGROUP_UNIFIED, /* version 2, with or without a controller */
	CGROUP_N,
};

struct cgroup_limits {        /* 0: none */
	int64_t cpu_milli;    /* thousandths of a processor, 10 at least */
	int64_t memory_bytes; /* swap included */
	int64_t pids;         /* processes and threads */
};

/* Where one controller is; see cgroup_locate. */
struct cgroup_mount {
	char *dir; /* the mount point; NULL: there is none for us */
	char *own; /* our own group below it, "" or "/a/b" */
	bool v2;
};

struct cgroup {
	struct {
		char *top;        /* holds "daytona-runner"; NULL: not to be had */
		char *dir;        /* the workspace's; version 2's controllers have the same */
		bool v2, enabled; /* enabled: a controller that top's groups can have */
	} at[CGROUP_N];
	char *own_v2; /* our own group of version 2 */
};

/* Reads /proc below root ("" but in tests) and changes nothing. */
int cgroup_open(struct cgroup *cgroup, const char *root, const char *state_dir, const char *id,
                struct err *e);
void cgroup_free(struct cgroup *cgroup);

struct cgroup_plan {
	unsigned missing; /* 1 << enum cgroup_controller, of the limits that were asked for */
	struct buf lines; /* one for each limit: what keeps it, or why nothing does */
};
/*
 * Makes the groups and sets the limits; may be repeated, also with others. own_ids: the workspace has user ids that
 * nobody else has, so that a limit of processes by user is one by workspace.
 */
void cgroup_make(struct cgroup *cgroup, const struct cgroup_limits *l, bool own_ids,
                 struct cgroup_plan *plan);
void cgroup_plan_free(struct cgroup_plan *p);
/* What groups do not keep, as far as limits of the process pid (0: ours) and of what it starts can. */
void cgroup_fall_back(pid_t pid, const struct cgroup_limits *l, bool own_ids, unsigned missing);

bool cgroup_exists(const struct cgroup *cgroup);
/* pid, and all that it starts from then on. 0 as well where there is no group at all. */
int cgroup_put(const struct cgroup *cgroup, pid_t pid, struct err *e);

struct cgroup_usage {         /* -1: not known */
	int64_t memory_bytes; /* without what the kernel can drop at any time */
	int64_t cpu_us;
	int64_t pids;
	int64_t oom_kills; /* processes ended for want of memory; before Linux 4.13: how often the limit was reached */
	int64_t pids_refused; /* processes that were not started */
};
void cgroup_usage(const struct cgroup *cgroup, struct cgroup_usage *u);

/* Kills all that is in the groups and removes them; none there: success. ERR_TIMEOUT names what is left. */
int cgroup_end(struct cgroup *cgroup, struct deadline d, struct err *e);

/* Parses /proc/self/mountinfo and /proc/self/cgroup. ERR_PARSE if a line of them is malformed; nothing to free then. */
int cgroup_locate(struct str mountinfo, struct str own, struct cgroup_mount at[CGROUP_N],
                  struct err *e);
void cgroup_mounts_free(struct cgroup_mount at[CGROUP_N]);

#endif
