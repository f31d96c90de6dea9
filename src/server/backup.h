/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store as one tar archive: the files of the log, the Server's configuration, the first client key,
 * and a SHA256SUMS over them as its last entry. What jobs and agents logged is not in it.
 */
#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Writes the store in data as it is at one moment, whether a server works on it or not: that one is
 * asked nothing and does not wait. After a failure what was written is no whole archive. */
int backup_write(const char *data, int fd, uint64_t *bytes, struct err *e);

/* restore.c. Makes data, an empty directory or none, a store again. fd: an archive, read to its end;
 * all of it is checked and loaded once before any of it is in place. Else data is as it was.
 * ERR_BUSY: a server has it. */
int backup_restore(const char *data, int fd, size_t *records, struct err *e);

#define BACKUP_SUMS "SHA256SUMS"

#endif
