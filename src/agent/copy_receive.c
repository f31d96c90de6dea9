/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See copy.h. All entries are below one name, which is the target's; each is made through a descriptor of its directory that
 * no link leads to. A directory gets its mode when all is there, since one without the right to write could not be filled.
 */
#include "agent/copy.h"

#include "base/beneath.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRS_MAX 1000000u
#define ENTRIES_MAX 10000000u
#define PIECE 65536
#define MODES 0777

struct dir {
	char *path;
	mode_t mode;
	int64_t mtime;
};

struct receive {
	struct copy *c;
	int root;         /* the directory above the target */
	const char *name; /* of the target in it; NULL: that of the archive */
	struct buf top;   /* first component of what comes */
	struct buf path;  /* of the entry at hand, below root */
	int fd;           /* its file */
	mode_t mode;
	int64_t mtime;
	struct dir *dirs;
	size_t n_dirs, cap_dirs;
	uint64_t entries;
};

/* The path of an entry with the target's name in place of the archive's. */
static int place(struct receive *r, const char *name, struct err *e)
{
	struct buf clean = { 0 };
	const char *slash;
	size_t n;
	bool stays = path_add(&clean, str_of(name)) && clean.n;

	slash = stays ? strchr(clean.p, '/') : NULL;
	n = slash ? (size_t)(slash - clean.p) : clean.n;
	if (stays && !r->top.n)
		buf_add(&r->top, clean.p, n);
	if (!stays || n != r->top.n || memcmp(clean.p, r->top.p, n) != 0) {
		buf_free(&clean);
		return err_set(e, ERR_DENIED, 0, "%.300s: leads out of what was asked for", name);
	}
	buf_reset(&r->path);
	buf_adds(&r->path, r->name ? r->name : buf_cstr(&r->top));
	buf_adds(&r->path, buf_cstr(&clean) + n);
	buf_free(&clean);
	return 0;
}

/* The directory that the entry is in, and its name there. */
static int parent_of(const struct receive *r, const char *path, const char **base, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char *above = mem_dupn(path, slash ? (size_t)(slash - path) : 0);
	int fd = beneath_dir(r->root, above, e);

	*base = slash ? slash + 1 : path;
	free(above);
	return fd;
}

static int make_dir(struct receive *r, int at, const char *base, const struct tar_entry *en,
                    struct err *e)
{
	struct stat st;

