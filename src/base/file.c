/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h. */
#include "base/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read_fd(int fd, const char *path, size_t max, struct buf *b, struct err *e)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read %s", path);
		if (n == 0)
			return 0;
		if (buf_add_max(b, chunk, (size_t)n, max, e) < 0) {
			mem_wipe(chunk, sizeof(chunk));
			return err_wrap(e, "read %s", path);
		}
		mem_wipe(chunk, (size_t)n);
	}
}

int file_read(const char *path, size_t max, struct buf *b, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc;

	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	rc = file_read_fd(fd, path, max, b, e);
	close(fd);
	return rc;
}

int file_write_all(int fd, struct str data, const char *name, struct err *e)
{
	while (data.n) {
		ssize_t n = write(fd, data.p, data.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write %s", name);
		data.p += n;
		data.n -= (size_t)n;
	}
	return 0;
}

int file_fsync_dir(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return err_sys(e, errno, "open directory %s", path);
	/* Some file systems cannot sync a directory; that is no reason to refuse the write. */
	if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		rc = err_sys(e, errno, "sync directory %s", path);
	close(fd);
	return rc;
}

static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_dup(".");
	return slash == path ? mem_dup("/") : mem_dupn(path, (size_t)(slash - path));
}

static int write_temp(const char *tmp, mode_t mode, struct str data, bool sync, struct err *e)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0 && errno == EEXIST && unlink(tmp) == 0)
		fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_sys(e, errno, "create %s", tmp);
	if (fchmod(fd, mode) < 0)
		err_sys(e, errno, "set mode of %s", tmp);
	else if (file_write_all(fd, data, tmp, e) < 0)
		;
	else if (sync && fsync(fd) < 0)
		err_sys(e, errno, "sync %s", tmp);
	else if (close(fd) < 0)
		return err_sys(e, errno, "close %s", tmp);
	else
		return 0;
	close(fd);
	return -1;
}

static int replace(const char *path, mode_t mode, struct str data, bool sync, struct err *e)
{
	char *real = realpath(path, NULL);
	const char *to = real ? real : path;
	struct buf tmp = { 0 };
	char *dir = dir_of(to);
	int rc = -1;

	buf_addf(&tmp, "%s.tmp-%ld", to, (long)getpid());
	if (write_temp(buf_cstr(&tmp), mode, data, sync, e) < 0)
		unlink(buf_cstr(&tmp));
	else if (rename(buf_cstr(&tmp), to) < 0) {
		err_sys(e, errno, "rename %s to %s", buf_cstr(&tmp), to);
		unlink(buf_cstr(&tmp));
	} else
		rc = sync ? file_fsync_dir(dir, e) : 0;
	buf_free(&tmp);
	free(dir);
	free(real);
	return rc;
}

int file_replace(const char *path, mode_t mode, struct str data, struct err *e)
{
	return replace(path, mode, data, true, e);
}

int file_swap(const char *path, mode_t mode, struct str data, struct err *e)
{
	return replace(path, mode, data, false, e);
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char *p = mem_dup(path);
	size_t n = strlen(p);
	bool there;
	int rc = n ? 0 : err_set(e, ERR_NOT_FOUND, ENOENT, "create directory: the path is empty");

	while (n > 1 && p[n - 1] == '/') /* or the last component would count as a parent */
		p[--n] = '\0';
	there = file_is_dir(p);
	for (char *s = p + 1; *p && rc == 0 && !there; s++) {
		char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(p, c ? 0755 : mode) < 0) {
			int code = errno;

			if (!file_is_dir(p))
				rc = err_sys(e, code == EEXIST ? ENOTDIR : code,
				             "create directory %s", p);
		} else if (!c && chmod(p, mode) < 0) { /* whatever the umask is */
			rc = err_sys(e, errno, "set mode of %s", p);
		}
		*s = c;
		if (!c)
			break;
	}
	free(p);
	return rc;
}

/* Below this depth a directory is first moved up to the top, so that descriptors and stack are
 * bounded however deep the tree is. */
#define REMOVE_DEPTH_MAX 64

struct removal {
	dev_t dev;
	int64_t mount;
	int top; /* the tree's own directory */
	unsigned depth;
	unsigned moved; /* directories that were moved to the top and are still to be removed */
	unsigned failed;
	struct err first;
};

static void removal_failed(struct removal *r, int code, const char *what, const char *name)
{
	if (r->failed++ == 0)
		err_sys(&r->first, code, "%s %s", what, name);
}

static void remove_below(int dirfd, struct removal *r);

/* Of the mount that fd is on; 0 where the kernel does not tell. A bind mount of the same device has its own. */
static int64_t mount_of(int fd)
{
	struct buf path = { 0 }, text = { 0 };
	struct err ignored = { 0 };
	struct str rest, line;
	int64_t id = 0;

	buf_addf(&path, "/proc/self/fdinfo/%d", fd);
	(void)file_read(buf_cstr(&path), 4096, &text, &ignored);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		if (str_starts(line, "mnt_id:") &&
		    str_to_i64(str_trim((struct str){ line.p + 7, line.n - 7 }), 1, INT64_MAX, &id))
			break;
	}
	buf_free(&text);
	buf_free(&path);
	return id;
}

static int open_dir(int dirfd, const char *name)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);
	struct stat st;

	if (fd < 0 && errno == EACCES && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode) && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, flags);
	return fd;
}

