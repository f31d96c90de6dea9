/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a record: for rec.c and the store's own files alone. */
#ifndef SERVER_REC_IMPL_H
#define SERVER_REC_IMPL_H

#include "server/rec.h"

#define REC_INDEXES 4 /* fields that a kind is looked up by */

struct field {
	const char *name; /* one of the known names, or the record's own */
	char *value;      /* decoded text, or JSON when raw; never NULL */
	bool raw, own_name;
	bool in_block; /* value is a part of the record's block */
};

struct group; /* the records with the same value in an indexed field */

struct link {
	struct rec *prev, *next; /* of the group, in order of creation */
	struct group *group;     /* NULL: not in that index */
};

struct rec {
	struct rec *prev, *next; /* of its kind, in order of creation */
	uint16_t marks; /* of its labels, see rec_marks; a walk through all looks no further */
	int kind;
	unsigned n, room; /* of fields */
	int64_t seq;
	struct field *fields;
	char *block; /* of values that came together: one piece of memory */
	size_t block_n;
	struct link link[REC_INDEXES];
	/* Where the log has it (disk.h): the records in the order in which they were last written. */
	struct rec *written_before, *written_after;
	uint32_t segment, bytes; /* 0: not in the log yet */
	bool past;               /* a job: its place in the queue's index, see store_set_past */
	bool beaten;             /* has a heartbeat that is not on the disk */
};

struct rec *rec_new(int kind);
void rec_free(struct rec *r); /* wipes: values may be secrets */
struct rec *rec_copy(const struct rec *r);
/* Exchanges the values of two records of one kind; each keeps its place. */
void rec_swap(struct rec *a, struct rec *b);
/* Value of a field, text or JSON; NULL when it is missing. */
const char *rec_value(const struct rec *r, const char *name);
/* Do a and b differ in a field that has not this prefix? */
bool rec_differ_beyond(const struct rec *a, const struct rec *b, const char *prefix);
void rec_write_all(const struct rec *r, struct buf *b); /* one JSON object */
/* The fields with this prefix, and (take) those fields of such an object, valid JSON, into r. */
void rec_write_some(const struct rec *r, struct buf *b, const char *prefix);
void rec_take_some(struct rec *r, struct str obj, const char *prefix);
/* False when obj, valid JSON, is no object of a stored resource. */
bool rec_read_all(struct rec *r, struct str obj);

#endif
