/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the store's directory. A line that is damaged is set aside and said; nothing is concluded
 * from what is not there. A file that cannot be read, or is missing, ends the start.
 */
#include "server/disk.h"
#include "server/replay.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void disk_set_aside(struct store *s, const char *path, const struct err *why)
{
	struct buf to = { 0 };

	for (unsigned i = 1; !to.n || file_exists(buf_cstr(&to)); i++) {
		buf_reset(&to);
		buf_addf(&to, "%s.bad-%u", path, i);
	}
	s->disk->damaged++;
	if (rename(path, buf_cstr(&to)) < 0)
		log_warn("server: %s; it is ignored", why->msg);
	else
		log_warn("server: %s; set aside as %s: repair it and give it its name back, or "
		         "remove it",
		         why->msg, buf_cstr(&to));
	buf_free(&to);
}

/* Takes the damaged lines out of a segment into a file of their own. */
static void set_lines_aside(struct store *s, const char *path, struct str bad, struct str good)
{
	struct buf to = { 0 };
	struct err e = { 0 };

	for (unsigned i = 1; !to.n || file_exists(buf_cstr(&to)); i++) {
		buf_reset(&to);
		buf_addf(&to, "%s.bad-%u", path, i);
	}
	s->disk->damaged++;
	if (file_replace(buf_cstr(&to), 0600, bad, &e) == 0 &&
	    file_replace(path, 0600, good, &e) == 0)
		log_warn(
			"server: %s has damaged lines, the changes in them are lost; they are set "
			"aside as %s: a record that can be repaired comes back as %s/KIND/ID.json, "
			"or restore a backup",
			path, buf_cstr(&to), s->dir);
	else
		log_warn("server: %s has damaged lines, the changes in them are lost: %s", path,
		         e.msg);
	buf_free(&to);
}

/* Bytes of text up to the last line's end. */
static size_t whole_lines(const struct buf *text)
{
	size_t n = text->n;

	while (n && text->p[n - 1] != '\n')
		n--;
	return n;
}

static void replay_segment(struct store *s, unsigned number, const char *path, struct buf *text)
{
	struct str rest = buf_str(text), line;
	struct buf bad = { 0 }, good = { 0 };

	while (str_next(&rest, '\n', &line)) {
		bool ok = !line.n || replay_line(s, line, number);

		if (!ok && !bad.n)
			buf_add(&good, text->p, (size_t)(line.p - text->p));
		if (line.n && (!ok || bad.n)) {
			buf_add_str(ok ? &good : &bad, line);
			buf_addc(ok ? &good : &bad, '\n');
		}
	}
	if (bad.n) {
		set_lines_aside(s, path, buf_str(&bad), buf_str(&good));
		buf_reset(text);
		buf_add_str(text, buf_str(&good));
	}
	buf_wipe(&bad);
	buf_wipe(&good);
}

static int load_segment(struct store *s, unsigned number, struct buf *text, struct err *e)
{
	struct disk *d = s->disk;
	bool last = number == d->last;
	char name[SEGMENT_NAME_SIZE];
	char *dir = store_path(s, DISK_LOG_DIR), *path;
	size_t had;
	int rc;

	disk_segment_name(name, number);
	path = path_join(dir, name);
	buf_reset(text);
	rc = file_read(path, DISK_SEGMENT_MAX, text, e);
	if (rc < 0)
		err_wrap(e, "the store cannot be read; restore a backup");
	had = text->n;
	/* What has no end was not answered: the write was cut short. */
	if (last)
		text->n = whole_lines(text);
	if (rc == 0)
		replay_segment(s, number, path, text);
	if (rc == 0 && last) {
		d->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (d->fd < 0)
			rc = err_sys(e, errno, "open %s", path);
		else if (text->n < had && ftruncate(d->fd, (off_t)text->n) < 0)
			rc = err_sys(e, errno, "cut %s", path);
	}
	d->sizes[number - d->oldest] = (uint32_t)text->n;
	d->total += text->n;
	free(path);
	free(dir);
	return rc;
}

