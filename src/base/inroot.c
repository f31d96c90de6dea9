/* SPDX-License-Identifier: Apache-2.0 */
/* See inroot.h. */
#include "base/inroot.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in beneath.c. */
#define OPENAT2_NR 437
#define STAY_IN_ROOT (0x02u | 0x10u) /* no magic links, in root */
#define SAME_MOUNT 0x01u
#define LINKS_MAX 40
#define AGAIN_MAX 10000

struct how {
	uint64_t flags, mode, resolve;
};

struct walk {
	int root, flags;
	int dirs[INROOT_DEPTH_MAX]; /* from below the root down to where we stand */
	size_t depth;
	struct buf rest; /* of the path */
	unsigned links;
};

static int here(const struct walk *w)
{
	return w->depth ? w->dirs[w->depth - 1] : w->root;
}

static void up(struct walk *w)
{
	if (w->depth)
		fd_close(&w->dirs[--w->depth]);
}

/* Cuts the next component off the rest. */
static bool next(struct walk *w, char name[NAME_MAX + 1])
{
	size_t from = 0, to;

	while (from < w->rest.n && w->rest.p[from] == '/')
		from++;
	for (to = from; to < w->rest.n && w->rest.p[to] != '/';)
		to++;
	if (to - from > NAME_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(name, w->rest.p ? w->rest.p + from : "", to - from);
	name[to - from] = '\0';
	buf_drop(&w->rest, to);
	return true;
}

/* Whether nothing but slashes is left. */
static bool is_last(const struct walk *w)
{
	for (size_t i = 0; i < w->rest.n; i++)
		if (w->rest.p[i] != '/')
			return false;
	return true;
}

static int follow(struct walk *w, int link)
{
	char to[PATH_MAX];
	ssize_t n = readlinkat(link, "", to, sizeof(to));
	struct buf rest = { 0 };

	if (++w->links > LINKS_MAX || n >= (ssize_t)sizeof(to) || n == 0) {
		errno = n == 0 ? ENOENT : ELOOP;
		return -1;
	}
	if (n < 0)
		return -1;
	while (to[0] == '/' && w->depth)
		up(w);
	buf_add(&rest, to, (size_t)n);
	buf_addc(&rest, '/');
	buf_add_str(&rest, buf_str(&w->rest));
	buf_free(&w->rest);
	w->rest = rest;
	if (rest.n > 16 * PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static int enter(struct walk *w, int fd)
{
	if (w->depth == INROOT_DEPTH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	w->dirs[w->depth++] = fd;
	return 0;
}

/* The last component, seen to be no link (or wanted as one), opened as asked; only if it is still the same. */
static int finish(struct walk *w, const char *name, const struct stat *seen)
{
	int fd = openat(here(w), name, w->flags | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 &&
	    (fstat(fd, &st) < 0 || st.st_ino != seen->st_ino || st.st_dev != seen->st_dev)) {
		fd_close(&fd);
		errno = EAGAIN;
	}
	return fd;
}

/* 1: one component further; 0: *fd is the end; -1 with errno. */
static int step(struct walk *w, int *fd)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int at, rc;
	bool wants_link = (w->flags & O_NOFOLLOW) != 0;

	if (!next(w, name))
		return -1;
	if (!*name) {
		*fd = openat(here(w), ".", w->flags | O_CLOEXEC);
		return *fd < 0 ? -1 : 0;
	}
	if (strcmp(name, ".") == 0)
		return 1;
	if (strcmp(name, "..") == 0) {
		up(w);
		return 1;
	}
	at = openat(here(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0 || fstat(at, &st) < 0) {
		int err = errno;

		fd_close(&at);
		errno = err;
		return -1;
	}
	if (S_ISLNK(st.st_mode) && !(is_last(w) && wants_link && !w->rest.n))
		rc = follow(w, at) < 0 ? -1 : 1;
	else if (S_ISDIR(st.st_mode))
		return enter(w, at) < 0 ? (fd_close(&at), errno = ENAMETOOLONG, -1) : 1;
	else if (w->rest.n) /* a slash, if nothing more */
		rc = (errno = ENOTDIR, -1);
	else
		rc = (*fd = finish(w, name, &st)) < 0 ? -1 : 0;
	{
		int err = errno;

		fd_close(&at);
		errno = err;
	}
	return rc;
}

int inroot_walk(int root, const char *path, int flags)
{
	struct walk w = { .root = root, .flags = flags };
	int fd = -1, rc, err;

	buf_adds(&w.rest, path);
	do
		rc = step(&w, &fd);
	while (rc > 0);
	err = errno;
	while (w.depth)
		up(&w);
	buf_free(&w.rest);
	errno = err;
	return rc < 0 ? -1 : fd;
}

static int open_in_root(int root, const char *path, int flags, uint64_t resolve)
{
	struct how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve };
	int fd, tries = 0;

	do /* ".." is not sure while anybody renames anything: each try is a new chance */
		fd = (int)syscall(OPENAT2_NR, root, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && ++tries < AGAIN_MAX);
	/* Old kernels lack the call; filters of containers answer EPERM to what they do not know. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = inroot_walk(root, path, flags);
	return fd;
}

int inroot_open(int root, const char *path, int flags)
{
	return open_in_root(root, path, flags, STAY_IN_ROOT | SAME_MOUNT);
}

int inroot_open_across(int root, const char *path, int flags)
{
	return open_in_root(root, path, flags, STAY_IN_ROOT);
}