	if (mkdirat(at, base, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "%s", buf_cstr(&r->path));
	if (fstatat(at, base, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_EXISTS, 0, "%s is there and no directory",
		               buf_cstr(&r->path));
	if (r->n_dirs == DIRS_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %u directories", DIRS_MAX);
	if (r->n_dirs == r->cap_dirs) {
		r->cap_dirs = r->cap_dirs ? r->cap_dirs * 2 : 64;
		r->dirs = mem_realloc(r->dirs, r->cap_dirs * sizeof(*r->dirs));
	}
	r->dirs[r->n_dirs++] = (struct dir){ mem_dup(buf_cstr(&r->path)), en->mode & MODES,
		                             en->mtime };
	return 0;
}

static int make_file(struct receive *r, int at, const char *base, const struct tar_entry *en,
                     struct err *e)
{
	if (unlinkat(at, base, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "replace %s", buf_cstr(&r->path));
	r->fd = openat(at, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return err_sys(e, errno, "create %s", buf_cstr(&r->path));
	if (en->size && ftruncate(r->fd, (off_t)en->size) < 0)
		return err_sys(e, errno, "%s", buf_cstr(&r->path));
	r->mode = en->mode & MODES;
	r->mtime = en->mtime;
	return 0;
}

static int make_link(const struct receive *r, int at, const char *base, const char *to,
                     struct err *e)
{
	if (unlinkat(at, base, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "replace %s", buf_cstr(&r->path));
	return symlinkat(to, at, base) < 0 ? err_sys(e, errno, "create %s", buf_cstr(&r->path)) : 0;
}

static int begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct receive *r = arg;
	const char *base;
	int at, rc = 0;

	if (++r->entries > ENTRIES_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %u files", ENTRIES_MAX);
	if (place(r, en->name, e) < 0 || (at = parent_of(r, buf_cstr(&r->path), &base, e)) < 0)
		return -1;
	if (en->type == '5')
		rc = make_dir(r, at, base, en, e);
	else if (en->type == '0')
		rc = make_file(r, at, base, en, e);
	else if (en->type == '2')
		rc = make_link(r, at, base, en->link, e);
	else
		rc = err_set(e, ERR_UNSUPPORTED, 0, "%.300s is neither file, directory nor link",
		             en->name);
	close(at);
	r->c->files += en->type != '5';
	return rc;
}

static int data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct receive *r = arg;

	while (bytes.n) {
		ssize_t n = pwrite(r->fd, bytes.p, bytes.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, n < 0 ? errno : EIO, "write %s", buf_cstr(&r->path));
		bytes.p += n;
		bytes.n -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int set_times(int fd, int64_t mtime)
{
	const struct timespec both[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = (time_t)mtime } };

	return futimens(fd, both);
}

static int end(void *arg, struct err *e)
{
	struct receive *r = arg;
	int rc = 0;

	if (r->fd < 0)
		return 0;
	if (fchmod(r->fd, r->mode) < 0 || set_times(r->fd, r->mtime) < 0)
		rc = err_sys(e, errno, "%s", buf_cstr(&r->path));
	if (close(r->fd) < 0 && rc == 0)
		rc = err_sys(e, errno, "write %s", buf_cstr(&r->path));
	r->fd = -1;
	return rc;
}

/* Innermost first: a directory that cannot be entered any more is done with. */
static int finish_dirs(struct receive *r, struct err *e)
{
	int rc = 0;

	while (r->n_dirs) {
		struct dir *d = &r->dirs[--r->n_dirs];
		int fd = rc == 0 ? beneath_dir(r->root, d->path, e) : -1;

		if (rc == 0 && (fd < 0 || fchmod(fd, d->mode) < 0 || set_times(fd, d->mtime) < 0))
			rc = fd < 0 ? -1 : err_sys(e, errno, "%s", d->path);
		fd_close(&fd);
		free(d->path);
	}
	return rc;
}

static int read_all(struct receive *r, int fd, struct err *e)
{
	const struct tar_handler h = { begin, data, end, r };
	struct tar_read *tar = tar_read_new(&h);
	char *piece = mem_alloc(PIECE);
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(fd, piece, PIECE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_sys(e, errno, "read the stream");
		else
			rc = tar_read_feed(tar, (struct str){ piece, (size_t)n }, e);
		r->c->bytes += n > 0 ? (uint64_t)n : 0;
		if (r->c->progress)
			r->c->progress(r->c->arg, r->c);
	}
	if (rc == 0 && !tar_read_ended(tar))
		rc = err_set(e, ERR_CLOSED, 0, "it broke off before its end");
	tar_read_free(tar);
	free(piece);
	return rc;
}

/* The directory that is written into. path is cut; it keeps the target's name. */
static int open_root(struct receive *r, char *path, struct err *e)
{
	size_t n = strlen(path);
	const char *dir = path;
	char *slash;

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	if (!file_is_dir(path)) {
		slash = strrchr(path, '/');
		r->name = slash ? slash + 1 : path;
		dir = !slash ? "." : slash == path ? "/" : path;
		if (slash)
			*slash = '\0';
	}
	r->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->root < 0)
		return err_sys(e, errno, "%s", dir);
	return r->name && !*r->name ? err_set(e, ERR_PARSE, 0, "an empty path") : 0;
}

int copy_receive(int fd, const char *path, struct copy *c, struct err *e)
{
	struct receive r = { .c = c, .fd = -1, .root = -1 };
	char *target = mem_dup(path);
	int rc = open_root(&r, target, e);

	if (rc == 0)
		rc = read_all(&r, fd, e);
	fd_close(&r.fd);
	if (rc == 0)
		rc = finish_dirs(&r, e);
	while (r.n_dirs)
		free(r.dirs[--r.n_dirs].path);
	free(r.dirs);
	fd_close(&r.root);
	buf_free(&r.top);
	buf_free(&r.path);
	free(target);
	return rc;
}
