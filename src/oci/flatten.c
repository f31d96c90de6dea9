/* SPDX-License-Identifier: Apache-2.0 */
/* Layers merged into one tree, as overlayfs would show them; see images.h. */
#include "base/file.h"
#include "base/mem.h"
#include "oci/images.h"
#include "oci/links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 256
#define PIECE (128u << 10)
#define XATTR_MAX 65536 /* the kernel's limit */
#define NAMES_MAX 65536

struct flat {
	int root;        /* of the merged tree */
	struct buf path; /* below it, of the entry at hand */
	struct deadline until;
	struct links links;
	unsigned depth;
};

static int failed(const struct flat *f, const char *what, struct err *e)
{
	return err_sys(e, errno, "%.300s: %s", buf_cstr(&f->path), what);
}

static bool is_mark(const char *name)
{
	return strncmp(name, "trusted.overlay.", 16) == 0 ||
	       strncmp(name, "user.overlay.", 13) == 0;
}

static bool is_opaque(int dir)
{
	char value[2];

	return fgetxattr(dir, "trusted.overlay.opaque", value, 1) == 1 ||
	       fgetxattr(dir, "user.overlay.opaque", value, 1) == 1;
}

/* What cannot be set here could not be set when the layer was unpacked either. */
static int copy_xattrs(const struct flat *f, int from, int to, struct err *e)
{
	char *names = mem_alloc(NAMES_MAX), *value = mem_alloc(XATTR_MAX);
	ssize_t n = flistxattr(from, names, NAMES_MAX);
	int rc = 0;

	for (char *p = names; rc == 0 && n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = is_mark(p) ? -1 : fgetxattr(from, p, value, XATTR_MAX);

		if (len >= 0 && fsetxattr(to, p, value, (size_t)len, 0) < 0 && errno != EPERM &&
		    errno != ENOTSUP)
			rc = failed(f, p, e);
	}
	free(names);
	free(value);
	return rc;
}

/* Owner before mode, which the change of an owner would take bits from. */
static int copy_meta(const struct flat *f, int from, int to, const struct stat *st, struct err *e)
{
	struct timespec ts[2] = { st->st_mtim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 && unpack_may_give())
		return failed(f, "set its owner", e);
	if (copy_xattrs(f, from, to, e) < 0)
		return -1;
	if (fchmod(to, st->st_mode & 07777) < 0 || futimens(to, ts) < 0)
		return failed(f, "set mode and time", e);
	return 0;
}

static int copy_bytes(const struct flat *f, int from, int to, const struct stat *st, struct err *e)
{
	char *piece;
	off_t at = 0;
	int rc = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	piece = mem_alloc(PIECE);
	/* Hole by hole. */
	while (rc == 0 && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE);

		while (rc == 0 && at < end) {
			size_t want = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
			ssize_t n = pread(from, piece, want, at);

			if (n <= 0 || pwrite(to, piece, (size_t)n, at) != n)
				rc = failed(f, "copy", e);
			at += n;
		}
	}
	free(piece);
	if (rc == 0 && ftruncate(to, st->st_size) < 0)
		rc = failed(f, "set its size", e);
	return rc;
}

static int copy_file(struct flat *f, int from_dir, int to_dir, const char *name,
                     const struct stat *st, struct err *e)
{
	int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int to = from < 0 ? -1 : openat(to_dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = -1;

	if (to < 0)
		failed(f, "copy", e);
	else if (copy_bytes(f, from, to, st, e) == 0)
		rc = copy_meta(f, from, to, st, e);
	fd_close(&from);
	fd_close(&to);
	return rc;
}

/* A link or a pipe: no descriptor to work on. */
static int copy_other(struct flat *f, int from_dir, int to_dir, const char *name,
                      const struct stat *st, struct err *e)
{
	struct timespec ts[2] = { st->st_mtim, st->st_mtim };
	char target[4097];
	ssize_t n = 0;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from_dir, name, target, sizeof(target) - 1);
		if (n < 0)
			return failed(f, "read", e);
		target[n] = '\0';
		if (symlinkat(target, to_dir, name) < 0)
			return failed(f, "make", e);
	} else if (mkfifoat(to_dir, name, 0600) < 0) {
		return failed(f, "make", e);
	}
	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    unpack_may_give())
		return failed(f, "set its owner", e);
	if (!S_ISLNK(st->st_mode) && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		return failed(f, "set its mode", e);
	return utimensat(to_dir, name, ts, AT_SYMLINK_NOFOLLOW) < 0 ? failed(f, "set its time", e)
	                                                            : 0;
}

