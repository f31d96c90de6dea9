/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory as a tar stream: one open directory for each level and one open file at a time, so memory
 * does not grow with the tree. Files are opened through their directory's descriptor and never
 * through a link, since the content may be hostile.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 128
#define PIECE_BYTES 16384

struct tar_tree {
	struct tar_tree_options o;
	DIR *dirs[DEPTH_MAX];
	size_t lens[DEPTH_MAX]; /* of path, for each level */
	int depth;              /* open levels */
	int said; /* of these have their header; the others are left out, but for what is kept below */
	struct buf path; /* relative to root */
	int fd;          /* file being packed */
	uint64_t size, left;
	bool started, finished;
};

struct tar_tree *tar_tree_new(const struct tar_tree_options *o)
{
	struct tar_tree *t = mem_alloc(sizeof(*t));

	t->o = *o;
	t->fd = -1;
	return t;
}

void tar_tree_free(struct tar_tree *t)
{
	if (!t)
		return;
	while (t->depth > 0)
		closedir(t->dirs[--t->depth]);
	fd_close(&t->fd);
	buf_free(&t->path);
	free(t);
}

static int push_dir(struct tar_tree *t, int fd, struct err *e)
{
	int err;

	if (t->depth == DEPTH_MAX) {
		close(fd);
		return err_set(e, ERR_LIMIT, 0, "%s/%s: nested deeper than %d", t->o.root,
		               buf_cstr(&t->path), DEPTH_MAX);
	}
	t->dirs[t->depth] = fdopendir(fd);
	if (!t->dirs[t->depth]) {
		err = errno;
		close(fd);
		return err_sys(e, err, "%s/%s", t->o.root, buf_cstr(&t->path));
	}
	t->lens[t->depth++] = t->path.n;
	return 0;
}

static void cut_path(struct tar_tree *t, size_t n)
{
	t->path.n = n;
	if (t->path.p)
		t->path.p[n] = '\0';
}

/* The type that was written, 0 if nothing was; -1. */
static int add_header(struct tar_tree *t, struct buf *b, int dir, const char *name,
                      const struct stat *st, const char *link, struct err *e)
{
	struct tar_entry en = {
		.link = link,
		.type = S_ISDIR(st->st_mode)   ? '5'
		        : S_ISREG(st->st_mode) ? '0'
		        : link                 ? '2'
		                               : '\0',
		.mode = st->st_mode,
		.uid = t->o.uid >= 0 ? (unsigned)t->o.uid : (unsigned)st->st_uid,
		.gid = t->o.gid >= 0 ? (unsigned)t->o.gid : (unsigned)st->st_gid,
		.size = (uint64_t)st->st_size,
		.mtime = (int64_t)st->st_mtime,
	};
	struct buf path = { 0 }, at = { 0 };
	int rc = 0;

	buf_addf(&path, "%s%s%s", t->o.prefix, buf_cstr(&t->path),
	         en.type == '5' && t->path.n ? "/" : "");
	en.name = buf_cstr(&path);
	if (t->o.entry) {
		buf_addf(&at, "/proc/self/fd/%d/%s", dir, name);
		rc = t->o.entry(t->o.skip_arg, b, buf_cstr(&at), st, &en, e);
	}
	if (rc == 0 && en.type)
		tar_header(b, &en);
	buf_free(&at);
	buf_free(&path);
	return rc < 0 ? -1 : en.type;
}

static int add_link(struct tar_tree *t, struct buf *b, int dir, const char *name,
                    const struct stat *st, struct err *e)
{
	char to[4096];
	ssize_t n = readlinkat(dir, name, to, sizeof(to) - 1);

	if (n < 0)
		return err_sys(e, errno, "%s/%s", t->o.root, buf_cstr(&t->path));
	to[n] = '\0';
	return add_header(t, b, dir, name, st, to, e) < 0 ? -1 : 0;
}

