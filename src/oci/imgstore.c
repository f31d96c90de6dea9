/* SPDX-License-Identifier: Apache-2.0 */
/* The directories and locks of the store, and its blobs; see store.h. */
#include "oci/imgstore.h"

#include "base/file.h"
#include "base/mem.h"
#include "oci/imgstore_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_LOOK_MS 20
#define HASH_PIECE (64u << 10)
#define WRITE_OUT_BYTES (8u << 20)
#define WHOSE_NAME (DIGEST_HEX + 34) /* a digest, and a mark's beginning */

static int sub_dir(const struct imgstore *s, const char *name, struct err *e)
{
	int fd;

	if (mkdirat(s->top, name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make %s/%s", s->dir, name);
	fd = openat(s->top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open %s/%s", s->dir, name);
	return fd;
}

int imgstore_open_dirs(struct imgstore *s, const char *dir, struct err *e)
{
	s->dir = mem_dup(dir);
	s->lock = s->top = s->blobs = s->layers = s->refs = s->uses = s->made = s->brought =
		s->tmp = -1;
	if (file_mkdirs(dir, 0700, e) < 0)
		return -1;
	s->top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->top < 0)
		return err_sys(e, errno, "open %s", dir);
	s->lock = openat(s->top, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return err_sys(e, errno, "open %s/lock", dir);
	if (mkdirat(s->top, "blobs", 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "make %s/blobs", dir);
	if ((s->blobs = sub_dir(s, "blobs/sha256", e)) < 0 ||
	    (s->layers = sub_dir(s, "layers", e)) < 0 || (s->refs = sub_dir(s, "refs", e)) < 0 ||
	    (s->uses = sub_dir(s, "uses", e)) < 0 || (s->made = sub_dir(s, "made", e)) < 0 ||
	    (s->brought = sub_dir(s, "brought", e)) < 0 || (s->tmp = sub_dir(s, "tmp", e)) < 0)
		return -1;
	return 0;
}

void imgstore_close_dirs(struct imgstore *s)
{
	fd_close(&s->tmp);
	fd_close(&s->brought);
	fd_close(&s->made);
	fd_close(&s->uses);
	fd_close(&s->refs);
	fd_close(&s->layers);
	fd_close(&s->blobs);
	fd_close(&s->top);
	fd_close(&s->lock);
	free(s->dir);
}

int imgstore_flock(int fd, int how, struct deadline until, const char *what, struct err *e)
{
	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock %s", what);
		if (deadline_passed(until))
			return err_set(e, ERR_BUSY, 0, "%s is in use by another process", what);
		(void)poll(NULL, 0, LOCK_LOOK_MS);
	}
	return 0;
}

/* Trees with other owners, or other marks, are other trees. */
static void set_tag(struct imgstore *s)
{
	const struct unpack_owner *o = &s->owner;
	struct digest d = { "" };
	struct buf b = { 0 };

	for (size_t i = 0; i < o->n_uids; i++)
		buf_addf(&b, "u%u:%u:%u,", o->uids[i].inside, o->uids[i].outside, o->uids[i].n);
	for (size_t i = 0; i < o->n_gids; i++)
		buf_addf(&b, "g%u:%u:%u,", o->gids[i].inside, o->gids[i].outside, o->gids[i].n);
	if (b.n)
		digest_of(buf_str(&b), &d);
	snprintf(s->tag, sizeof(s->tag), "%s%s%s%.8s",
	         o->recorded || o->user_marks || b.n ? "-" : "", o->recorded ? "r" : "",
	         o->user_marks ? "u" : "", b.n ? digest_hex(&d) : "");
	buf_free(&b);
}

int imgstore_open(struct imgstore **out, const char *dir, const struct unpack_owner *o,
                  struct deadline d, struct err *e)
{
	struct imgstore *s = mem_alloc(sizeof(*s));

	s->owner = *o;
	set_tag(s);
	if (imgstore_open_dirs(s, dir, e) < 0 || imgstore_flock(s->lock, LOCK_SH, d, dir, e) < 0) {
		imgstore_close(s);
		return err_wrap(e, "image store");
	}
	*out = s;
	return 0;
}

void imgstore_close(struct imgstore *s)
{
	if (!s)
		return;
	imgstore_close_dirs(s);
	free(s);
}

int imgstore_lock_named(struct imgstore *s, const char *name, struct deadline until, struct err *e)
{
	for (;;) {
		int fd = openat(s->tmp, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat mine, now;

		if (fd < 0)
			return err_sys(e, errno, "open %s/tmp/%s", s->dir, name);
		if (imgstore_flock(fd, LOCK_EX, until, name, e) < 0) {
			fd_close(&fd);
			return -1;
		}
		/* Whoever had it before may have removed it. */
		if (fstat(fd, &mine) == 0 &&
		    fstatat(s->tmp, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    mine.st_ino == now.st_ino)
			return fd;
		fd_close(&fd);
	}
}

void imgstore_unlock_named(struct imgstore *s, const char *name, int *fd)
{
	if (*fd < 0)
		return;
	(void)unlinkat(s->tmp, name, 0);
	fd_close(fd);
}

bool imgstore_has_blob(const struct imgstore *s, const struct digest *d)
{
	return faccessat(s->blobs, digest_hex(d), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int imgstore_open_blob(const struct imgstore *s, const struct digest *d, struct err *e)
{
	int fd = openat(s->blobs, digest_hex(d), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "blob %s", d->text);
	return fd;
}

int imgstore_read_blob(const struct imgstore *s, const struct digest *d, size_t max, struct buf *b,
                       struct err *e)
{
	int fd = imgstore_open_blob(s, d, e);
	size_t from = b->n;
	struct digest is;
	int rc;

	if (fd < 0)
		return -1;
	rc = file_read_fd(fd, d->text, from + max, b, e);
	fd_close(&fd);
	if (rc < 0)
		return -1;
	digest_of((struct str){ b->p + from, b->n - from }, &is);
	if (digest_eq(&is, d))
		return 0;
	buf_cut(b, from);
	return err_set(e, ERR_PARSE, 0, "blob %s is damaged on the disk: remove %s/blobs/sha256/%s",
	               d->text, s->dir, digest_hex(d));
}

int imgstore_put_blob(struct imgstore *s, struct str bytes, struct digest *d, struct deadline until,
                      struct err *e)
{
	struct blob_in *b = NULL;
	int rc;

	digest_of(bytes, d);
	rc = blob_begin(s, d, (int64_t)bytes.n, NULL, &b, until, e);
	if (rc == 0 && b) {
		rc = blob_restart(b, e);
		if (rc == 0)
			rc = blob_add(b, bytes, e);
		if (rc == 0)
			rc = blob_commit(b, e);
	}
	blob_free(b);
	return rc;
}

#define MADE_NOTHING "-"

bool imgstore_made(const struct imgstore *s, const struct digest *of, struct digest *layer)
{
	char to[sizeof(layer->text)];
	ssize_t n = readlinkat(s->made, digest_hex(of), to, sizeof(to));
	struct str text = { to, n > 0 ? (size_t)n : 0 };

	*layer = (struct digest){ "" };
	return str_eq(text, MADE_NOTHING) ||
	       (digest_parse(text, layer) && imgstore_has_blob(s, layer));
}

void imgstore_made_used(struct imgstore *s, const struct digest *of)
{
	(void)utimensat(s->made, digest_hex(of), NULL, AT_SYMLINK_NOFOLLOW);
}

int imgstore_note_made(struct imgstore *s, const struct digest *of, const struct digest *layer,
                       struct err *e)
{
	if ((unlinkat(s->made, digest_hex(of), 0) < 0 && errno != ENOENT) ||
	    (symlinkat(*layer->text ? layer->text : MADE_NOTHING, s->made, digest_hex(of)) < 0 &&
	     errno != EEXIST))
		return err_sys(e, errno, "note a layer in %s", s->dir);
	return 0;
}

struct blob_in {
	struct imgstore *s;
	struct digest digest;
	int64_t size;
	uint64_t have, written;
	int fd, lock;
	struct sha256 *hash;
	bool noted; /* who brings it, as name says */
	char name[WHOSE_NAME], part[IMGSTORE_NAME_SIZE], lock_name[IMGSTORE_NAME_SIZE];
};

/* What an earlier attempt wrote counts as far as it goes. */
static int take_up(struct blob_in *b, struct err *e)
{
	char *piece = mem_alloc(HASH_PIECE);
	ssize_t n = 0;

	b->hash = sha256_new();
	while ((n = read(b->fd, piece, HASH_PIECE)) > 0) {
		sha256_add(b->hash, piece, (size_t)n);
		b->have += (uint64_t)n;
	}
	free(piece);
	if (n < 0)
		return err_sys(e, errno, "read %s", b->part);
	if (b->size >= 0 && b->have > (uint64_t)b->size)
		return blob_restart(b, e);
	return 0;
}

/* What comes without a mark may be anybody's: a part of it is gone on with by none who has one. */
static void name_whose(const struct digest *d, const char *whose, char name[WHOSE_NAME])
{
	snprintf(name, WHOSE_NAME, "%s%s%.32s", digest_hex(d), whose && !*whose ? "" : "-",
	         whose ? whose : "here");
}

/* It is here, and for him. */
static bool may_take(const struct imgstore *s, const struct digest *d, const char *whose,
                     const char *name)
{
	return imgstore_has_blob(s, d) &&
	       (!whose || faccessat(s->brought, digest_hex(d), F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	        faccessat(s->brought, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
}

int blob_begin(struct imgstore *s, const struct digest *d, int64_t size, const char *whose,
               struct blob_in **out, struct deadline until, struct err *e)
{
	struct blob_in *b;
	char name[WHOSE_NAME];

	*out = NULL;
	name_whose(d, whose, name);
	if (may_take(s, d, whose, name))
		return 0;
	b = mem_alloc(sizeof(*b));
	b->s = s;
	b->digest = *d;
	b->size = size;
	b->fd = -1;
	b->noted = whose != NULL;
	memcpy(b->name, name, sizeof(name));
	snprintf(b->part, sizeof(b->part), "%s.part", name);
	snprintf(b->lock_name, sizeof(b->lock_name), "%s.lock", name);
	b->lock = imgstore_lock_named(s, b->lock_name, until, e);
	if (b->lock < 0 || may_take(s, d, whose, name)) {
		int rc = b->lock < 0 ? -1 : 0;

		blob_free(b);
		return rc;
	}
	b->fd = openat(s->tmp, b->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->fd < 0 || take_up(b, e) < 0) {
		if (b->fd < 0)
			err_sys(e, errno, "open %s/tmp/%s", s->dir, b->part);
		blob_free(b);
		return -1;
	}
	*out = b;
	return 0;
}

/* Its name in tmp/ is of this process alone. */
int blob_begin_new(struct imgstore *s, struct blob_in **out, struct err *e)
{
	struct blob_in *b = mem_alloc(sizeof(*b));

	b->s = s;
	b->size = b->lock = -1;
	snprintf(b->part, sizeof(b->part), "new-%ld.blob", (long)getpid());
	b->fd = openat(s->tmp, b->part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->fd < 0) {
		err_sys(e, errno, "open %s/tmp/%s", s->dir, b->part);
		free(b);
		return -1;
	}
	b->hash = sha256_new();
	*out = b;
	return 0;
}

struct digest blob_digest(const struct blob_in *b)
{
	return b->digest;
}

uint64_t blob_have(const struct blob_in *b)
{
	return b->have;
}

int blob_restart(struct blob_in *b, struct err *e)
{
	struct digest ignored;

	if (b->hash)
		digest_end(b->hash, &ignored);
	b->hash = sha256_new();
	b->have = b->written = 0;
	if (ftruncate(b->fd, 0) < 0 || lseek(b->fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "empty %s", b->part);
	return 0;
}

int blob_add(struct blob_in *b, struct str bytes, struct err *e)
{
	if (b->size >= 0 && bytes.n > (uint64_t)b->size - b->have)
		return err_set(e, ERR_LIMIT, 0,
		               "blob %s has more than the %lld bytes that it should",
		               b->digest.text, (long long)b->size);
	if (file_write_all(b->fd, bytes, b->digest.text, e) < 0)
		return -1;
	sha256_add(b->hash, bytes.p, bytes.n);
	b->have += bytes.n;
	/* To the disk while more arrives, so that the sync at the end has little to wait for. */
	if (b->have - b->written >= WRITE_OUT_BYTES) {
		(void)sync_file_range(b->fd, (off_t)b->written, (off_t)(b->have - b->written),
		                      SYNC_FILE_RANGE_WRITE);
		b->written = b->have;
	}
	return 0;
}

/* He has had all of it, whatever becomes of it here. */
static int note_whose(const struct blob_in *b, struct err *e)
{
	int fd = openat(b->s->brought, b->name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, errno, "note who brings %s", b->digest.text);
	close(fd);
	return 0;
}

int blob_commit(struct blob_in *b, struct err *e)
{
	struct imgstore *s = b->s;
	struct digest is;

	if (b->size >= 0 && b->have < (uint64_t)b->size)
		return err_set(e, ERR_CLOSED, 0, "blob %s ended after %llu of %lld bytes",
		               b->digest.text, (unsigned long long)b->have, (long long)b->size);
	digest_end(b->hash, &is);
	b->hash = NULL;
	if (!*b->digest.text)
		b->digest = is;
	if (!digest_eq(&is, &b->digest)) {
		(void)unlinkat(s->tmp, b->part, 0);
		return err_set(e, ERR_PARSE, 0,
		               "blob %s is not what it should be: its digest is %s", b->digest.text,
		               is.text);
	}
	if (fsync(b->fd) < 0)
		return err_sys(e, errno, "sync %s", b->part);
	if (b->noted && note_whose(b, e) < 0)
		return -1;
	if (renameat(s->tmp, b->part, s->blobs, digest_hex(&b->digest)) < 0)
		return err_sys(e, errno, "rename %s", b->part);
	if (fsync(s->blobs) < 0 && errno != EINVAL && errno != ENOTSUP)
		return err_sys(e, errno, "sync %s/blobs", s->dir);
	return 0;
}

void blob_free(struct blob_in *b)
{
	struct digest ignored;

	if (!b)
		return;
	if (b->hash)
		digest_end(b->hash, &ignored);
	fd_close(&b->fd);
	if (!*b->digest.text || !b->have) /* nobody can go on with it */
		(void)unlinkat(b->s->tmp, b->part, 0);
	imgstore_unlock_named(b->s, b->lock_name, &b->lock);
	free(b);
}