static int copy_dir(struct flat *f, int from, int to, struct err *e);

static int enter(struct flat *f, int from_dir, int to_dir, const char *name, struct err *e)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int from = openat(from_dir, name, flags), to, rc = -1;
	struct stat there;

	if (from < 0)
		return failed(f, "open", e);
	if ((fstatat(to_dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(there.st_mode)) ||
	    is_opaque(from))
		rc = file_remove_at(to_dir, name, e);
	else
		rc = 0;
	if (rc == 0 && mkdirat(to_dir, name, 0700) < 0 && errno != EEXIST)
		rc = failed(f, "make", e);
	to = rc < 0 ? -1 : openat(to_dir, name, flags);
	if (rc == 0 && to < 0)
		rc = failed(f, "open", e);
	if (rc == 0)
		rc = copy_dir(f, from, to, e);
	fd_close(&from);
	fd_close(&to);
	return rc;
}

static int copy_entry(struct flat *f, int from, int to, const char *name, struct err *e)
{
	const char *first;
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(f, "look", e);
	if (S_ISDIR(st.st_mode))
		return enter(f, from, to, name, e);
	if (file_remove_at(to, name, e) < 0)
		return -1;
	if (S_ISCHR(st.st_mode)) /* only whiteouts are in a layer */
		return 0;
	first = links_name(&f->links, &st, buf_cstr(&f->path));
	if (first && linkat(f->root, first, to, name, 0) == 0)
		return 0;
	return S_ISREG(st.st_mode) ? copy_file(f, from, to, name, &st, e)
	                           : copy_other(f, from, to, name, &st, e);
}

static int each_entry(struct flat *f, DIR *d, int to, struct err *e)
{
	size_t n = f->path.n;
	struct dirent *en;
	int rc = 0;

	while (rc == 0 && (en = readdir(d))) {
		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
			continue;
		if (deadline_passed(f->until))
			return err_set(e, ERR_TIMEOUT, 0, "timed out");
		if (n)
			buf_addc(&f->path, '/');
		buf_adds(&f->path, en->d_name);
		rc = copy_entry(f, dirfd(d), to, en->d_name, e);
		buf_cut(&f->path, n);
	}
	return rc;
}

/* A directory's own mode and time come last: one may keep us out, the other changes with each entry. */
static int copy_dir(struct flat *f, int from, int to, struct err *e)
{
	int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct stat st;

	if (!d || fstat(from, &st) < 0) {
		if (!d)
			fd_close(&again);
		else
			closedir(d);
		return failed(f, "open", e);
	}
	if (f->depth == DEPTH_MAX)
		rc = err_set(e, ERR_LIMIT, 0, "%.300s: nested deeper than %d", buf_cstr(&f->path),
		             DEPTH_MAX);
	else {
		(void)fchmod(to, 0700); /* if it is not ours, the first entry says so */
		f->depth++;
		rc = each_entry(f, d, to, e);
		f->depth--;
	}
	closedir(d);
	return rc < 0 ? -1 : copy_meta(f, from, to, &st, e);
}

int images_flatten(const struct rootfs *r, const char *dir, struct deadline until, struct err *e)
{
	struct flat f = { .until = until };
	int rc = 0;

	f.root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.root < 0)
		return err_sys(e, errno, "%s", dir);
	for (size_t i = r->n; rc == 0 && i-- > 0;) {
		int from = open(r->lower[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rc = from < 0 ? err_sys(e, errno, "%s", r->lower[i])
		              : copy_dir(&f, from, f.root, e);
		fd_close(&from);
		links_free(&f.links); /* numbers of files are those of one layer */
	}
	fd_close(&f.root);
	buf_free(&f.path);
	return rc < 0 ? err_wrap(e, "copy %s", r->name) : 0;
}
