/* SPDX-License-Identifier: Apache-2.0 */
/* See sftp.h. One request after the other, each answered before the next is read. */
#include "agent/sftp.h"

#include "base/attr.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define READ_MAX (SFTP_PACKET_MAX - 1024)
#define NAMES_MAX 100 /* of one answer */

enum status {
	OK,
	END_OF_FILE,
	NO_SUCH_FILE,
	PERMISSION_DENIED,
	FAILURE,
	BAD_MESSAGE,
	UNSUPPORTED = 8
};
enum {
	OPEN_READ = 1,
	OPEN_WRITE = 2,
	OPEN_APPEND = 4,
	OPEN_CREATE = 8,
	OPEN_TRUNCATE = 16,
	OPEN_EXCLUSIVE = 32
};

struct handle {
	DIR *dir;
	int fd; /* of the directory too */
	bool used, append;
};

struct sftp {
	struct handle handles[SFTP_HANDLES_MAX];
	struct sftp_request r;
	char path[PATH_MAX], path2[PATH_MAX]; /* those of r */
	struct buf out;                       /* one answer, with its length */
};

static void put(struct buf *b, uint64_t value, int bytes)
{
	while (bytes-- > 0)
		buf_addc(b, (char)(value >> (8 * bytes)));
}

static void put_text(struct buf *b, struct str s)
{
	put(b, s.n, 4);
	buf_add_str(b, s);
}

static void begin(struct sftp *s, enum sftp_type type)
{
	buf_reset(&s->out);
	put(&s->out, 0, 4);
	put(&s->out, type, 1);
	put(&s->out, s->r.id, 4);
}

static void answer_with(struct sftp *s, enum status status, const char *text)
{
	begin(s, SFTP_STATUS);
	put(&s->out, status, 4);
	put_text(&s->out, str_of(text));
	put_text(&s->out, str_of("")); /* its language */
}

static void answer_status(struct sftp *s, enum status status)
{
	static const char *const texts[] = { "Success",
		                             "End of file",
		                             "No such file",
		                             "Permission denied",
		                             "Failure",
		                             "Bad message",
		                             "",
		                             "",
		                             "Operation unsupported" };

	answer_with(s, status, texts[status]);
}

static void answer_errno(struct sftp *s, int code)
{
	if (code == 0)
		answer_status(s, OK);
	else if (code == ENOENT || code == ENOTDIR || code == ELOOP)
		answer_status(s, NO_SUCH_FILE);
	else if (code == EACCES || code == EPERM || code == EROFS)
		answer_status(s, PERMISSION_DENIED);
	else
		answer_with(s, FAILURE, strerror(code));
}

static void answer_done(struct sftp *s, int rc)
{
	answer_errno(s, rc < 0 ? errno : 0);
}

static void put_attrs(struct buf *b, const struct stat *st)
{
	put(b, SFTP_HAS_SIZE | SFTP_HAS_OWNER | SFTP_HAS_MODE | SFTP_HAS_TIMES, 4);
	put(b, (uint64_t)st->st_size, 8);
	put(b, st->st_uid, 4);
	put(b, st->st_gid, 4);
	put(b, st->st_mode, 4);
	put(b, (uint32_t)st->st_atime, 4);
	put(b, (uint32_t)st->st_mtime, 4);
}

