/* SPDX-License-Identifier: Apache-2.0 */
/* See logfile.h. */
#include "host/logfile.h"

#include "base/deadline.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK_MS 1000  /* how often the file's identity is looked at */
#define RETRY_MS 60000 /* after a failed rotation */
#define DAY_S 86400
#define GZIP_START_MS 10000

struct logfile {
	char *path;
	struct logfile_limits limits;
	int fd; /* -1: not open */
	int64_t size;
	dev_t dev;
	ino_t ino;
	int64_t check_at_ms, rotate_not_before_ms;
};

static char *dir_and_base(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');

	*base = slash ? slash + 1 : path;
	if (!slash)
		return mem_dup(".");
	return slash == path ? mem_dup("/") : mem_dupn(path, (size_t)(slash - path));
}

static int open_file(struct logfile *f, struct err *e)
{
	struct stat st;
	const char *base;
	char *dir = dir_and_base(f->path, &base);
	char last = '\n';
	int rc = file_mkdirs(dir, 0700, e);

	free(dir);
	if (rc < 0)
		return -1;
	f->fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
	             0600);
	if (f->fd < 0)
		return err_sys(e, errno, "open log %s", f->path);
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(&f->fd);
		return err_set(e, ERR_SYS, EINVAL, "log %s is not a regular file", f->path);
	}
	f->size = st.st_size;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	/* A power cut may have left half a record; the next one begins on its own line. */
	if (f->size > 0 && pread(f->fd, &last, 1, f->size - 1) == 1 && last != '\n' &&
	    write(f->fd, "\n", 1) == 1)
		f->size++;
	return 0;
}

struct logfile *logfile_open(const char *path, const struct logfile_limits *limits, struct err *e)
{
	struct logfile *f = mem_alloc(sizeof(*f));

	f->path = mem_dup(path);
	f->limits = *limits;
	f->fd = -1;
	if (open_file(f, e) == 0)
		return f;
	logfile_close(f);
	return NULL;
}

void logfile_close(struct logfile *f)
{
	if (!f)
		return;
	fd_close(&f->fd);
	free(f->path);
	free(f);
}

static bool was_replaced(const struct logfile *f)
{
	struct stat st;

	return lstat(f->path, &st) < 0 || st.st_ino != f->ino || st.st_dev != f->dev;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "<base>-YYYY…": our own rotated files and nothing else. */
static bool is_backup(const char *name, const char *base)
{
	size_t n = strlen(base);
	const char *p = name + n + 1;

	if (strncmp(name, base, n) != 0 || name[n] != '-' || strlen(p) < 19)
		return false;
	for (size_t i = 0; i < 19; i++) {
		bool digit = p[i] >= '0' && p[i] <= '9';

		if (i == 4 || i == 7 || i == 13 || i == 16 ? p[i] != '-'
		    : i == 10                              ? p[i] != 'T'
		                                           : !digit)
			return false;
	}
	return true;
}

size_t logfile_backups(const char *path, char ***out)
{
	const char *base;
	char *dir = dir_and_base(path, &base);
	DIR *d = opendir(dir);
	struct dirent *ent;
	char **list = NULL;
	size_t n = 0;

	while (d && (ent = readdir(d)) != NULL) {
		if (!is_backup(ent->d_name, base))
			continue;
		list = mem_realloc(list, (n + 1) * sizeof(*list));
		list[n++] = path_join(dir, ent->d_name);
	}
	if (d)
		closedir(d);
	if (n > 1)
		qsort(list, n, sizeof(*list), by_text);
	free(dir);
	*out = list;
	return n;
}

static bool too_old(const struct logfile *f, const char *path)
{
	struct stat st;

	return f->limits.max_age_days > 0 && lstat(path, &st) == 0 &&
	       st.st_mtime < clock_wall_ms() / 1000 - f->limits.max_age_days * DAY_S;
}

static void prune(const struct logfile *f)
{
	char **list;
	size_t n = logfile_backups(f->path, &list);

	for (size_t i = 0; i < n; i++) {
		if ((int64_t)(n - i) > f->limits.max_backups || too_old(f, list[i]))
			unlink(list[i]);
		free(list[i]);
	}
	free(list);
}

static char *backup_name(const struct logfile *f)
{
	int64_t now = clock_wall_ms();
	struct buf name = { 0 };
	char stamp[TIME_TEXT_SIZE];

	time_rfc3339(now, !f->limits.local_time, false, stamp);
	stamp[13] = stamp[16] = '-'; /* 2026-01-02T03-04-05 */
	for (int i = 0; i < 1000; i++) {
		struct buf gz = { 0 };
		bool taken;

		buf_reset(&name);
		buf_addf(&name, "%s-%.19s.%03d", f->path, stamp, (int)((now + i) % 1000));
		buf_addf(&gz, "%s.gz", buf_cstr(&name));
		taken = file_exists(buf_cstr(&name)) || file_exists(buf_cstr(&gz));
		buf_free(&gz);
		if (!taken)
			break;
	}
	return buf_take(&name);
}

static void start_gzip(void *arg)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin:/usr/local/bin", NULL };
	const char *const argv[] = { "gzip", "-fq", "--", arg, NULL };
	struct spawned p;
	struct err ignored = { 0 };

	spawn_start(&(struct spawn){ .argv = argv, .env = env, .nice = 10 },
	            deadline_in_ms(GZIP_START_MS), &p, &ignored);
}

/* In a grandchild, so that nobody has to wait for it. Without gzip the file stays as it is. */
static void compress(char *path)
{
	struct spawned p;
	struct err ignored = { 0 };
	int status;

	if (spawn_start(&(struct spawn){ .work = start_gzip, .arg = path }, DEADLINE_NEVER, &p,
	                &ignored) == 0)
		spawn_collect(&p, &status);
}

static void rotate(struct logfile *f)
{
	char *to = backup_name(f);
	struct err ignored = { 0 };

	if (rename(f->path, to) < 0) {
		f->rotate_not_before_ms = clock_mono_ms() + RETRY_MS;
		free(to);
		return;
	}
	fd_close(&f->fd);
	(void)open_file(f, &ignored); /* append tries again and reports */
	prune(f);
	if (f->limits.compress && file_exists(to))
		compress(to);
	free(to);
}

static int append_whole(struct logfile *f, struct str record, struct err *e)
{
	size_t done = 0;

	while (done < record.n) {
		ssize_t n = write(f->fd, record.p + done, record.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int code = errno;

			if (done && ftruncate(f->fd, f->size) < 0)
				f->size += (int64_t)done;
			return err_sys(e, code, "write log %s", f->path);
		}
		done += (size_t)n;
	}
	f->size += (int64_t)record.n;
	return 0;
}

int logfile_append(struct logfile *f, struct str record, struct err *e)
{
	int64_t now = clock_mono_ms();

	if (f->fd >= 0 && now >= f->check_at_ms) {
		f->check_at_ms = now + CHECK_MS;
		if (was_replaced(f))
			fd_close(&f->fd);
	}
	if (f->fd >= 0 && f->limits.max_bytes > 0 && f->size > 0 &&
	    now >= f->rotate_not_before_ms && f->size + (int64_t)record.n > f->limits.max_bytes)
		rotate(f);
	if (f->fd < 0 && open_file(f, e) < 0)
		return -1;
	return append_whole(f, record, e);
}
