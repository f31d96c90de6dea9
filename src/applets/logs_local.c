/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a local log, rotated files included, and following it by inotify. See logs.h. */
#include "applets/logs.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "host/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 65536
#define TAIL_SIZE 256            /* compared to notice that a file was cut and written anew */
#define LINE_KEEP_MAX (4u << 20) /* a longer line is shown in pieces */
#define LOOK_MS 1000             /* how often to look where inotify cannot tell */

struct reader {
	struct logs *l;
	const char *path;
	int fd;
	off_t at;
	char tail[TAIL_SIZE]; /* the bytes before at */
	size_t n_tail;
	struct buf partial; /* a line whose end has not come yet */
	struct buf out;
	struct err *e;
	bool failed;
};

int logs_write(struct buf *out, struct err *e)
{
	int rc = 0;

	if (out->n && file_write_all(STDOUT_FILENO, buf_str(out), "standard output", e) < 0) {
		rc = -1;
		if (e->code == EPIPE)
			err_set(e, ERR_CANCELED, SIGPIPE, "nobody reads the output");
	}
	buf_reset(out);
	return rc;
}

bool logs_reader_gone(const struct err *e)
{
	return e->kind == ERR_CANCELED && e->code == SIGPIPE;
}

static void feed(struct reader *r, struct str bytes)
{
	while (bytes.n && !r->failed) {
		const char *newline = memchr(bytes.p, '\n', bytes.n);
		size_t n = newline ? (size_t)(newline - bytes.p) : bytes.n;

		if (newline && r->partial.n == 0) {
			logview_add(&r->l->view, (struct str){ bytes.p, n }, &r->out);
		} else {
			buf_add(&r->partial, bytes.p, n);
			if (newline || r->partial.n > LINE_KEEP_MAX) {
				logview_add(&r->l->view, buf_str(&r->partial), &r->out);
				buf_reset(&r->partial);
			}
		}
		n += newline != NULL;
		bytes = (struct str){ bytes.p + n, bytes.n - n };
		if (r->out.n >= READ_SIZE && logs_write(&r->out, r->e) < 0)
			r->failed = true;
	}
}

/* Everything from r->at to the end of the file. */
static int drain(struct reader *r)
{
	char *chunk = mem_alloc(READ_SIZE);
	ssize_t n;

	while (!r->failed && (n = pread(r->fd, chunk, READ_SIZE, r->at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r->failed = true;
			err_sys(r->e, errno, "read %s", r->path);
			break;
		}
		r->at += n;
		r->n_tail = (size_t)n < TAIL_SIZE ? (size_t)n : TAIL_SIZE;
		memcpy(r->tail, chunk + n - r->n_tail, r->n_tail);
		feed(r, (struct str){ chunk, (size_t)n });
	}
	free(chunk);
	if (!r->failed && logs_write(&r->out, r->e) < 0)
		r->failed = true;
	return r->failed ? -1 : 0;
}

static void feed_output(void *arg, struct str bytes)
{
	feed(arg, bytes);
}

/* A rotated file, or the current one; compressed ones go through the system's gzip. */
static int show_file(struct reader *r, const char *path, off_t from)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin:/usr/local/bin", NULL };
	const char *const argv[] = { "gzip", "-dc", "--", path, NULL };
	struct proc_spawn gunzip = { .argv = argv, .env = env, .output = feed_output, .arg = r };
	int status, rc;

	if (str_ends(str_of(path), ".gz")) {
		rc = proc_run(&gunzip, deadline_in_ms(600000), &status, r->e);
		return rc == 0 && logs_write(&r->out, r->e) == 0 && !r->failed ? 0 : -1;
	}
	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (r->fd < 0)
		return errno == ENOENT ? 0 : err_sys(r->e, errno, "open %s", path);
	r->at = from;
	rc = drain(r);
	fd_close(&r->fd);
	return rc;
}

static size_t count_tail(const char *path, size_t want, off_t *from)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t found = 0;

	*from = 0;
	if (fd < 0)
		return 0;
	*from = logview_tail(fd, lseek(fd, 0, SEEK_END), want, &found);
	close(fd);
	return found;
}

/* The rotated files that are asked for, and *from: where to begin in the current one. With a
 * number of lines, uncompressed rotated files are used as far as they are needed: right after a
 * rotation the current file has nearly none. */
