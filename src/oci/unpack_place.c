/* SPDX-License-Identifier: Apache-2.0 */
/* Where the entries of a layer go: names, the directories above them, and what was there before. */
#include "oci/unpack_int.h"

#include "base/file.h"
#include "base/inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int unpack_sys(const struct unpack *u, int code, const char *text, struct err *e)
{
	return err_sys(e, code, "%.300s: %s", *buf_cstr(&u->path) ? buf_cstr(&u->path) : "/", text);
}

static void find_base(struct unpack *u)
{
	const char *slash = u->path.n ? strrchr(u->path.p, '/') : NULL;

	u->base = slash ? slash + 1 : buf_cstr(&u->path);
}

void unpack_path_set(struct unpack *u, struct str clean)
{
	buf_reset(&u->path);
	buf_add_str(&u->path, clean);
	find_base(u);
}

int unpack_path(struct unpack *u, const char *name, struct err *e)
{
	buf_reset(&u->path);
	if (!path_add(&u->path, str_of(name)))
		return err_set(e, ERR_DENIED, 0, "%.300s: leads out of the image", name);
	find_base(u);
	if (strlen(u->base) > NAME_MAX)
		return err_set(e, ERR_LIMIT, 0, "%.300s: a name of more than %d bytes", u->base,
		               NAME_MAX);
	return 0;
}

void unpack_forget_parent(struct unpack *u)
{
	fd_close(&u->parent);
	buf_reset(&u->parent_path);
}

int unpack_find_dir(const struct unpack *u, struct str path)
{
	struct buf b = { 0 };
	int fd, err;

	buf_add_str(&b, path);
	fd = inroot_open(u->root, buf_cstr(&b), O_PATH | O_DIRECTORY);
	err = errno;
	buf_free(&b);
	errno = err;
	return fd;
}

static bool is_whiteout(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(0, 0);
}

/* One missing directory of the way, or one that is hidden so far; its own parent is there. */
static int make_dir(struct unpack *u, struct str path, struct err *e)
{
	const char *slash = memrchr(path.p, '/', path.n);
	struct str above = { path.p, slash ? (size_t)(slash - path.p) : 0 };
	char name[NAME_MAX + 1];
	int at = unpack_find_dir(u, above), fd = -1, rc = 0;
	bool whited;
	size_t from = slash ? above.n + 1 : 0;

	if (path.n - from > NAME_MAX)
		errno = ENAMETOOLONG;
	if (at < 0 || path.n - from > NAME_MAX) {
		rc = unpack_sys(u, errno, "the directory above it", e);
		fd_close(&at);
		return rc;
	}
	memcpy(name, path.p + from, path.n - from);
	name[path.n - from] = '\0';
	whited = is_whiteout(at, name) && unlinkat(at, name, 0) == 0;
	if (mkdirat(at, name, 0755) < 0)
		rc = unpack_sys(u, errno, "make the directory above it", e);
	else if ((fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		rc = unpack_sys(u, errno, "open the directory above it", e);
	else if (!whited || (rc = unpack_mark_opaque(u, fd, e)) == 0)
		rc = unpack_meta_implied(u, fd, e);
	fd_close(&fd);
	fd_close(&at);
	return rc;
}

/* Each prefix of the way in turn. */
static int make_dirs(struct unpack *u, struct str path, struct err *e)
{
	for (size_t i = 1; i <= path.n; i++) {
		struct str prefix = { path.p, i };
		int fd;

		if (i < path.n && path.p[i] != '/')
			continue;
		fd = unpack_find_dir(u, prefix);
		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			return unpack_sys(u, errno, "the directory above it", e);
		if (fd < 0 && make_dir(u, prefix, e) < 0)
			return -1;
		fd_close(&fd);
	}
	return 0;
}

int unpack_parent(struct unpack *u, struct err *e)
{
	size_t n = (size_t)(u->base - buf_cstr(&u->path));
	struct str path = { u->path.p, n ? n - 1 : 0 };

	if (u->parent >= 0 && path.n == u->parent_path.n &&
	    (!path.n || memcmp(path.p, u->parent_path.p, path.n) == 0))
		return 0;
	unpack_forget_parent(u);
	u->parent = unpack_find_dir(u, path);
	if (u->parent < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		if (make_dirs(u, path, e) < 0)
			return -1;
		u->parent = unpack_find_dir(u, path);
	}
	if (u->parent < 0)
		return unpack_sys(u, errno, "the directory above it", e);
	buf_add_str(&u->parent_path, path);
	return 0;
}

int unpack_make_room(struct unpack *u, bool *stays, bool *whited, struct err *e)
{
	struct stat st;

	*whited = false;
	if (stays)
		*stays = false;
	if (fstatat(u->parent, u->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : unpack_sys(u, errno, "look", e);
	if (S_ISDIR(st.st_mode) && stays) {
		*stays = true;
		return 0;
	}
	*whited = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
	/* Other entries may have been found through it. */
	if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) {
		if (file_remove_at(u->parent, u->base, e) < 0)
			return -1;
		unpack_forget_parent(u);
		return unpack_parent(u, e);
	}
	if (unlinkat(u->parent, u->base, 0) < 0)
		return unpack_sys(u, errno, "replace", e);
	return 0;
}
