/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share. */
#ifndef OCI_IMGSTORE_INT_H
#define OCI_IMGSTORE_INT_H

#include "base/buf.h"
#include "oci/imgstore.h"

struct imgstore {
	char *dir;
	int lock;
	int top, blobs, layers, refs, uses, made, brought, tmp; /* directories */
	struct unpack_owner owner;
	char tag[20]; /* behind a layer's id; "" when owners are as the image has them */
};

#define IMGSTORE_NAME_SIZE 128

/* Opens (and makes) all directories without the lock. */
int imgstore_open_dirs(struct imgstore *s, const char *dir, struct err *e);
void imgstore_close_dirs(struct imgstore *s);
/* flock(2), waiting up to the deadline; ERR_BUSY. */
int imgstore_flock(int fd, int how, struct deadline until, const char *what, struct err *e);
/* Only one process at a time has the lock of that name in tmp; -1. */
int imgstore_lock_named(struct imgstore *s, const char *name, struct deadline until, struct err *e);
void imgstore_unlock_named(struct imgstore *s, const char *name, int *fd);
void imgstore_layer_name(const struct imgstore *s, const struct digest *diff_id,
                         char name[IMGSTORE_NAME_SIZE]);
/* Layers made in this boot, at least age_ms ago, are on the disk now: their marks go. */
int imgstore_settle(struct imgstore *s, int64_t age_ms, struct err *e);
/* Records, by directory and file name. */
int imgstore_read_record(int dir, const char *file, struct stored *i, struct err *e);
int imgstore_read_records(int dir, struct stored **list, size_t *n, size_t *damaged, struct err *e);

#endif
