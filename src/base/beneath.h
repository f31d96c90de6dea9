/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what lies below a directory whose content is not trusted: no link is followed, wherever in the path it stands,
 * ".." does not leave, and a pipe, socket or device is never opened for reading (openat2(2); component by
 * component with O_NOFOLLOW where the kernel has no openat2).
 */
#ifndef BASE_BENEATH_H
#define BASE_BENEATH_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/stat.h>

/* dir itself, whose last component must be no link. O_PATH: for the calls below. -1 on error. */
int beneath_root(const char *dir, struct err *e);
/* Descriptor (O_PATH) of path below root; "" is root itself. *st is of what was opened. ERR_NOT_FOUND if it is missing,
 * ERR_DENIED if a component is a link or path leaves root. */
int beneath_look(int root, const char *path, struct stat *st, struct err *e);
/* Descriptor (O_RDONLY) of a directory below root; ERR_DENIED if path is something else. */
int beneath_dir(int root, const char *path, struct err *e);
/* Appends a regular file below root to b; ERR_LIMIT above max bytes, ERR_DENIED if path is something else. */
int beneath_read(int root, const char *path, size_t max, struct buf *b, struct err *e);
/* The way for kernels without openat2, as strict; beneath_look takes it by itself. flags: of openat(2). -1 with errno. */
int beneath_walk(int root, const char *path, int flags);
/* What path is below dir, "" for dir itself; NULL when it lies elsewhere, or has ".." in it. Names alone: nothing is looked at. */
const char *beneath_rest(const char *path, const char *dir);
/* A directory or file at dir/rest, without a link on the way. *there false: nothing is there. */
bool beneath_find(const char *dir, const char *rest, struct stat *st, bool *there);

#endif
