/* SPDX-License-Identifier: Apache-2.0 */
/* The files of control groups, for cgroup*.c. */
#ifndef SANDBOX_CGROUP_INT_H
#define SANDBOX_CGROUP_INT_H

#include "sandbox/cgroup.h"

#define CGROUP_FILE_MAX (1 << 20) /* cgroup.procs of many processes */

int cgroup_read(const char *dir, const char *name, struct buf *b);     /* -1: it cannot be read */
int cgroup_write(const char *dir, const char *name, const char *text); /* 0 or an errno */

#endif
