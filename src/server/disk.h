/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's directory. A change is one line of `journal`, "<16 hex of SHA-256> <JSON>\n", appended
 * and synced through a descriptor that is always open: that is the moment from which it counts.
 * The files of the records follow in a checkpoint, after which the journal is empty again; it is
 * replayed at the start. A line that cannot be written whole is cut off again.
 */
#ifndef SERVER_DISK_H
#define SERVER_DISK_H

#include "server/index.h"

struct disk {
	int lock_fd, journal_fd;
	int spare_fd; /* given up when the process has no other descriptor left */
	off_t journal_size, checkpoint_at;
	bool broken; /* what the journal ends with is not known: nothing is taken any more */
	struct stale *stale; /* records whose files are older than the journal */
	size_t n_stale, stale_cap;
	size_t bad_files;
};

/* disk_load.c. Of an index that is empty. */
int disk_open(struct store *s, struct err *e);
void disk_close(struct disk *d); /* NULL is fine */

/* One operation of a line: r is what is stored from now on, or (remove) no more. */
void disk_put(struct buf *line, const struct rec *r);
void disk_remove(struct buf *line, const struct rec *r);
/* Durable when it returns 0; else the journal is as it was. */
int disk_append(struct store *s, struct str ops, struct err *e);
/* The record's file is to be written again, or removed when there is no such record. */
void disk_stale(struct store *s, const struct rec *r);
/* When the journal has become long. A failure is logged: the journal keeps what is not written. */
void disk_follow(struct store *s);
/* Writes all stale files and empties the journal. */
int disk_checkpoint(struct store *s, struct err *e);

/* Path of a record's file below the store's directory. */
void disk_rec_path(struct buf *b, enum kind kind, const char *id);
/* Renames path to the first free "<path>.bad-N" and says so. */
void disk_set_aside(struct store *s, const char *path, const struct err *why);

#endif