/* As `ls -l` shows it: clients print it as it is. */
static void put_long_name(struct buf *b, const char *name, const struct stat *st)
{
	static const char letters[] = "rwxrwxrwx";
	mode_t m = st->st_mode;
	struct buf line = { 0 };
	char when[32] = "";
	struct tm tm;
	time_t t = st->st_mtime;

	buf_addc(&line, S_ISDIR(m)    ? 'd'
	                : S_ISLNK(m)  ? 'l'
	                : S_ISFIFO(m) ? 'p'
	                : S_ISSOCK(m) ? 's'
	                : S_ISCHR(m)  ? 'c'
	                : S_ISBLK(m)  ? 'b'
	                              : '-');
	for (int i = 0; i < 9; i++)
		buf_addc(&line, m & (0400u >> i) ? letters[i] : '-');
	if (gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%b %e  %Y", &tm);
	buf_addf(&line, " %4u %-8u %-8u %8lld %s %s", (unsigned)st->st_nlink, (unsigned)st->st_uid,
	         (unsigned)st->st_gid, (long long)st->st_size, when, name);
	put_text(b, buf_str(&line));
	buf_free(&line);
}

static struct handle *handle_of(struct sftp *s)
{
	uint32_t n = s->r.handle;

	return n < SFTP_HANDLES_MAX && s->handles[n].used ? &s->handles[n] : NULL;
}

static void close_handle(struct handle *h)
{
	if (h->dir)
		closedir(h->dir);
	else
		close(h->fd);
	*h = (struct handle){ 0 };
}

/* Takes fd, or the directory. */
static void answer_handle(struct sftp *s, int fd, DIR *dir, bool append)
{
	if (fd < 0) {
		answer_errno(s, errno);
		return;
	}
	for (uint32_t i = 0; i < SFTP_HANDLES_MAX; i++) {
		if (s->handles[i].used)
			continue;
		s->handles[i] = (struct handle){
			.dir = dir, .fd = fd, .used = true, .append = append
		};
		begin(s, SFTP_HANDLE);
		put(&s->out, 4, 4);
		put(&s->out, i, 4);
		return;
	}
	close_handle(&(struct handle){ .dir = dir, .fd = fd });
	answer_errno(s, EMFILE);
}

static void do_open(struct sftp *s)
{
	uint32_t f = s->r.n;
	int flags = (f & OPEN_READ) && (f & OPEN_WRITE) ? O_RDWR
	            : f & OPEN_WRITE                    ? O_WRONLY
	                                                : O_RDONLY;
	mode_t mode = s->r.attrs.has & SFTP_HAS_MODE ? s->r.attrs.mode & 07777 : 0666;

	if (f & OPEN_APPEND)
		flags |= O_APPEND;
	if (f & OPEN_CREATE)
		flags |= O_CREAT;
	if (f & OPEN_TRUNCATE)
		flags |= O_TRUNC;
	if (f & OPEN_EXCLUSIVE)
		flags |= O_EXCL;
	/* A pipe or a device must not hold up everything else. */
	answer_handle(s, open(s->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode), NULL,
	              f & OPEN_APPEND);
}

static void do_opendir(struct sftp *s)
{
	DIR *dir = opendir(s->path);

	answer_handle(s, dir ? dirfd(dir) : -1, dir, false);
}

static void do_read(struct sftp *s, const struct handle *h)
{
	size_t want = s->r.n < READ_MAX ? s->r.n : READ_MAX;
	ssize_t n;

	begin(s, SFTP_DATA);
	put(&s->out, 0, 4);
	n = pread(h->fd, buf_reserve(&s->out, want), want, (off_t)s->r.offset);
	if (n > 0) {
		for (int i = 0; i < 4; i++)
			s->out.p[9 + i] = (char)((size_t)n >> (24 - 8 * i));
		s->out.n += (size_t)n;
	} else if (n == 0 && want > 0) {
		answer_status(s, END_OF_FILE);
	} else if (n < 0) {
		answer_errno(s, errno);
	}
}

static void do_write(struct sftp *s, const struct handle *h)
{
	struct str rest = s->r.data;
	uint64_t at = s->r.offset;

	while (rest.n > 0) {
		ssize_t n = h->append ? write(h->fd, rest.p, rest.n)
		                      : pwrite(h->fd, rest.p, rest.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			answer_errno(s, n < 0 ? errno : EIO);
			return;
		}
		rest.p += n;
		rest.n -= (size_t)n;
		at += (uint64_t)n;
	}
	answer_status(s, OK);
}

static void do_readdir(struct sftp *s, struct handle *h)
{
	struct dirent *entry;
	struct stat st;
	uint32_t count = 0;

	if (!h->dir) {
		answer_status(s, FAILURE);
		return;
	}
	begin(s, SFTP_NAME);
	put(&s->out, 0, 4);
	errno = 0;
	while (count < NAMES_MAX && (entry = readdir(h->dir))) {
		if (fstatat(h->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* has gone */
		put_text(&s->out, str_of(entry->d_name));
		put_long_name(&s->out, entry->d_name, &st);
		put_attrs(&s->out, &st);
		count++;
	}
	for (int i = 0; i < 4; i++)
		s->out.p[9 + i] = (char)(count >> (24 - 8 * i));
	if (count == 0)
		answer_status(s, END_OF_FILE);
}

static void answer_stat(struct sftp *s, int rc, const struct stat *st)
{
	if (rc < 0) {
		answer_errno(s, errno);
		return;
	}
	begin(s, SFTP_ATTRS);
	put_attrs(&s->out, st);
}

/* By path, or by fd where that is not negative. */
static int set_attrs(const char *path, int fd, const struct sftp_attrs *a)
{
	struct timespec times[2] = { { .tv_sec = a->atime }, { .tv_sec = a->mtime } };
	mode_t mode = a->mode & 07777;

	if ((a->has & SFTP_HAS_SIZE) &&
	    (a->size > INT64_MAX ? (errno = EFBIG, -1)
	                         : (fd >= 0 ? ftruncate(fd, (off_t)a->size)
	                                    : truncate(path, (off_t)a->size))) < 0)
		return -1;
	/* The owner first: a change of it takes set-id bits away. */
	if ((a->has & SFTP_HAS_OWNER) &&
	    (fd >= 0 ? fchown(fd, a->uid, a->gid) : chown(path, a->uid, a->gid)) < 0)
		return -1;
	if ((a->has & SFTP_HAS_MODE) && (fd >= 0 ? fchmod(fd, mode) : chmod(path, mode)) < 0)
		return -1;
	if ((a->has & SFTP_HAS_TIMES) &&
	    (fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, 0)) < 0)
		return -1;
	return 0;
}

static void answer_path(struct sftp *s, const char *path)
{
	begin(s, SFTP_NAME);
	put(&s->out, 1, 4);
	put_text(&s->out, str_of(path));
	put_text(&s->out, str_of(path));
	put(&s->out, 0, 4); /* no attributes */
}

/* The last component need not exist: a client asks where a new file would be. */
static void do_realpath(struct sftp *s)
{
	char *whole = realpath(s->path[0] ? s->path : ".", NULL), *slash;
	struct buf b = { 0 };

	if (!whole && errno == ENOENT) {
		slash = strrchr(s->path, '/');
		if (slash)
			*slash = '\0';
		whole = realpath(!slash ? "." : slash == s->path ? "/" : s->path, NULL);
		if (whole) {
			buf_addf(&b, "%s/%s", strcmp(whole, "/") == 0 ? "" : whole,
			         slash ? slash + 1 : s->path);
			free(whole);
			whole = buf_take(&b);
		}
	}
	if (whole)
		answer_path(s, whole);
	else
		answer_errno(s, errno);
	free(whole);
}

static void do_readlink(struct sftp *s)
{
	ssize_t n = readlink(s->path, s->path2, sizeof(s->path2) - 1);

	if (n < 0) {
		answer_errno(s, errno);
		return;
	}
	s->path2[n] = '\0';
	answer_path(s, s->path2);
}

/* The plain rename takes no place that is taken. */
static int rename_new(const char *from, const char *to)
{
	struct stat st;

	if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (lstat(to, &st) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

static void answer_statvfs(struct sftp *s, int rc, const struct statvfs *v)
{
	const uint64_t values[] = { v->f_bsize,  v->f_frsize,   v->f_blocks, v->f_bfree,
		                    v->f_bavail, v->f_files,    v->f_ffree,  v->f_favail,
		                    v->f_fsid,   v->f_flag & 3, v->f_namemax };

	if (rc < 0) {
		answer_errno(s, errno);
		return;
	}
	begin(s, SFTP_EXTENDED_REPLY);
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		put(&s->out, values[i], 8);
}

static void answer_limits(struct sftp *s)
{
	begin(s, SFTP_EXTENDED_REPLY);
	put(&s->out, SFTP_PACKET_MAX, 8);
	put(&s->out, READ_MAX, 8);
	put(&s->out, READ_MAX, 8);
	put(&s->out, SFTP_HANDLES_MAX, 8);
}

static void answer_version(struct sftp *s)
{
	static const char *const extensions[][2] = {
		{ "posix-rename@openssh.com", "1" }, { "statvfs@openssh.com", "2" },
		{ "fstatvfs@openssh.com", "2" },     { "hardlink@openssh.com", "1" },
		{ "fsync@openssh.com", "1" },        { "limits@openssh.com", "1" }
	};

	s->r.id = 3;
	begin(s, SFTP_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		put_text(&s->out, str_of(extensions[i][0]));
		put_text(&s->out, str_of(extensions[i][1]));
	}
}

static void with_handle(struct sftp *s)
{
	struct handle *h = handle_of(s);
	struct statvfs v = { 0 };
	struct stat st;

	if (!h) {
		answer_status(s, FAILURE);
		return;
	}
	switch (s->r.type) {
	case SFTP_CLOSE:
		close_handle(h);
		answer_status(s, OK);
		break;
	case SFTP_READ:
		do_read(s, h);
		break;
	case SFTP_WRITE:
		do_write(s, h);
		break;
	case SFTP_FSTAT:
		answer_stat(s, fstat(h->fd, &st), &st);
		break;
	case SFTP_FSETSTAT:
		answer_done(s, set_attrs("", h->fd, &s->r.attrs));
		break;
	case SFTP_READDIR:
		do_readdir(s, h);
		break;
	case SFTP_FSYNC:
		answer_done(s, fsync(h->fd));
		break;
	default:
		answer_statvfs(s, fstatvfs(h->fd, &v), &v);
		break;
	}
}

static void answer(struct sftp *s)
{
	mode_t mode = s->r.attrs.has & SFTP_HAS_MODE ? s->r.attrs.mode & 07777 : 0777;
	struct statvfs v = { 0 };
	struct stat st;

	switch (s->r.type) {
	case SFTP_INIT:
		answer_version(s);
		break;
	case SFTP_OPEN:
		do_open(s);
		break;
	case SFTP_OPENDIR:
		do_opendir(s);
		break;
	case SFTP_LSTAT:
		answer_stat(s, lstat(s->path, &st), &st);
		break;
	case SFTP_STAT:
		answer_stat(s, stat(s->path, &st), &st);
		break;
	case SFTP_SETSTAT:
		answer_done(s, set_attrs(s->path, -1, &s->r.attrs));
		break;
	case SFTP_REMOVE:
		answer_done(s, unlink(s->path));
		break;
	case SFTP_MKDIR:
		answer_done(s, mkdir(s->path, mode));
		break;
	case SFTP_RMDIR:
		answer_done(s, rmdir(s->path));
		break;
	case SFTP_REALPATH:
		do_realpath(s);
		break;
	case SFTP_RENAME:
		answer_done(s, rename_new(s->path, s->path2));
		break;
	case SFTP_POSIX_RENAME:
		answer_done(s, rename(s->path, s->path2));
		break;
	case SFTP_HARDLINK:
		answer_done(s, link(s->path, s->path2));
		break;
	case SFTP_READLINK:
		do_readlink(s);
		break;
	case SFTP_SYMLINK: /* the target comes first, as OpenSSH has it */
		answer_done(s, symlink(s->path, s->path2));
		break;
	case SFTP_STATVFS:
		answer_statvfs(s, statvfs(s->path, &v), &v);
		break;
	case SFTP_LIMITS:
		answer_limits(s);
		break;
	case SFTP_CLOSE:
	case SFTP_READ:
	case SFTP_WRITE:
	case SFTP_FSTAT:
	case SFTP_FSETSTAT:
	case SFTP_READDIR:
	case SFTP_FSYNC:
	case SFTP_FSTATVFS:
		with_handle(s);
		break;
	default:
		answer_status(s, UNSUPPORTED);
		break;
	}
}

static void copy_path(char *to, struct str path)
{
	memcpy(to, path.n ? path.p : "", path.n);
	to[path.n] = '\0';
}

static int take_packet(struct sftp *s, struct str packet, int out, struct err *e)
{
	size_t n;

	if (sftp_parse(packet, &s->r)) {
		copy_path(s->path, s->r.path);
		copy_path(s->path2, s->r.path2);
		answer(s);
	} else {
		answer_status(s, BAD_MESSAGE);
	}
	n = s->out.n - 4;
	for (int i = 0; i < 4; i++)
		s->out.p[i] = (char)(n >> (24 - 8 * i));
	return file_write_all(out, buf_str(&s->out), "standard output", e);
}

/* 0 at the end of the input. */
static int read_some(int in, struct buf *b, struct err *e)
{
	ssize_t n;

	do
		n = read(in, buf_reserve(b, 32 << 10), 32 << 10);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "standard input");
	b->n += (size_t)n;
	return n > 0;
}

int sftp_serve(int in, int out, struct err *e)
{
	struct sftp *s = mem_alloc(sizeof(*s));
	struct buf b = { 0 };
	int rc;

	while ((rc = read_some(in, &b, e)) > 0) {
		size_t done = 0;

		while (rc > 0 && b.n - done >= 4) {
			const unsigned char *p = (const unsigned char *)b.p + done;
			size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 |
			           p[3];

			if (n > SFTP_PACKET_MAX)
				rc = err_set(e, ERR_LIMIT, 0, "a packet of %zu bytes", n);
			else if (b.n - done - 4 < n)
				break;
			else if (take_packet(s, (struct str){ b.p + done + 4, n }, out, e) < 0)
				rc = -1;
			done += 4 + n;
		}
		if (rc < 0)
			break;
		buf_drop(&b, done);
	}
	for (size_t i = 0; i < SFTP_HANDLES_MAX; i++)
		if (s->handles[i].used)
			close_handle(&s->handles[i]);
	buf_free(&b);
	buf_free(&s->out);
	free(s);
	return rc;
}
