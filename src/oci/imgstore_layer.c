/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacked layers in the store. */
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "oci/decode.h"
#include "oci/imgstore_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void imgstore_layer_name(const struct imgstore *s, const struct digest *diff_id,
                         char name[IMGSTORE_NAME_SIZE])
{
	snprintf(name, IMGSTORE_NAME_SIZE, "%s%s", digest_hex(diff_id), s->tag);
}

char *imgstore_layer_path(const struct imgstore *s, const struct digest *diff_id)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s/layers/%s%s/fs", s->dir, digest_hex(diff_id), s->tag);
	return buf_take(&b);
}

/* No mark: synced. Another boot's, or an empty one: who knows what of it reached the disk. */
static bool is_believed(const struct imgstore *s, const char *name)
{
	char path[IMGSTORE_NAME_SIZE + 8];
	struct buf mark = { 0 }, now = { 0 };
	struct err ignored = { 0 };
	bool same;
	int fd;

	snprintf(path, sizeof(path), "%s/boot", name);
	fd = openat(s->layers, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	proc_boot_id(&now);
	same = file_read_fd(fd, path, IMGSTORE_NAME_SIZE, &mark, &ignored) == 0 && now.n &&
	       str_eq(buf_str(&mark), buf_cstr(&now));
	buf_free(&now);
	buf_free(&mark);
	close(fd);
	return same;
}

bool imgstore_has_layer(const struct imgstore *s, const struct digest *diff_id)
{
	char name[IMGSTORE_NAME_SIZE];

	imgstore_layer_name(s, diff_id, name);
	return faccessat(s->layers, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && is_believed(s, name);
}

uint64_t imgstore_layer_size(const struct imgstore *s, const struct digest *diff_id)
{
	struct buf path = { 0 }, text = { 0 };
	struct err ignored = { 0 };
	int64_t n = 0;

	buf_addf(&path, "%s/layers/%s%s/size", s->dir, digest_hex(diff_id), s->tag);
	if (file_read(buf_cstr(&path), 64, &text, &ignored) < 0 ||
	    !str_to_i64(str_trim(buf_str(&text)), 0, INT64_MAX, &n))
		n = 0;
	buf_free(&text);
	buf_free(&path);
	return (uint64_t)n;
}

/* A layer on its way: packed bytes, bytes of the archive, files. */
struct flow {
	struct decode *decode;
	struct sha256 *hash; /* of the archive: its diff_id */
	struct unpack *unpack;
};

static int take(void *arg, struct str bytes, struct err *e)
{
	struct flow *f = arg;

	sha256_add(f->hash, bytes.p, bytes.n);
	return unpack_feed(f->unpack, bytes, e);
}

static int check_digest(const struct digest *is, const struct digest *diff_id, struct err *e)
{
	return digest_eq(is, diff_id)
	               ? 0
	               : err_set(e, ERR_PARSE, 0, "it unpacks to %s, and the image says %s",
	                         is->text, diff_id->text);
}

/* Into dir/fs, all of it. */
static int unpack_into(struct imgstore *s, int dir, int blob, const struct imgstore_layer *l,
                       struct deadline until, struct unpack_seen *seen, struct err *e)
{
	int root = openat(dir, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;
	struct flow f = { 0 };
	struct digest is;

	if (root < 0)
		return err_sys(e, errno, "open a new layer");
	f.unpack = unpack_new(root, dir, &s->owner);
	f.hash = sha256_new();
	f.decode = decode_new((struct sink){ take, &f }, UNPACK_BYTES_MAX);
	if (l->window_log)
		decode_limit_window(f.decode, l->window_log);
	rc = decode_file(f.decode, blob, until, NULL, e);
	digest_end(f.hash, &is);
	if (rc == 0)
		rc = unpack_end(f.unpack, e);
	if (rc == 0)
		rc = check_digest(&is, l->diff_id, e);
	*seen = unpack_seen(f.unpack);
	decode_free(f.decode);
	unpack_free(f.unpack);
	fd_close(&root);
	return rc;
}

static int write_text(int dir, const char *name, const char *text, struct err *e)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc;

	if (fd < 0)
		return err_sys(e, errno, "write a layer's %s", name);
	rc = file_write_all(fd, str_of(text), name, e);
	close(fd);
	return rc;
}

/* Its size, and that it is not synced; where no boot has an id, it is synced here. */
static int write_marks(int dir, uint64_t bytes, struct err *e)
{
	char size[24];
	struct buf boot = { 0 };
	int rc;

	snprintf(size, sizeof(size), "%llu\n", (unsigned long long)bytes);
	if (write_text(dir, "size", size, e) < 0)
		return -1;
	proc_boot_id(&boot);
	if (boot.n)
		rc = write_text(dir, "boot", buf_cstr(&boot), e);
	else
		rc = syncfs(dir) < 0 ? err_sys(e, errno, "sync") : 0;
	buf_free(&boot);
	return rc;
}

static int each_mark(struct imgstore *s, int64_t age_ms, bool (*see)(int layers, const char *path),
                     struct err *e)
{
	int fd = openat(s->layers, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *en;

	if (!d) {
		fd_close(&fd);
		return err_sys(e, errno, "list %s/layers", s->dir);
	}
	while ((en = readdir(d))) {
		char path[IMGSTORE_NAME_SIZE + 8];
		struct stat st;

		snprintf(path, sizeof(path), "%.120s/boot", en->d_name);
		if (en->d_name[0] != '.' &&
		    fstatat(s->layers, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    clock_wall_ms() - (int64_t)st.st_mtime * 1000 >= age_ms &&
		    is_believed(s, en->d_name))
			n += see(s->layers, path);
	}
	closedir(d);
	return n;
}

static bool count_mark(int layers, const char *path)
{
	(void)layers, (void)path;
	return true;
}

static bool remove_mark(int layers, const char *path)
{
	return unlinkat(layers, path, 0) == 0;
}

int imgstore_settle(struct imgstore *s, int64_t age_ms, struct err *e)
{
	int n = each_mark(s, age_ms, count_mark, e);

	if (n <= 0)
		return n;
	if (syncfs(s->layers) < 0)
		return err_sys(e, errno, "sync %s", s->dir);
	return each_mark(s, age_ms, remove_mark, e) < 0 ? -1 : 0;
}

/* What is not believed loses its name first. */
static int remove_stale(struct imgstore *s, const char *name, struct err *e)
{
	char gone[IMGSTORE_NAME_SIZE + 8];

	snprintf(gone, sizeof(gone), "%s.gone", name);
	if (file_remove_at(s->tmp, gone, e) < 0)
		return -1;
	if (renameat(s->layers, name, s->tmp, gone) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "remove layer %s", name);
	return file_remove_at(s->tmp, gone, e);
}

static int new_dir(struct imgstore *s, const char *tmp, struct err *e)
{
	int dir;

	if (file_remove_at(s->tmp, tmp, e) < 0)
		return -1;
	if (mkdirat(s->tmp, tmp, 0700) < 0 ||
	    (dir = openat(s->tmp, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_sys(e, errno, "make %s/tmp/%s", s->dir, tmp);
	if (mkdirat(dir, "fs", 0755) < 0 || fchmodat(dir, "fs", 0755, 0) < 0) {
		fd_close(&dir);
		return err_sys(e, errno, "make %s/tmp/%s/fs", s->dir, tmp);
	}
	return dir;
}

/* With the layer's lock. */
static int unpack_new_layer(struct imgstore *s, const char *name, const struct imgstore_layer *l,
                            struct deadline until, struct err *e)
{
	char tmp[IMGSTORE_NAME_SIZE + 8];
	struct unpack_seen seen = { 0 };
	int from = imgstore_open_blob(s, l->blob, e), dir, rc;

	if (from < 0)
		return -1;
	snprintf(tmp, sizeof(tmp), "%s.new", name);
	dir = remove_stale(s, name, e) < 0 ? -1 : new_dir(s, tmp, e);
	rc = dir < 0 ? -1 : unpack_into(s, dir, from, l, until, &seen, e);
	if (rc == 0)
		rc = write_marks(dir, seen.bytes, e);
	if (rc == 0 && renameat(s->tmp, tmp, s->layers, name) < 0)
		rc = err_sys(e, errno, "rename %s", tmp);
	if (rc == 0 && fsync(s->layers) < 0 && errno != EINVAL && errno != ENOTSUP)
		rc = err_sys(e, errno, "sync %s/layers", s->dir);
	if (rc < 0) {
		struct err ignored = { 0 };

		(void)file_remove_at(s->tmp, tmp, &ignored);
	}
	fd_close(&dir);
	fd_close(&from);
	return rc;
}

static int hash(void *arg, struct str bytes, struct err *e)
{
	(void)e;
	sha256_add(arg, bytes.p, bytes.n);
	return 0;
}

/* As an unpacking would find out. */
static int check_unpacked(struct imgstore *s, const struct imgstore_layer *l, struct deadline until,
                          struct err *e)
{
	struct sha256 *sum = sha256_new();
	struct decode *decode = decode_new((struct sink){ hash, sum }, UNPACK_BYTES_MAX);
	int fd = imgstore_open_blob(s, l->blob, e), rc;
	struct digest is;

	if (l->window_log)
		decode_limit_window(decode, l->window_log);
	rc = fd < 0 ? -1 : decode_file(decode, fd, until, NULL, e);
	digest_end(sum, &is);
	if (rc == 0)
		rc = check_digest(&is, l->diff_id, e);
	decode_free(decode);
	fd_close(&fd);
	return rc < 0 ? err_wrap(e, "layer %.19s", l->diff_id->text) : 0;
}

int imgstore_unpack(struct imgstore *s, const struct imgstore_layer *l, struct deadline until,
                    struct err *e)
{
	char name[IMGSTORE_NAME_SIZE], lock_name[IMGSTORE_NAME_SIZE + 8];
	bool there = imgstore_has_layer(s, l->diff_id);
	int lock, rc = 0;

	if (there)
		return l->prove ? check_unpacked(s, l, until, e) : 0;
	imgstore_layer_name(s, l->diff_id, name);
	snprintf(lock_name, sizeof(lock_name), "%s.unpack", name);
	lock = imgstore_lock_named(s, lock_name, until, e);
	if (lock < 0)
		return -1;
	there = imgstore_has_layer(s, l->diff_id);
	if (!there)
		rc = unpack_new_layer(s, name, l, until, e);
	imgstore_unlock_named(s, lock_name, &lock);
	if (there && l->prove)
		return check_unpacked(s, l, until, e);
	return rc < 0 ? err_wrap(e, "layer %.19s", l->diff_id->text) : 0;
}
