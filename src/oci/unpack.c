/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a layer, see unpack.h. */
#include "oci/unpack.h"

#include "base/file.h"
#include "base/mem.h"
#include "oci/unpack_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_META ".wh..wh." /* housekeeping of the file system that gave them their names */

static int begin(void *arg, const struct tar_entry *en, struct err *e);
static int data(void *arg, uint64_t at, struct str bytes, struct err *e);
static int end(void *arg, struct err *e);

struct unpack *unpack_new(int root, int scratch, const struct unpack_owner *o)
{
	struct unpack *u = mem_alloc(sizeof(*u));
	struct tar_handler h = { begin, data, end, u };

	u->root = root;
	u->scratch = scratch;
	u->o = *o;
	u->parent = u->file = u->dirs = u->owners = -1;
	u->base = "";
	u->tar = tar_read_new(&h);
	return u;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	tar_read_free(u->tar);
	fd_close(&u->parent);
	fd_close(&u->file);
	fd_close(&u->dirs);
	fd_close(&u->owners);
	buf_free(&u->path);
	buf_free(&u->parent_path);
	buf_free(&u->pending);
	buf_free(&u->others);
	buf_free(&u->xattrs);
	free(u);
}

struct unpack_seen unpack_seen(const struct unpack *u)
{
	return u->seen;
}

static int open_dir(struct unpack *u, const char *name)
{
	return openat(u->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int mark_at(struct unpack *u, const char *name,
                   int (*mark)(struct unpack *u, int fd, struct err *e), struct err *e)
{
	int fd = open_dir(u, name), rc;

	if (fd < 0)
		return unpack_sys(u, errno, "open", e);
	rc = mark(u, fd, e);
	fd_close(&fd);
	return rc;
}

/* What lower layers have there is gone. What this one has stays, whatever the order. */
static int hide(struct unpack *u, const char *name, struct err *e)
{
	struct stat st;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_PARSE, 0, "%.300s: a whiteout of nothing", u->path.p);
	u->base = name;
	if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? mark_at(u, name, unpack_mark_opaque, e) : 0;
	if (errno != ENOENT)
		return unpack_sys(u, errno, "look", e);
	if (mknodat(u->parent, name, S_IFCHR, makedev(0, 0)) < 0)
		return unpack_sys(u, errno, "make a whiteout (needs Linux 5.8)", e);
	return mark_at(u, ".", unpack_mark_whiteouts, e);
}

static int whiteout(struct unpack *u, struct err *e)
{
	if (strcmp(u->base, WHITEOUT_OPAQUE) == 0)
		return mark_at(u, ".", unpack_mark_opaque, e);
	return strncmp(u->base, WHITEOUT_META, strlen(WHITEOUT_META)) == 0
	               ? 0
	               : hide(u, u->base + strlen(WHITEOUT), e);
}

static int make_dir(struct unpack *u, struct err *e)
{
	bool there, whited;
	int fd, rc = -1;

	if (unpack_make_room(u, &there, &whited, e) < 0)
		return -1;
	if (!there && mkdirat(u->parent, u->base, 0700) < 0)
		return unpack_sys(u, errno, "make", e);
	fd = open_dir(u, u->base);
	if (fd < 0)
		return unpack_sys(u, errno, "open", e);
	if (!whited || unpack_mark_opaque(u, fd, e) == 0)
		rc = unpack_meta_dir(u, fd, e);
	fd_close(&fd);
	return rc;
}

static int make_file(struct unpack *u, const struct tar_entry *en, struct err *e)
{
	bool whited;

	if (unpack_make_room(u, NULL, &whited, e) < 0)
		return -1;
	u->size = en->size;
	u->file = openat(u->parent, u->base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                 0600);
	return u->file < 0 ? unpack_sys(u, errno, "make", e) : 0;
}

static int make_symlink(struct unpack *u, const char *to, struct err *e)
{
	bool whited;

	if (!*to)
		return err_set(e, ERR_PARSE, 0, "%.300s: a symbolic link to nothing",
		               buf_cstr(&u->path));
	if (unpack_make_room(u, NULL, &whited, e) < 0)
		return -1;
	if (symlinkat(to, u->parent, u->base) < 0)
		return unpack_sys(u, errno, "make", e);
	return unpack_meta_at(u, true, e);
}

static int make_pipe(struct unpack *u, struct err *e)
{
	bool whited;

	if (unpack_make_room(u, NULL, &whited, e) < 0)
		return -1;
	if (mkfifoat(u->parent, u->base, 0600) < 0)
		return unpack_sys(u, errno, "make", e);
	return unpack_meta_at(u, false, e);
}

/* at and name: where the target of a hard link lies. */
static int link_to(struct unpack *u, int at, const char *name, const char *to, struct err *e)
{
	struct stat st, mine;
	bool whited;

	if (!*name || fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) ||
	    S_ISCHR(st.st_mode))
		return err_set(e, ERR_DENIED, 0,
		               "%.200s: a hard link to %.200s, which is no file of this layer",
		               buf_cstr(&u->path), to);
	if (fstatat(u->parent, u->base, &mine, AT_SYMLINK_NOFOLLOW) == 0 &&
	    mine.st_dev == st.st_dev && mine.st_ino == st.st_ino)
		return 0; /* to itself, or made twice */
	if (unpack_make_room(u, NULL, &whited, e) < 0)
		return -1;
	/* The room may have been a directory that held the target. */
	if (linkat(at, name, u->parent, u->base, 0) < 0)
		return unpack_sys(u, errno, "make a hard link", e);
	return unpack_meta_linked(u, e);
}

