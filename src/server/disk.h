/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's directory: a log in `records/`, cut into segments 00000001, 00000002 …. A change is one
 * line, "<16 hex of SHA-256> <JSON>\n", appended to the last segment and synced: that is the moment
 * from which it counts. A line that cannot be written whole is cut off again. The start reads all
 * segments in order.
 *
 * What is superseded leaves the log from its oldest end: each change also moves a bounded number of
 * records that the oldest segment still has to the end of the log, and a segment that has none left
 * is removed, once what was moved is synced. So a change costs the same however much is stored, the
 * log stays below a few times what is alive, and a removal is forgotten only after what it removed.
 */
#ifndef SERVER_DISK_H
#define SERVER_DISK_H

#include "server/index.h"

#define DISK_LOG_DIR "records"
#define DISK_SEGMENT_MAX (64u << 20) /* bytes; one is that long only when no other can be made */

struct disk {
	int lock_fd, dir_fd, fd; /* fd: of the last segment */
	bool broken;         /* what the log ends with is not known: nothing is taken any more */
	bool unsynced, lost; /* of what was moved: is any not synced, and did a sync of it fail? */
	unsigned oldest, last;
	uint32_t *sizes;            /* bytes of each segment, from the oldest */
	uint64_t total, live;       /* bytes of the log, and of the records that count */
	struct rec *first, *newest; /* as they were last written */
	size_t damaged;             /* lines and files that were set aside */
};

/* disk_load.c. Of an index that is empty. */
int disk_open(struct store *s, struct err *e);
void disk_close(struct disk *d); /* NULL is fine */

/* One operation of a line, made by the caller as a JSON array: r is what is stored from now on
 * (returns its bytes); its fields md… are what a heartbeat set; or it is stored no more. */
uint32_t disk_put(struct buf *line, const struct rec *r);
void disk_beat(struct buf *line, const struct rec *r);
void disk_remove(struct buf *line, const struct rec *r);
/* Durable when it returns 0; else the log is as it was. */
int disk_append(struct store *s, struct str ops, struct err *e);
/* r's newest version is in a segment; or it is to be freed. */
void disk_placed(struct store *s, struct rec *r, unsigned segment, uint32_t bytes);
void disk_forget(struct store *s, struct rec *r);
/* After a change of so many bytes: moves what is to be moved. A failure is of no consequence. */
void disk_tidy(struct store *s, size_t bytes);

/* For disk_load.c: name of a segment, and the next one as the last. */
#define SEGMENT_NAME_SIZE 16
void disk_segment_name(char name[SEGMENT_NAME_SIZE], unsigned number);
int disk_add_segment(struct disk *d, struct err *e);
/* Numbers of the segments of the store in data, 0 when there is none; ERR_PARSE when one is missing. */
int disk_find_segments(const char *data, unsigned *oldest, unsigned *last, struct err *e);
/* Renames path to the first free "<path>.bad-N" and says so. */
void disk_set_aside(struct store *s, const char *path, const struct err *why);

/* disk_import.c: files of single records, "<kind>/<id>.json", as earlier versions had them, and as a
 * person repairs one. What the store does not have is added; they are removed then. */
int disk_import(struct store *s, struct err *e);

#endif