int disk_find_segments(const char *data, unsigned *oldest, unsigned *last, struct err *e)
{
	char *path = path_join(data, DISK_LOG_DIR);
	DIR *dir = opendir(path);
	size_t n = 0;
	int rc = dir ? 0 : err_sys(e, errno, "read %s", path);

	*oldest = *last = 0;
	for (struct dirent *f = dir ? readdir(dir) : NULL; f; f = readdir(dir)) {
		int64_t number;

		if (strspn(f->d_name, "0123456789") != strlen(f->d_name) ||
		    !str_to_i64(str_of(f->d_name), 1, UINT32_MAX - 1, &number))
			continue;
		if (!n || number < *oldest)
			*oldest = (unsigned)number;
		if (number > *last)
			*last = (unsigned)number;
		n++;
	}
	if (dir)
		closedir(dir);
	if (n && n != (size_t)*last - *oldest + 1)
		rc = err_set(e, ERR_PARSE, 0,
		             "%s has %zu files of %08u to %08u; one is missing: bring it back, or "
		             "restore a backup",
		             path, n, *oldest, *last);
	free(path);
	return rc;
}

static int load_log(struct store *s, struct err *e)
{
	struct disk *d = s->disk;
	char *path = store_path(s, DISK_LOG_DIR);
	struct buf text = { 0 }; /* of one after the other */
	int rc = file_mkdirs(path, 0700, e);

	if (rc == 0 && (d->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		rc = err_sys(e, errno, "open %s", path);
	if (rc == 0)
		rc = disk_find_segments(s->dir, &d->oldest, &d->last, e);
	free(path);
	if (rc < 0)
		return -1;
	if (!d->last)
		return disk_add_segment(d, e);
	d->sizes = mem_array(d->last - d->oldest + 1, sizeof(*d->sizes));
	for (unsigned i = d->oldest; rc == 0 && i <= d->last; i++)
		rc = load_segment(s, i, &text, e);
	buf_wipe(&text);
	return rc;
}

static bool is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	int entries = 0;

	while (d && readdir(d))
		entries++;
	if (d)
		closedir(d);
	return entries <= 2;
}

/* The lock file is what marks a directory as ours. */
static int take_dir(struct store *s, struct err *e)
{
	char *lock = store_path(s, STORE_LOCK_FILE);
	struct stat st;
	int rc = file_mkdirs(s->dir, 0700, e);

	if (rc == 0 && !file_exists(lock) && !is_empty(s->dir))
		rc = err_set(e, ERR_CONFIG, 0,
		             "%s is not empty and holds no server's data; "
		             "choose another directory with --data",
		             s->dir);
	if (rc == 0 && stat(s->dir, &st) == 0 && (st.st_mode & 077) && chmod(s->dir, 0700) < 0)
		rc = err_sys(e, errno, "%s is open to others; chmod 0700", s->dir);
	if (rc == 0) {
		s->disk->lock_fd = s->lock_fd > 0
		                           ? s->lock_fd
		                           : open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		                                  0600);
		if (s->disk->lock_fd < 0)
			rc = err_sys(e, errno, "open %s", lock);
		else if (s->lock_fd == 0 && flock(s->disk->lock_fd, LOCK_EX | LOCK_NB) < 0)
			rc = err_set(
				e, ERR_BUSY, errno,
				"another server uses %s; stop it, or give another directory with "
				"--data",
				s->dir);
	}
	free(lock);
	return rc;
}

int disk_open(struct store *s, struct err *e)
{
	int rc;

	s->disk = mem_alloc(sizeof(*s->disk));
	s->disk->lock_fd = s->disk->dir_fd = s->disk->fd = -1;
	rc = take_dir(s, e);
	s->index->loading = true;
	if (rc == 0)
		rc = load_log(s, e);
	index_sort(s->index);
	return rc == 0 ? disk_import(s, e) : -1;
}
