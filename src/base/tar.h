/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar archives. Written: POSIX ustar with GNU's long names and numbers. Read, in pieces and in bounded memory: what v7,
 * ustar, PAX (POSIX.1-2001), GNU tar and star write, with sparse files and extended attributes.
 */
#ifndef BASE_TAR_H
#define BASE_TAR_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define TAR_BLOCK 512

struct tar_xattr {
	const char *name;
	struct str value;
};

struct tar_entry {
	const char *name; /* relative; a directory ends in '/' */
	const char *link; /* target of a symbolic or hard link, else NULL */
	char type; /* '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5' directory, '6' pipe */
	mode_t mode;
	unsigned uid, gid;
	uint64_t size; /* of the content, with the holes */
	int64_t mtime;
	/* Only read: */
	unsigned mtime_ns;
	unsigned major, minor;
	const struct tar_xattr *xattrs;
	size_t n_xattrs;
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
	/* May be NULL. Sees each entry before it is written, what else stays out (type 0) too; at: a path of it to look at.
	 * May change it, also what its name is, or write it by itself and set its type to 0. */
	int (*entry)(void *arg, struct buf *b, const char *at, const struct stat *st,
	             struct tar_entry *en, struct err *e);
	void *skip_arg;
};

struct tar_tree;
/* Options are copied, their strings borrowed. */
struct tar_tree *tar_tree_new(const struct tar_tree_options *o);
void tar_tree_free(struct tar_tree *t);
/* As http_request.body_source with arg = the tar_tree. Symbolic links are packed, never followed; sockets, devices and
 * pipes are left out. */
int tar_tree_fill(void *tree, struct buf *b, struct err *e);

/* One file of the host between two texts, as a request's body in bounded memory. */
struct tar_file {         /* zero, then tar_file_open */
	const char *file; /* borrowed, as are the texts; set them after the opening */
	struct str before, after;
	int fd;
	uint64_t size, left;
	int64_t mtime;
	bool started;
};
int tar_file_open(struct tar_file *f, const char *file, struct err *e);
void tar_file_close(struct tar_file *f);
void tar_file_rewind(struct tar_file *f);
/* As http_request.body_source with arg = the tar_file. A file that has become shorter is an error. */
int tar_file_fill(void *file, struct buf *b, struct err *e);

/* Limits of one entry. */
#define TAR_NAME_MAX 4096
#define TAR_EXTRA_MAX (1u << 20) /* bytes of the headers that describe it */
#define TAR_PRELUDES_MAX 16      /* and their number */
#define TAR_SPARSE_MAX 65536     /* pieces of a sparse file */
#define TAR_XATTRS_MAX 256

/* What is found, in order; -1 from any of them ends the reading. */
struct tar_handler {
	/* en and all that it points to are borrowed for the call. */
	int (*begin)(void *arg, const struct tar_entry *en, struct err *e);
	/* Content at its place in the file; what lies between is a hole. May be NULL. */
	int (*data)(void *arg, uint64_t at, struct str bytes, struct err *e);
	/* The entry is complete. May be NULL. */
	int (*end)(void *arg, struct err *e);
	void *arg;
};

struct tar_read;
struct tar_read *tar_read_new(const struct tar_handler *h);
void tar_read_free(struct tar_read *r); /* NULL is fine */
/* ERR_PARSE: malformed; ERR_LIMIT; ERR_UNSUPPORTED names what; or what a handler set. What follows the end mark is ignored. */
int tar_read_feed(struct tar_read *r, struct str in, struct err *e);
/* The end mark was seen. */
bool tar_read_ended(const struct tar_read *r);
/* All was fed: ERR_CLOSED if the archive is cut inside an entry. */
int tar_read_end(const struct tar_read *r, struct err *e);

/* Reads the first entry out of an archive that arrives in pieces. */
struct tar_first { /* zero to start, but max */
	struct tar_read *read;
	struct tar_entry first; /* name and link are not kept here */
	struct buf link;
	struct buf out; /* its content */
	size_t max;     /* of the content */
	bool begun, done;
};
int tar_first_feed(struct tar_first *t, struct str in, struct err *e);
void tar_first_free(struct tar_first *t);

#endif
