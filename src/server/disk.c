/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the log. See disk.h. */
#include "server/disk.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SEGMENT_BYTES (1 << 20)         /* length that begins another */
#define CHANGE_MAX ((size_t)(8u << 20)) /* bytes of one change */
#define SLACK_BYTES (4u << 20)          /* what may be superseded in any case */
#define MOVE_BYTES 4096                 /* moved with a change, besides its own length twice */
#define MOVE_MAX (1u << 20)

void disk_segment_name(char name[SEGMENT_NAME_SIZE], unsigned number)
{
	snprintf(name, SEGMENT_NAME_SIZE, "%08u", number);
}

uint32_t disk_put(struct buf *line, const struct rec *r)
{
	size_t before = line->n;

	jw_obj(line);
	jw_kstr(line, "put", kind_dir((enum kind)r->kind));
	jw_key(line, "rec");
	rec_write_all(r, line);
	jw_obj_end(line);
	return (uint32_t)(line->n - before);
}

void disk_beat(struct buf *line, const struct rec *r)
{
	jw_obj(line);
	jw_kstr(line, "beat", kind_dir((enum kind)r->kind));
	jw_kstr(line, "id", rec_text(r, kind_id((enum kind)r->kind)));
	jw_key(line, "rec");
	rec_write_some(r, line, "md");
	jw_obj_end(line);
}

void disk_remove(struct buf *line, const struct rec *r)
{
	jw_obj(line);
	jw_kstr(line, "remove", kind_dir((enum kind)r->kind));
	jw_kstr(line, "id", rec_text(r, kind_id((enum kind)r->kind)));
	jw_obj_end(line);
}

static uint32_t *last_size(struct disk *d)
{
	return &d->sizes[d->last - d->oldest];
}