/* True if name stands at the top now, where it is removed later. */
static bool move_up(int dirfd, const char *name, struct removal *r)
{
	char to[48];

	snprintf(to, sizeof(to), ".removed-%ld-%u", (long)getpid(), r->moved);
	if (renameat(dirfd, name, r->top, to) < 0)
		return false;
	r->moved++;
	return true;
}

static void remove_dir(int dirfd, const char *name, struct removal *r)
{
	struct stat st;
	int fd;

	if (r->depth >= REMOVE_DEPTH_MAX && move_up(dirfd, name, r))
		return;
	fd = open_dir(dirfd, name);
	if (fd < 0 || fstat(fd, &st) < 0) {
		removal_failed(r, errno, "open", name);
		fd_close(&fd);
		return;
	}
	if (st.st_dev != r->dev || mount_of(fd) != r->mount) {
		removal_failed(r, EBUSY, "mount point", name);
		close(fd);
		return;
	}
	if ((st.st_mode & 0700) != 0700)
		(void)!fchmod(fd, 0700); /* read-only directories such as a module cache */
	r->depth++;
	remove_below(fd, r);
	r->depth--;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		removal_failed(r, errno, "remove directory", name);
}

static void remove_entry(int dirfd, const char *name, struct removal *r)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			removal_failed(r, errno, "stat", name);
	} else if (S_ISDIR(st.st_mode)) {
		remove_dir(dirfd, name, r);
	} else if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT) {
		removal_failed(r, errno, "remove", name);
	}
}

static void remove_below(int dirfd, struct removal *r)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *ent;

	if (!d) {
		removal_failed(r, errno, "list", "directory");
		close(dirfd);
		return;
	}
	while ((ent = readdir(d)) != NULL) {
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			remove_entry(dirfd, ent->d_name, r);
	}
	closedir(d);
}

/* Passes over the tree as long as each one moves something up without a failure. */
static void empty_top(int parent, const char *name, struct removal *r)
{
	unsigned moved;

	do {
		int fd = open_dir(parent, name);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0) {
			removal_failed(r, errno, "open", name);
			fd_close(&fd);
			return;
		}
		if ((st.st_mode & 0700) != 0700)
			(void)!fchmod(fd, 0700);
		r->dev = st.st_dev;
		r->mount = mount_of(fd);
		r->top = fd; /* open as long as the pass lasts: remove_below closes it last */
		moved = r->moved;
		remove_below(fd, r);
	} while (r->moved != moved && r->failed == 0);
}

static void remove_top(int parent, const char *name, struct removal *r)
{
	unsigned before = r->failed;

	empty_top(parent, name, r);
	if (r->failed == before && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		removal_failed(r, errno, "remove directory", name);
}

static int removal_end(const struct removal *r, const char *path, struct err *e)
{
	if (r->failed == 0)
		return 0;
	*e = r->first;
	if (r->failed > 1)
		return err_wrap(e, "remove %s (%u entries failed)", path, r->failed);
	return err_wrap(e, "remove %s", path);
}

static bool is_name(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int remove_named(int dirfd, const char *name, const char *path, struct err *e)
{
	struct removal r = { 0 };
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "stat %s", path);
	if (S_ISDIR(st.st_mode))
		remove_top(dirfd, name, &r);
	else
		remove_entry(dirfd, name, &r);
	return removal_end(&r, path, e);
}

int file_empty_dir(const char *path, struct err *e)
{
	struct removal r = { 0 };

	empty_top(AT_FDCWD, path, &r);
	return removal_end(&r, path, e);
}

int file_remove_at(int dirfd, const char *name, struct err *e)
{
	if (!is_name(name))
		return err_set(e, ERR_OTHER, 0, "refuse to remove \"%s\"", name);
	return remove_named(dirfd, name, name, e);
}

int file_remove_tree(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *dir;
	int fd, rc;

	if (!is_name(name))
		return err_set(e, ERR_OTHER, 0, "refuse to remove \"%s\"", path);
	dir = dir_of(path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		rc = 0; /* nothing can be in it */
	else if (fd < 0)
		rc = err_sys(e, errno, "open directory %s", dir);
	else
		rc = remove_named(fd, name, path, e);
	fd_close(&fd);
	free(dir);
	return rc;
}

bool file_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool path_add(struct buf *b, struct str path)
{
	struct str piece;
	bool inside = true;

	while (str_next(&path, '/', &piece)) {
		if (!piece.n || str_eq(piece, "."))
			continue;
		if (str_eq(piece, "..")) {
			const char *slash = b->n ? memrchr(b->p, '/', b->n) : NULL;

			inside = inside && b->n;
			buf_cut(b, slash ? (size_t)(slash - b->p) : 0);
			continue;
		}
		if (b->n)
			buf_addc(b, '/');
		buf_add_str(b, piece);
	}
	return inside;
}

char *path_join(const char *dir, const char *name)
{
	struct buf b = { 0 };

	buf_adds(&b, dir);
	if (b.n == 0 || b.p[b.n - 1] != '/')
		buf_addc(&b, '/');
	buf_adds(&b, name);
	return buf_take(&b);
}

int wait_fd(int fd, short events, struct deadline d, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int n = poll(&p, 1, deadline_poll_ms(d));

		if (n > 0)
			return p.revents;
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0, "timed out");
	}
}

int fd_set_nonblock(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "set descriptor non-blocking");
	return 0;
}

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