static int make_hard_link(struct unpack *u, const char *to, struct err *e)
{
	struct buf target = { 0 };
	const char *slash, *name;
	int at, rc;

	if (!path_add(&target, str_of(to))) {
		buf_free(&target);
		return err_set(e, ERR_DENIED, 0, "%.200s: a hard link out of the image, to %.200s",
		               buf_cstr(&u->path), to);
	}
	slash = target.n ? strrchr(target.p, '/') : NULL;
	name = slash ? slash + 1 : buf_cstr(&target);
	at = unpack_find_dir(u, (struct str){ target.p, slash ? (size_t)(slash - target.p) : 0 });
	if (at < 0)
		rc = unpack_sys(u, errno, "the target of a hard link", e);
	else
		rc = link_to(u, at, name, to, e);
	fd_close(&at);
	buf_free(&target);
	return rc;
}

static int make_root(struct unpack *u, const struct tar_entry *en, struct err *e)
{
	if (en->type == '5')
		return unpack_meta_dir(u, u->root, e);
	return err_set(e, ERR_DENIED, 0, "its root is no directory but of type %c", en->type);
}

static int begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct unpack *u = arg;

	if (++u->seen.entries > UNPACK_ENTRIES_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %u entries", UNPACK_ENTRIES_MAX);
	unpack_meta_take(u, en);
	if (unpack_path(u, en->name, e) < 0)
		return -1;
	if (!u->path.n)
		return make_root(u, en, e);
	if (unpack_parent(u, e) < 0)
		return -1;
	if (strncmp(u->base, WHITEOUT, strlen(WHITEOUT)) == 0)
		return whiteout(u, e);
	switch (en->type) {
	case '5':
		return make_dir(u, e);
	case '2':
		return make_symlink(u, en->link, e);
	case '1':
		return make_hard_link(u, en->link, e);
	case '6':
		return make_pipe(u, e);
	case '3':
	case '4':
		u->seen.devices++;
		return 0;
	default:
		return make_file(u, en, e);
	}
}

static int data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct unpack *u = arg;

	if (u->file < 0)
		return 0; /* of a whiteout */
	u->seen.bytes += bytes.n;
	if (u->seen.bytes > UNPACK_BYTES_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %llu bytes of files",
		               (unsigned long long)UNPACK_BYTES_MAX);
	while (bytes.n) {
		ssize_t n = pwrite(u->file, bytes.p, bytes.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return unpack_sys(u, errno, "write", e);
		bytes.p += n;
		bytes.n -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int end(void *arg, struct err *e)
{
	struct unpack *u = arg;
	struct stat st;
	int rc = 0, fd = u->file;

	if (fd < 0)
		return 0;
	/* A hole at the end, or nothing but one. */
	if (fstat(fd, &st) < 0 || ((uint64_t)st.st_size < u->size && ftruncate(fd, (off_t)u->size)))
		rc = unpack_sys(u, errno, "set its size", e);
	if (rc == 0)
		rc = unpack_meta_file(u, fd, e);
	u->file = -1;
	if (close(fd) < 0 && rc == 0)
		rc = unpack_sys(u, errno, "close", e);
	return rc;
}

int unpack_feed(struct unpack *u, struct str tar, struct err *e)
{
	return tar_read_feed(u->tar, tar, e);
}

int unpack_end(struct unpack *u, struct err *e)
{
	if (tar_read_end(u->tar, e) < 0)
		return -1;
	return unpack_dirs_end(u, e);
}