static int sync_dir(struct disk *d, struct err *e)
{
	/* Some file systems cannot sync a directory; that is no reason to refuse the write. */
	if (fsync(d->dir_fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		return err_sys(e, errno, "sync " DISK_LOG_DIR);
	return 0;
}

int disk_add_segment(struct disk *d, struct err *e)
{
	unsigned number = d->last + 1;
	char name[SEGMENT_NAME_SIZE];
	int fd;

	disk_segment_name(name, number);
	fd = openat(d->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, errno, "create " DISK_LOG_DIR "/%s", name);
	if (sync_dir(d, e) < 0) {
		close(fd);
		unlinkat(d->dir_fd, name, 0);
		return -1;
	}
	fd_close(&d->fd);
	d->fd = fd;
	d->last = number;
	if (!d->oldest)
		d->oldest = number;
	d->sizes = mem_realloc(d->sizes, (number - d->oldest + 1) * sizeof(*d->sizes));
	*last_size(d) = 0;
	return 0;
}

static int write_at(int fd, struct str data, off_t at, struct err *e)
{
	while (data.n) {
		ssize_t n = pwrite(fd, data.p, data.n, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write the log");
		data.p += n;
		data.n -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Takes a line back that could not be written or synced: it must not come true at the next start.
 * A failed sync may also have lost what was moved before it: then only the disk knows. */
static void cut_back(struct disk *d)
{
	if (ftruncate(d->fd, (off_t)*last_size(d)) == 0 && fdatasync(d->fd) == 0 && !d->lost)
		return;
	d->broken = true;
	log_error("server: the log cannot be cut back: %s; changes are refused until a restart",
	          strerror(errno));
}

static int write_line(struct disk *d, struct str ops, bool sync, struct err *e)
{
	struct buf line = { 0 };
	unsigned char hash[32];
	int rc = -1;

	crypto_sha256(ops.p, ops.n, hash);
	buf_add_hex(&line, hash, 8);
	buf_addc(&line, ' ');
	buf_add_str(&line, ops);
	buf_addc(&line, '\n');
	if (write_at(d->fd, buf_str(&line), (off_t)*last_size(d), e) < 0) {
		cut_back(d);
	} else if (sync && fdatasync(d->fd) < 0) {
		err_sys(e, errno, "sync the log");
		d->lost = d->unsynced;
		cut_back(d);
	} else {
		*last_size(d) += (uint32_t)line.n;
		d->total += line.n;
		d->unsynced = !sync;
		rc = 0;
	}
	buf_wipe(&line);
	return rc;
}

/* All that was written is synced: segments without a record that counts can go. The directory is
 * synced after each, or one might come back without a later one, which had removals for it. */
static void drop_dead(struct disk *d)
{
	struct err e = { 0 };
	char name[SEGMENT_NAME_SIZE];

	while (d->oldest < d->last && (!d->first || d->first->segment > d->oldest)) {
		disk_segment_name(name, d->oldest);
		if (unlinkat(d->dir_fd, name, 0) < 0 && errno != ENOENT)
			err_sys(&e, errno, "remove " DISK_LOG_DIR "/%s", name);
		if (e.kind || sync_dir(d, &e) < 0) {
			log_warn("server: %s", e.msg);
			return;
		}
		d->total -= d->sizes[0];
		d->oldest++;
		memmove(d->sizes, d->sizes + 1, (d->last - d->oldest + 1) * sizeof(*d->sizes));
	}
}

/* A new segment when the last is long enough; when there can be none, that one serves on. It must be
 * synced before: a crash may only cut the end of the log. */
static void rotate(struct disk *d)
{
	struct err e = { 0 };

	if (*last_size(d) < SEGMENT_BYTES)
		return;
	if (d->unsynced && fdatasync(d->fd) < 0) {
		err_sys(&e, errno, "sync the log");
		d->lost = d->broken = true;
	} else {
		d->unsynced = false;
		disk_add_segment(d, &e);
	}
	if (e.kind)
		log_warn("server: %s", e.msg);
}

int disk_append(struct store *s, struct str ops, struct err *e)
{
	struct disk *d = s->disk;

	if (ops.n > CHANGE_MAX)
		return err_set(e, ERR_LIMIT, 0, "the change has %zu bytes, the limit is %zu", ops.n,
		               CHANGE_MAX);
	rotate(d);
	if (d->broken)
		return err_set(e, ERR_SYS, EIO,
		               "an earlier write failed and could not be undone; free the disk and "
		               "restart the server");
	if (*last_size(d) > DISK_SEGMENT_MAX - 2 * CHANGE_MAX)
		return err_set(e, ERR_SYS, ENOSPC,
		               "no segment can be added to %s/%s; see server.log", s->dir,
		               DISK_LOG_DIR);
	if (write_line(d, ops, true, e) < 0)
		return -1;
	drop_dead(d);
	return 0;
}

static void unlink_rec(struct disk *d, struct rec *r)
{
	if (!r->segment)
		return;
	*(r->written_before ? &r->written_before->written_after : &d->first) = r->written_after;
	*(r->written_after ? &r->written_after->written_before : &d->newest) = r->written_before;
	d->live -= r->bytes;
	r->segment = 0;
}

void disk_placed(struct store *s, struct rec *r, unsigned segment, uint32_t bytes)
{
	struct disk *d = s->disk;

	unlink_rec(d, r);
	r->segment = segment;
	r->bytes = bytes;
	r->written_before = d->newest;
	r->written_after = NULL;
	*(d->newest ? &d->newest->written_after : &d->first) = r;
	d->newest = r;
	d->live += bytes;
}

void disk_forget(struct store *s, struct rec *r)
{
	unlink_rec(s->disk, r);
}

void disk_tidy(struct store *s, size_t bytes)
{
	struct disk *d = s->disk;
	struct buf line = { 0 };
	struct err e = { 0 };
	size_t budget = bytes < MOVE_MAX / 2 ? 2 * bytes + MOVE_BYTES : MOVE_MAX;
	struct rec *r = d->first, *end, *next;

	if (d->broken || d->total < 2 * d->live + SLACK_BYTES || d->oldest == d->last)
		return;
	jw_arr(&line);
	for (; r && r->segment == d->oldest && line.n < budget; r = r->written_after)
		disk_put(&line, r);
	jw_arr_end(&line);
	end = r;
	/* Not synced: the next change sees to that, and till then the old segment stays. */
	if (line.n > 2 && write_line(d, buf_str(&line), false, &e) == 0) {
		for (r = d->first; r != end; r = next) {
			next = r->written_after;
			r->beaten = false;
			disk_placed(s, r, d->last, r->bytes);
		}
	}
	buf_wipe(&line);
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	free(d->sizes);
	fd_close(&d->fd);
	fd_close(&d->dir_fd);
	fd_close(&d->lock_fd);
	free(d);
}
