/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner's own log file: whole records appended with one write each, rotated by size. Rotated
 * files are "<path>-2026-01-02T03-04-05.678" and, when compressed by the system's gzip in the
 * background, "….gz"; the oldest go when there are more than max_backups or when they are older
 * than max_age.
 */
#ifndef HOST_LOGFILE_H
#define HOST_LOGFILE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct logfile_limits {
	int64_t max_bytes;    /* 0: never rotated */
	int64_t max_backups;  /* 0: none is kept */
	int64_t max_age_days; /* 0: for ever */
	bool local_time;      /* in names; else UTC */
	bool compress;
};

struct logfile;
/* Opens or creates path (0600) and its directory (0700). A record torn by a crash is ended with
 * a newline first. NULL with e. */
struct logfile *logfile_open(const char *path, const struct logfile_limits *limits, struct err *e);
/* Appends a record that ends with a newline. On failure (full disk) nothing of it stays in the
 * file; the next append tries anew. A file that was moved away or removed by others is created
 * again. */
int logfile_append(struct logfile *f, struct str record, struct err *e);
void logfile_close(struct logfile *f); /* NULL is fine */

/* Rotated files of path, oldest first, full paths; caller frees each and the array. */
size_t logfile_backups(const char *path, char ***out);

#endif
