/* SPDX-License-Identifier: Apache-2.0 */
/* What unpack.c, unpack_place.c and unpack_meta.c share. */
#ifndef OCI_UNPACK_INT_H
#define OCI_UNPACK_INT_H

#include "base/buf.h"
#include "base/tar.h"
#include "oci/unpack.h"

#include <sys/stat.h>

struct unpack {
	int root, scratch;
	struct unpack_owner o;
	struct tar_read *tar;
	struct unpack_seen seen;
	struct buf path;        /* of the entry, below root, clean */
	const char *base;       /* its last component, in path; "" for root itself */
	int parent;             /* the directory it lies in; -1 */
	struct buf parent_path; /* what parent was opened by */
	int file;               /* being written; -1 */
	uint64_t size;          /* of it */
	struct buf pending;     /* records of directories, before they go to the scratch file */
	int dirs;               /* the scratch file; -1: none yet */
	struct buf others;      /* names for UNPACK_OWNERS, before they go there */
	int owners;             /* that file; -1: none yet */
	/* What the end of the file needs of its entry. */
	struct unpack_meta {
		mode_t mode;
		unsigned uid, gid, mtime_ns;
		int64_t mtime;
	} meta;
	struct buf xattrs; /* name NUL, length, value; one after the other */
};

/* unpack_place.c: where things go. */

/* Sets path and base from a name in the archive. ERR_DENIED if it leads out. */
int unpack_path(struct unpack *u, const char *name, struct err *e);
void unpack_path_set(struct unpack *u, struct str clean);
/* Opens the parent of path, made with those above it if missing. */
int unpack_parent(struct unpack *u, struct err *e);
void unpack_forget_parent(struct unpack *u);
/* Descriptor (O_PATH) of a directory that is there; -1 with errno. */
int unpack_find_dir(const struct unpack *u, struct str path);
/* Removes what is at base; a directory stays if stays is not NULL, and sets it. *whited: a whiteout was there. */
int unpack_make_room(struct unpack *u, bool *stays, bool *whited, struct err *e);
/* "NAME: text: strerror". */
int unpack_sys(const struct unpack *u, int code, const char *text, struct err *e);

/* unpack_meta.c: owner, mode, attributes, times. */

void unpack_meta_take(struct unpack *u, const struct tar_entry *en);
/* Of an open file or directory; mode and times only of a file: those of directories are set at the end. */
int unpack_meta_file(struct unpack *u, int fd, struct err *e);
int unpack_meta_dir(struct unpack *u, int fd, struct err *e);
/* Base in parent is another name of a file that has it all. */
int unpack_meta_linked(struct unpack *u, struct err *e);
/* Of base in parent, which is no directory and has no descriptor: a link or a pipe. */
int unpack_meta_at(struct unpack *u, bool is_link, struct err *e);
/* Of what the archive does not describe: owned by the image's root. */
int unpack_meta_implied(struct unpack *u, int fd, struct err *e);
/* Nothing of lower directories is seen in it. */
int unpack_mark_opaque(struct unpack *u, int fd, struct err *e);
/* It may hold whiteouts: where no layer below has that directory, overlayfs lists them unless the mark tells it to look
 * (that of a copy whose origin nobody knows). */
int unpack_mark_whiteouts(struct unpack *u, int fd, struct err *e);
int unpack_dirs_end(struct unpack *u, struct err *e);

#endif
