/* SPDX-License-Identifier: Apache-2.0 */
/* One process as /proc/PID/stat shows it; for the proc_*.c files. */
#ifndef BASE_PROC_STAT_H
#define BASE_PROC_STAT_H

#include "base/proc.h"

struct proc_stat {
	struct proc_id id;
	pid_t ppid;
	pid_t pgid;
	pid_t sid;
	bool gone; /* a zombie without another thread that lives */
	bool stopped;
};

bool proc_stat_read(pid_t pid, struct proc_stat *out);
/* A descriptor that polls readable when pid ends; -1 if the kernel has none. */
int proc_pidfd(pid_t pid);

#endif
