/* SPDX-License-Identifier: Apache-2.0 */
/* See store.h. Reading is in index.c, changing in change.c. */
#include "server/store.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEATS_AT_ONCE (256u << 10) /* bytes */
#define PROBE_FILE "probe.tmp"

char *store_path(const struct store *s, const char *name)
{
	return path_join(s->dir, name);
}

size_t store_damaged(const struct store *s)
{
	return s->disk->damaged;
}

uint64_t store_bytes(const struct store *s)
{
	return s->disk->total;
}

/* A page beside the log says whether there is room; the log itself is not touched. */
int store_probe(const struct store *s, struct err *e)
{
	static char page[4096]; /* zeros, which as a constant would be in the executable */
	char *path = store_path(s, PROBE_FILE);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n = fd < 0 ? -1 : write(fd, page, sizeof(page));
	int rc = 0, code = n < 0 ? errno : ENOSPC;

	if (s->disk->broken)
		rc = err_set(e, ERR_SYS, EIO, "an earlier write failed; restart the server");
	else if (n != (ssize_t)sizeof(page))
		rc = err_set(e, ERR_SYS, code, "%s", strerror(code));
	if (fd >= 0)
		unlink(path);
	fd_close(&fd);
	free(path);
	return rc;
}

int store_keep_lock(const struct store *s, struct err *e)
{
	int fd = fcntl(s->disk->lock_fd, F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? err_sys(e, errno, "keep the lock") : fd;
}

int store_note(struct store *s, struct str text, struct err *e)
{
	int fd = s->disk->lock_fd;

	/* Whoever reads it meanwhile finds the address that was there: of a restart it is the same. */
	if (lseek(fd, 0, SEEK_SET) < 0 || file_write_all(fd, text, STORE_LOCK_FILE, e) < 0 ||
	    ftruncate(fd, (off_t)text.n) < 0)
		return e->kind == ERR_NONE
		               ? err_sys(e, errno, "write %s/%s", s->dir, STORE_LOCK_FILE)
		               : -1;
	return 0;
}

int store_open(struct store *s, const char *dir, struct err *e)
{
	int rc;

	*s = (struct store){ .dir = mem_dup(dir), .lock_fd = s->lock_fd };
	s->index = index_new(e);
	rc = s->index ? disk_open(s, e) : -1;
	if (rc < 0)
		store_close(s);
	return rc;
}

/* Heartbeats that the log has not; they may be lost, then, as after a crash. */
static void write_beats(struct store *s)
{
	struct buf line = { 0 };
	struct err e = { 0 };
	int rc = 0;

	for (int k = 0; k < K_N; k++) {
		for (struct rec *r = s->index->first[k]; rc == 0 && r; r = r->next) {
			if (!r->beaten)
				continue;
			if (!line.n)
				jw_arr(&line);
			disk_beat(&line, r);
			if (line.n > BEATS_AT_ONCE) {
				jw_arr_end(&line);
				rc = disk_append(s, buf_str(&line), &e);
				buf_reset(&line);
			}
		}
	}
	if (rc == 0 && line.n) {
		jw_arr_end(&line);
		rc = disk_append(s, buf_str(&line), &e);
	}
	if (rc < 0)
		log_warn("server: the last heartbeats are not saved: %s", e.msg);
	buf_free(&line);
}

void store_close(struct store *s)
{
	if (s->disk && s->disk->fd >= 0)
		write_beats(s);
	index_free(s->index);
	disk_close(s->disk);
	free(s->dir);
	*s = (struct store){ 0 };
}