static int show_backups(struct reader *r, off_t *from)
{
	char **list;
	size_t n = logfile_backups(r->path, &list), first = r->l->all ? 0 : n, missing;
	off_t first_from = 0;
	int rc = 0;

	*from = 0;
	if (r->l->lines >= 0) {
		missing = (size_t)r->l->lines - count_tail(r->path, (size_t)r->l->lines, from);
		if (r->l->lines == 0)
			*from = -1; /* the end */
		first = n;
		while (missing > 0 && first > 0 && !str_ends(str_of(list[first - 1]), ".gz"))
			missing -= count_tail(list[--first], missing, &first_from);
	}
	for (size_t i = 0; i < n; i++) {
		if (rc == 0 && i >= first)
			rc = show_file(r, list[i], i == first ? first_from : 0);
		free(list[i]);
	}
	free(list);
	return rc;
}

static void open_current(struct reader *r)
{
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	r->at = 0;
	r->n_tail = 0;
}

/* A file that was cut may have grown beyond where we were: then other bytes stand there. */
static bool was_truncated(const struct reader *r, off_t size)
{
	char now[TAIL_SIZE];
	off_t from = r->at - (off_t)r->n_tail;

	if (size < r->at)
		return true;
	return r->n_tail && (pread(r->fd, now, r->n_tail, from) != (ssize_t)r->n_tail ||
	                     memcmp(now, r->tail, r->n_tail) != 0);
}

/* What happened to the file since the last look. */
static int look(struct reader *r)
{
	struct stat now, ours = { 0 };

	if (r->fd < 0)
		open_current(r);
	if (r->fd < 0)
		return 0;
	if (fstat(r->fd, &ours) == 0 && was_truncated(r, ours.st_size)) {
		r->at = 0;
		r->n_tail = 0;
	}
	if (drain(r) < 0)
		return -1;
	/* Moved away and not there again: its writer may still write to the old one. */
	if (lstat(r->path, &now) < 0 || (now.st_ino == ours.st_ino && now.st_dev == ours.st_dev))
		return 0;
	if (drain(r) < 0) /* what came between the last look and the new file */
		return -1;
	fd_close(&r->fd);
	open_current(r);
	return r->fd < 0 ? 0 : drain(r);
}

static int watch_dir(const char *path)
{
	char *dir = mem_dup(path), *slash = strrchr(dir, '/');
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (slash)
		*slash = '\0';
	if (fd >= 0 && inotify_add_watch(fd, dir,
	                                 IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
	                                         IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF) < 0)
		fd_close(&fd);
	free(dir);
	return fd;
}

/* True when the directory itself has gone, so that a new watch is needed. */
static bool read_events(int watch)
{
	_Alignas(struct inotify_event) char events[4096];
	bool gone = false;
	ssize_t n;

	while ((n = read(watch, events, sizeof(events))) > 0) {
		for (size_t at = 0; at < (size_t)n;) {
			const struct inotify_event *ev = (const void *)(events + at);

			gone = gone || (ev->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF));
			at += sizeof(*ev) + ev->len;
		}
	}
	return gone;
}

static int follow(struct reader *r)
{
	int watch = -1, rc = 0;

	while (rc == 0) {
		struct pollfd fds[2] = { { .fd = STDOUT_FILENO }, { .events = POLLIN } };

		if (watch < 0)
			watch = watch_dir(r->path);
		rc = look(r);
		if (rc < 0)
			break;
		fds[1].fd = watch; /* negative is ignored: then looking now and then has to do */
		if (poll(fds, 2, watch < 0 ? LOOK_MS : -1) < 0 && errno != EINTR)
			rc = err_sys(r->e, errno, "poll");
		if (fds[0].revents & (POLLERR | POLLHUP))
			break; /* nobody reads any more */
		if (watch >= 0 && read_events(watch))
			fd_close(&watch);
	}
	fd_close(&watch);
	return rc;
}

int logs_local(struct logs *l, const char *path, struct err *e)
{
	struct reader r = { .l = l, .path = path, .fd = -1, .e = e };
	off_t from = 0;
	int rc = show_backups(&r, &from);

	if (rc == 0)
		open_current(&r);
	if (rc == 0 && r.fd < 0 && errno != ENOENT && errno != ENOTDIR)
		rc = err_sys(e, errno, "open %s", path);
	if (rc == 0 && r.fd >= 0) {
		r.at = from < 0 ? lseek(r.fd, 0, SEEK_END) : from;
		rc = drain(&r);
	}
	if (rc == 0 && l->follow)
		rc = follow(&r);
	if (rc == 0 && r.partial.n) { /* the last line has no end: show what there is */
		logview_add(&l->view, buf_str(&r.partial), &r.out);
		rc = logs_write(&r.out, e);
	}
	fd_close(&r.fd);
	buf_free(&r.partial);
	buf_free(&r.out);
	return rc;
}
