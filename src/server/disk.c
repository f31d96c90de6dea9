/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: the journal, and the files that follow it. See disk.h. */
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

#define CHECKPOINT_BYTES (256 << 10)    /* the journal's length that brings one */
#define JOURNAL_MAX (64ll << 20)        /* when the files cannot be written for long */
#define CHANGE_MAX ((size_t)(8u << 20)) /* bytes of one change */

struct stale {
	enum kind kind;
	char *id;
};

void disk_rec_path(struct buf *b, enum kind kind, const char *id)
{
	buf_addf(b, "%s/", kind_dir(kind));
	/* Ids are any text (protocol 1.4): one that is no plain name is stored under its hash. */
	if (str_is_id(str_of(id)) && id[0] != '.' && strlen(id) <= 100) {
		buf_adds(b, id);
	} else {
		unsigned char hash[32];

		crypto_sha256(id, strlen(id), hash);
		buf_addc(b, '=');
		buf_add_hex(b, hash, sizeof(hash));
	}
	buf_adds(b, ".json");
}

void disk_put(struct buf *line, const struct rec *r)
{
	jw_obj(line);
	jw_kstr(line, "put", kind_dir((enum kind)r->kind));
	jw_key(line, "rec");
	rec_write_all(r, line);
	jw_obj_end(line);
}

void disk_remove(struct buf *line, const struct rec *r)
{
	jw_obj(line);
	jw_kstr(line, "remove", kind_dir((enum kind)r->kind));
	jw_kstr(line, "id", rec_text(r, kind_id((enum kind)r->kind)));
	jw_obj_end(line);
}

static int write_at(int fd, struct str data, off_t at, struct err *e)
{
	while (data.n) {
		ssize_t n = pwrite(fd, data.p, data.n, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "write the journal");
		data.p += n;
		data.n -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Takes a line back that could not be written or synced: it must not come true at the next start. */
static void cut_back(struct disk *d)
{
	if (ftruncate(d->journal_fd, d->journal_size) == 0 && fdatasync(d->journal_fd) == 0)
		return;
	d->broken = true;
	log_error("server: the journal cannot be cut back: %s; changes are refused until a restart",
	          strerror(errno));
}

int disk_append(struct store *s, struct str ops, struct err *e)
{
	struct disk *d = s->disk;
	struct buf line = { 0 };
	unsigned char hash[32];
	int rc = -1;

	if (d->broken)
		return err_set(e, ERR_SYS, EIO,
		               "an earlier write failed and could not be undone; free the disk and "
		               "restart the server");
	if (ops.n > CHANGE_MAX)
		return err_set(e, ERR_LIMIT, 0, "the change has %zu bytes, the limit is %zu", ops.n,
		               CHANGE_MAX);
	if (d->journal_size > JOURNAL_MAX)
		return err_set(e, ERR_SYS, ENOSPC,
		               "the files below %s cannot be written; see server.log", s->dir);
	crypto_sha256(ops.p, ops.n, hash);
	buf_add_hex(&line, hash, 8);
	buf_addc(&line, ' ');
	buf_add_str(&line, ops);
	buf_addc(&line, '\n');
	if (write_at(d->journal_fd, buf_str(&line), d->journal_size, e) < 0)
		cut_back(d);
	else if (fdatasync(d->journal_fd) < 0) {
		err_sys(e, errno, "sync the journal");
		cut_back(d);
	} else {
		d->journal_size += (off_t)line.n;
		rc = 0;
	}
	buf_wipe(&line);
	return rc;
}

void disk_stale(struct store *s, const struct rec *r)
{
	struct disk *d = s->disk;

	if (d->n_stale == d->stale_cap) {
		d->stale_cap = d->stale_cap ? 2 * d->stale_cap : 64;
		d->stale = mem_realloc(d->stale, d->stale_cap * sizeof(*d->stale));
	}
	d->stale[d->n_stale++] = (struct stale){
		(enum kind)r->kind, mem_dup(rec_text(r, kind_id((enum kind)r->kind)))
	};
}

static int by_kind_and_id(const void *a, const void *b)
{
	const struct stale *x = a, *y = b;

	return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind)
	                          : strcmp(x->id, y->id);
}

static void unique(struct disk *d)
{
	size_t kept = 0;

	qsort(d->stale, d->n_stale, sizeof(*d->stale), by_kind_and_id);
	for (size_t i = 0; i < d->n_stale; i++) {
		if (kept && by_kind_and_id(&d->stale[kept - 1], &d->stale[i]) == 0)
			free(d->stale[i].id);
		else
			d->stale[kept++] = d->stale[i];
	}
	d->n_stale = kept;
}

static int open_spare(struct disk *d, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && d->spare_fd >= 0) {
		fd_close(&d->spare_fd);
		fd = open(path, flags | O_CLOEXEC, 0600);
	}
	return fd;
}

