/* SPDX-License-Identifier: Apache-2.0 */
/* The records in memory and by what they are found. For the store's own files. */
#ifndef SERVER_INDEX_H
#define SERVER_INDEX_H

#include "server/rec_impl.h"
#include "server/store.h"

struct index {
	struct rec *first[K_N], *last[K_N];
	struct group **buckets;
	size_t n_buckets, n_groups, past;
	uint64_t seed, work;
	int64_t next_seq;
	bool loading; /* records come in any order and are found by id alone, until index_sort */
};

struct index *index_new(struct err *e);
void index_free(struct index *index); /* with all records */
/* Each at its place in the order of creation; at once when it is the newest, or while loading. */
void index_insert(struct index *index, struct rec *r);
void index_sort(struct index *index);                  /* the end of loading */
void index_remove(struct index *index, struct rec *r); /* the caller frees it */
/* r gets draft's values, and draft those of r. */
void index_update(struct index *index, struct rec *r, struct rec *draft);
struct rec *index_find(struct index *index, enum kind kind, const char *field, const char *value);

/* The field that names a kind's file. */
const char *kind_id(enum kind kind);
/* False for no kind's folder. */
bool kind_of_dir(struct str dir, enum kind *kind);

#endif
