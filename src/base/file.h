/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories: whole-file reads with a limit, durable replacement, removal that
 * stays inside its tree, paths built from checked components. Errors carry path and errno.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Appends the file to b. ERR_NOT_FOUND, ERR_LIMIT above max bytes, ERR_SYS. */
int file_read(const char *path, size_t max, struct buf *b, struct err *e);
/* The same from a descriptor; path is for messages. */
int file_read_fd(int fd, const char *path, size_t max, struct buf *b, struct err *e);
/* Writes "<path>.tmp-<pid>", fsync, rename, fsync of the directory. Old content stays whole on any
 * failure. A symbolic link at path is followed (the target is replaced). */
int file_replace(const char *path, mode_t mode, struct str data, struct err *e);
/* The same for what nobody needs after a loss of power: the file may then be empty, or gone. Not waiting for the disk. */
int file_swap(const char *path, mode_t mode, struct str data, struct err *e);
/* All of data, EINTR and short writes handled. */
int file_write_all(int fd, struct str data, const char *name, struct err *e);
/* Creates path and its parents; what exists stays as it is. Parents get 0755 & ~umask, path itself mode. */
int file_mkdirs(const char *path, mode_t mode, struct err *e);
/* Removes a tree through directory descriptors; never follows a symbolic link, never leaves the
 * mount (a bind mount of the same device either) or the tree; goes on past failures and reports the first (and how many more). A missing
 * path is success. */
int file_remove_tree(const char *path, struct err *e);
/* The same for name, one component, in the directory dirfd. */
int file_remove_at(int dirfd, const char *name, struct err *e);
/* Removes all that is in a directory in that way; the directory stays and may be a mount point itself. */
int file_empty_dir(const char *path, struct err *e);
bool file_exists(const char *path);
bool file_is_dir(const char *path);
int file_fsync_dir(const char *path, struct err *e);
/* Appends the components of path to b, a relative path: empty ones and "." are left out, ".." takes the one
 * before it away. False: a ".." had none before it and was left out as well. */
bool path_add(struct buf *b, struct str path);
/* "dir/name"; the caller frees. */
char *path_join(const char *dir, const char *name) __attribute__((returns_nonnull));
/* Waits until fd has one of events (POLLIN, POLLOUT), or the deadline (ERR_TIMEOUT).
 * Returns revents, or -1. */
int wait_fd(int fd, short events, struct deadline d, struct err *e);
int fd_set_nonblock(int fd, struct err *e);
void fd_close(int *fd); /* closes if >= 0 and sets -1 */

#endif