static void take_spare(struct disk *d)
{
	if (d->spare_fd < 0)
		d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int write_file(struct store *s, const struct rec *r, const char *tmp, struct err *e)
{
	int fd = open_spare(s->disk, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
	struct buf text = { 0 };
	int rc;

	if (fd < 0)
		return err_sys(e, errno, "create %s", tmp);
	rec_write_all(r, &text);
	buf_addc(&text, '\n');
	rc = file_write_all(fd, buf_str(&text), tmp, e);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_sys(e, errno, "sync %s", tmp);
	if (close(fd) < 0 && rc == 0)
		rc = err_sys(e, errno, "close %s", tmp);
	take_spare(s->disk);
	buf_wipe(&text);
	return rc;
}

static int follow_one(struct store *s, const struct stale *st, struct err *e)
{
	const struct rec *r = index_find(s->index, st->kind, kind_id(st->kind), st->id);
	struct buf path = { 0 }, tmp = { 0 };
	int rc = 0;

	buf_addf(&path, "%s/", s->dir);
	disk_rec_path(&path, st->kind, st->id);
	buf_addf(&tmp, "%s.tmp-%ld", buf_cstr(&path), (long)getpid());
	if (!r) {
		if (unlink(buf_cstr(&path)) < 0 && errno != ENOENT)
			rc = err_sys(e, errno, "remove %s", buf_cstr(&path));
	} else {
		rc = write_file(s, r, buf_cstr(&tmp), e);
		if (rc == 0 && rename(buf_cstr(&tmp), buf_cstr(&path)) < 0)
			rc = err_sys(e, errno, "rename %s", buf_cstr(&tmp));
		if (rc < 0)
			unlink(buf_cstr(&tmp));
	}
	buf_free(&path);
	buf_free(&tmp);
	return rc;
}

static int sync_dir(struct store *s, enum kind kind, struct err *e)
{
	char *dir = store_path(s, kind_dir(kind));
	int fd = open_spare(s->disk, dir, O_RDONLY | O_DIRECTORY);
	int rc = 0;

	/* Some file systems cannot sync a directory; that is no reason to refuse the write. */
	if (fd < 0)
		rc = err_sys(e, errno, "open directory %s", dir);
	else if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
		rc = err_sys(e, errno, "sync directory %s", dir);
	fd_close(&fd);
	take_spare(s->disk);
	free(dir);
	return rc;
}

int disk_checkpoint(struct store *s, struct err *e)
{
	struct disk *d = s->disk;
	bool touched[K_N] = { false };

	d->checkpoint_at = CHECKPOINT_BYTES;
	if (!d->n_stale && !d->journal_size)
		return 0;
	unique(d);
	for (size_t i = 0; i < d->n_stale; i++) {
		if (follow_one(s, &d->stale[i], e) < 0)
			return -1;
		touched[d->stale[i].kind] = true;
	}
	for (int k = 0; k < K_N; k++)
		if (touched[k] && sync_dir(s, (enum kind)k, e) < 0)
			return -1;
	if (ftruncate(d->journal_fd, 0) < 0)
		return err_sys(e, errno, "empty the journal");
	d->journal_size = 0;
	for (size_t i = 0; i < d->n_stale; i++)
		free(d->stale[i].id);
	d->n_stale = 0;
	/* Lines that came back after a power cut would undo what is changed from now on. */
	if (fdatasync(d->journal_fd) < 0) {
		d->broken = true;
		return err_sys(e, errno, "sync the empty journal");
	}
	return 0;
}

void disk_follow(struct store *s)
{
	struct disk *d = s->disk;
	struct err e = { 0 };

	if (d->journal_size < d->checkpoint_at)
		return;
	if (disk_checkpoint(s, &e) < 0) {
		d->checkpoint_at = d->journal_size + CHECKPOINT_BYTES;
		log_warn("server: %s; the journal keeps the changes until it can be written",
		         e.msg);
	}
}

void disk_close(struct disk *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_stale; i++)
		free(d->stale[i].id);
	free(d->stale);
	fd_close(&d->journal_fd);
	fd_close(&d->spare_fd);
	fd_close(&d->lock_fd);
	free(d);
}