/* The headers of the directories that path lies in. */
static int say_above(struct tar_tree *t, struct buf *b, struct err *e)
{
	size_t n = t->path.n;

	for (; t->said < t->depth; t->said++) {
		size_t len = t->lens[t->said];
		const char *slash;
		struct stat st;
		int rc = 0;

		cut_path(t, len);
		slash = strrchr(t->path.p, '/');
		if (fstat(dirfd(t->dirs[t->said]), &st) == 0)
			rc = add_header(t, b, dirfd(t->dirs[t->said - 1]),
			                slash ? slash + 1 : t->path.p, &st, NULL, e);
		t->path.p[len] = '/';
		t->path.n = n;
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int open_entry(struct tar_tree *t, struct buf *b, int dir, const char *name, bool is_dir,
                      bool left_out, struct err *e)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (is_dir ? O_DIRECTORY : 0);
	struct stat st;
	int fd = openat(dir, name, flags), type;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int err = errno;

		fd_close(&fd);
		if (err == ENOENT)
			return 0;
		return err_sys(e, err, "%s/%s", t->o.root, buf_cstr(&t->path));
	}
	type = !left_out && (is_dir || S_ISREG(st.st_mode))
	               ? add_header(t, b, dir, name, &st, NULL, e)
	               : 0;
	if (type >= 0 && is_dir) {
		if (push_dir(t, fd, e) < 0)
			return -1;
		if (!left_out)
			t->said = t->depth;
		return 0;
	}
	if (type == '0') {
		t->fd = fd;
		t->size = t->left = (uint64_t)st.st_size;
	} else {
		close(fd);
	}
	return type < 0 ? -1 : 0;
}

static int add_entry(struct tar_tree *t, struct buf *b, const char *name, struct err *e)
{
	int dir = dirfd(t->dirs[t->depth - 1]);
	bool whole = false, skip = false;
	struct stat st;

	cut_path(t, t->lens[t->depth - 1]);
	if (t->path.n)
		buf_addc(&t->path, '/');
	buf_adds(&t->path, name);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s/%s", t->o.root, t->path.p);
	if (t->o.skip)
		skip = t->o.skip(t->o.skip_arg, t->path.p, S_ISDIR(st.st_mode), &whole);
	if (skip && (whole || !S_ISDIR(st.st_mode)))
		return 0;
	if (!skip && say_above(t, b, e) < 0)
		return -1;
	if (S_ISLNK(st.st_mode))
		return add_link(t, b, dir, name, &st, e);
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		return open_entry(t, b, dir, name, S_ISDIR(st.st_mode), skip, e);
	return t->o.entry && add_header(t, b, dir, name, &st, NULL, e) < 0 ? -1 : 0;
}

static int add_content(struct tar_tree *t, struct buf *b, struct err *e)
{
	size_t want = t->left < PIECE_BYTES ? (size_t)t->left : PIECE_BYTES;
	ssize_t n = 0;

	if (want) {
		n = read(t->fd, buf_reserve(b, want), want);
		if (n < 0 && errno == EINTR)
			return 0;
		if (n < 0)
			return err_sys(e, errno, "%s/%s", t->o.root, buf_cstr(&t->path));
		if (n == 0)
			return err_set(e, ERR_OTHER, 0, "%s/%s: became shorter while it was read",
			               t->o.root, buf_cstr(&t->path));
		b->n += (size_t)n;
		t->left -= (uint64_t)n;
	}
	if (!t->left) {
		tar_pad(b, t->size);
		fd_close(&t->fd);
	}
	return 0;
}

static int step(struct tar_tree *t, struct buf *b, struct err *e)
{
	struct dirent *d;

	if (t->fd >= 0)
		return add_content(t, b, e);
	if (!t->depth) {
		tar_finish(b);
		t->finished = true;
		return 0;
	}
	errno = 0;
	d = readdir(t->dirs[t->depth - 1]);
	if (d) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			return 0;
		return add_entry(t, b, d->d_name, e);
	}
	if (errno)
		return err_sys(e, errno, "%s/%s", t->o.root, buf_cstr(&t->path));
	closedir(t->dirs[--t->depth]);
	if (t->said > t->depth)
		t->said = t->depth;
	return 0;
}

int tar_tree_fill(void *tree, struct buf *b, struct err *e)
{
	struct tar_tree *t = tree;
	size_t until = b->n + PIECE_BYTES;
	struct stat st;

	if (!t->started) {
		int fd = open(t->o.root, O_RDONLY | O_CLOEXEC | O_DIRECTORY);

		if (fd < 0)
			return err_sys(e, errno, "%s", t->o.root);
		if (*t->o.prefix && fstat(fd, &st) == 0 && /* the prefix itself, with its owner */
		    add_header(t, b, fd, "", &st, NULL, e) < 0) {
			close(fd);
			return -1;
		}
		if (push_dir(t, fd, e) < 0)
			return -1;
		t->said = t->depth;
		t->started = true;
	}
	while (!t->finished && b->n < until)
		if (step(t, b, e) < 0)
			return -1;
	return t->finished ? 0 : 1;
}
