/* SPDX-License-Identifier: Apache-2.0 */
/* See beneath.h. */
#include "base/beneath.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2(2) has one number on every architecture; older headers know neither it nor its flags. */
#define OPENAT2_NR 437
#define STAY_BENEATH (0x02u | 0x04u | 0x08u) /* no magic links, no links, beneath */

struct how {
	uint64_t flags, mode, resolve;
};

/* Neither ".." nor an absolute path has a meaning below a directory. */
static bool stays(const char *path)
{
	struct str rest = str_of(path), piece;

	if (*path == '/')
		return false;
	while (str_next(&rest, '/', &piece))
		if (str_eq(piece, ".."))
			return false;
	return true;
}

/* One component. A link is ELOOP also where O_PATH would open the link itself. */
static int step(int at, struct str piece, int flags)
{
	char name[256];
	struct stat st;
	int fd;

	if (piece.n >= sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, piece.p, piece.n);
	name[piece.n] = '\0';
	fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (flags & O_PATH) && (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))) {
		fd_close(&fd);
		errno = ELOOP;
	}
	return fd;
}

int beneath_walk(int root, const char *path, int flags)
{
	struct str rest = str_of(path), piece, last = STR_LIT(".");
	int at, fd, err;

	if (!stays(path)) {
		errno = EXDEV;
		return -1;
	}
	at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (at >= 0 && str_next(&rest, '/', &piece)) {
		int next;

		if (!piece.n || str_eq(piece, "."))
			continue;
		next = step(at, last, O_PATH);
		err = errno;
		fd_close(&at);
		errno = err;
		at = next;
		last = piece;
	}
	fd = at < 0 ? -1 : step(at, last, flags);
	err = errno;
	fd_close(&at);
	errno = err;
	return fd;
}

static int open_below(int root, const char *path, int flags)
{
	struct how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = STAY_BENEATH };
	int fd;

	if (!stays(path)) {
		errno = EXDEV;
		return -1;
	}
	fd = (int)syscall(OPENAT2_NR, root, *path ? path : ".", &how, sizeof(how));
	/* Old kernels lack the call; filters of containers answer EPERM to what they do not know. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = beneath_walk(root, path, flags);
	return fd;
}

static int failed(int err, const char *path, struct err *e)
{
	if (err == ELOOP)
		return err_set(
			e, ERR_DENIED, err,
			"%s is a link, or lies behind one; no link of a repository is followed",
			path);
	if (err == EXDEV)
		return err_set(e, ERR_DENIED, err, "%s leads out of its directory", path);
	return err_sys(e, err, "%s", path);
}

int beneath_root(const char *dir, struct err *e)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return err_set(e, ERR_DENIED, errno, "%s is no directory, or a link to one", dir);
	if (fd < 0)
		return err_sys(e, errno, "%s", dir);
	return fd;
}

int beneath_look(int root, const char *path, struct stat *st, struct err *e)
{
	int fd = open_below(root, path, O_PATH | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, st) < 0) {
		int err = errno;

		fd_close(&fd);
		return failed(err, path, e);
	}
	if (S_ISLNK(st->st_mode)) {
		fd_close(&fd);
		return failed(ELOOP, path, e);
	}
	return fd;
}

/* What was looked at is opened only when it is of the wanted type, since opening a pipe or a device does something. */
static int open_as(int root, const char *path, mode_t type, int flags, const char *what,
                   struct err *e)
{
	struct stat st = { 0 }, now;
	int look = beneath_look(root, path, &st, e), fd;

	if (look < 0)
		return -1;
	fd_close(&look);
	if ((st.st_mode & S_IFMT) != type)
		return err_set(e, ERR_DENIED, 0, "%s is no %s", path, what);
	fd = open_below(root, path, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return failed(errno, path, e);
	if (fstat(fd, &now) < 0 || now.st_dev != st.st_dev || now.st_ino != st.st_ino) {
		fd_close(&fd);
		return err_set(e, ERR_DENIED, 0, "%s was exchanged while it was opened", path);
	}
	return fd;
}

int beneath_dir(int root, const char *path, struct err *e)
{
	return open_as(root, path, S_IFDIR, O_DIRECTORY, "directory", e);
}

int beneath_read(int root, const char *path, size_t max, struct buf *b, struct err *e)
{
	int fd = open_as(root, path, S_IFREG, 0, "regular file", e), rc;

	if (fd < 0)
		return -1;
	rc = file_read_fd(fd, path, max, b, e);
	fd_close(&fd);
	return rc;
}

const char *beneath_rest(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/') || strstr(path, "/.."))
		return NULL;
	for (path += n; *path == '/'; path++)
		;
	return path;
}

bool beneath_find(const char *dir, const char *rest, struct stat *st, bool *there)
{
	struct err e = { 0 };
	int root = beneath_root(dir, &e);
	int fd = root < 0 ? -1 : beneath_look(root, rest, st, &e);
	bool ok = fd < 0 ? e.kind == ERR_NOT_FOUND : S_ISDIR(st->st_mode) || S_ISREG(st->st_mode);

	*there = fd >= 0;
	fd_close(&fd);
	fd_close(&root);
	return ok;
}
