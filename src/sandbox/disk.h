/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workspace may fill of a disk: by a project quota of its directory, where the file system has them and we are
 * root; else somebody has to look from time to time what it has filled.
 */
#ifndef SANDBOX_DISK_H
#define SANDBOX_DISK_H

#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * From now on all that is made in dir, an empty directory or one that has a limit, takes bytes at most; 0: any number. What
 * is renamed into it from elsewhere has to be copied. ERR_UNSUPPORTED says what is missing. May be repeated.
 */
int disk_limit(const char *dir, int64_t bytes, struct err *e);
/* Before dir is removed: its number is free again. Harmless where there is no limit. */
void disk_unlimit(const char *dir);
/* Whether such a limit is set on dir, and what it is. */
bool disk_limited(const char *dir, int64_t *bytes);

/* What the tree at dir takes of its file system; links are not followed, other file systems not entered. Ends as soon as it
 * is more than enough, or entries have been looked at or the deadline passes; then it is a lower bound, and *whole false. A
 * quota knows it without looking. */
#define DISK_ENTRIES 2000000
int disk_usage(const char *dir, int64_t enough, struct deadline d, int64_t *bytes, bool *whole,
               struct err *e);

#endif
