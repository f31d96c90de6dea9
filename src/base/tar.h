/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar archives (POSIX ustar; long names in GNU form) for the engine's archive and build endpoints:
 * headers, a whole directory as a stream in bounded memory, and the first file of an archive read back.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_TAR_H
#define PROVIDERS_DOCKER_ENGINE_TAR_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TAR_BLOCK 512

struct tar_entry {
	const char *name; /* relative; a directory ends in '/' */
	const char *link; /* symbolic link's target, else NULL */
	char type;        /* '0' file, '2' symbolic link, '5' directory */
	mode_t mode;
	unsigned uid, gid;
	uint64_t size;
	int64_t mtime;
};

void tar_header(struct buf *b, const struct tar_entry *en);
void tar_pad(struct buf *b, uint64_t size); /* to the block edge behind size bytes */
void tar_finish(struct buf *b);             /* end mark */

struct tar_tree_options {
	const char *root;   /* directory to pack */
	const char *prefix; /* put before each name, "" or "a/b/"; the latter gets an entry too */
	/* Owner of all entries; -1 keeps the file's own. */
	long uid, gid;
	/* May be NULL. Returns whether path (relative to root) stays out; whole: a directory is left out unseen. */
	bool (*skip)(void *arg, const char *path, bool is_dir, bool *whole);
	void *skip_arg;
};

struct tar_tree;
/* Options are copied, their strings borrowed. */
struct tar_tree *tar_tree_new(const struct tar_tree_options *o);
void tar_tree_free(struct tar_tree *t);
/* As http_request.body_source with arg = the tar_tree. Symbolic links are packed, never followed; sockets, devices and
 * pipes are left out. */
int tar_tree_fill(void *tree, struct buf *b, struct err *e);

/* Reads the first entry out of an archive that arrives in pieces. */
struct tar_reader { /* zero to start; free out and link */
	struct buf block;
	bool have_header;
	struct tar_entry first; /* name and link are not kept here */
	struct buf link;
	struct buf out; /* its content */
	size_t max;     /* of the content */
	uint64_t left;
	bool done;
};
int tar_reader_feed(struct tar_reader *r, struct str in, struct err *e);
void tar_reader_free(struct tar_reader *r);

#endif
