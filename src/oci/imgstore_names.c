/* SPDX-License-Identifier: Apache-2.0 */
/* Which names and holders need what: one record each, in refs/ and uses/. */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "oci/imgstore_int.h"
#include "oci/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX (1u << 20)
#define RECORDS_MAX 100000

void stored_free(struct stored *i)
{
	free(i->name);
	free(i->blobs);
	free(i->layers);
	kv_free(&i->logins);
	*i = (struct stored){ 0 };
}

void stored_list_free(struct stored *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		stored_free(&list[i]);
	free(list);
}

static void write_digests(struct buf *b, const char *key, const struct digest *d, size_t n)
{
	jw_key(b, key);
	jw_arr(b);
	for (size_t i = 0; i < n; i++)
		jw_str(b, str_of(d[i].text));
	jw_arr_end(b);
}

static void to_json(const struct stored *i, struct buf *b)
{
	jw_obj(b);
	jw_kstr(b, "name", i->name);
	jw_kstr(b, "manifest", i->manifest.text);
	jw_kstr(b, "config", i->config.text);
	write_digests(b, "blobs", i->blobs, i->n_blobs);
	write_digests(b, "layers", i->layers, i->n_layers);
	if (i->logins.n) {
		jw_key(b, "logins");
		kv_to_json(&i->logins, b);
	}
	jw_kint(b, "added_ms", i->added_ms);
	jw_obj_end(b);
	buf_addc(b, '\n');
}

static bool read_digest(struct json v, struct digest *d)
{
	char *s = json_dup_or_empty(v);
	bool ok = digest_parse(str_of(s), d);

	free(s);
	return ok;
}

static bool read_digests(struct json v, struct digest **out, size_t *n)
{
	*out = mem_array(json_len(v), sizeof(**out));
	for (struct json j = json_first(v); json_present(j); j = json_next(j))
		if (!read_digest(j, &(*out)[(*n)++]))
			return false;
	return json_is_array(v);
}

static bool from_json(struct json j, struct stored *i)
{
	i->name = json_dup(json_get(j, "name"));
	kv_from_json(&i->logins, json_get(j, "logins"));
	if (i->name && json_present(json_get(j, "login"))) { /* as it was written before */
		char *login = json_dup_or_empty(json_get(j, "login"));

		kv_set(&i->logins, i->name, login);
		free(login);
	}
	return i->name && read_digest(json_get(j, "manifest"), &i->manifest) &&
	       read_digest(json_get(j, "config"), &i->config) &&
	       json_i64(json_get(j, "added_ms"), 0, INT64_MAX, &i->added_ms) &&
	       read_digests(json_get(j, "blobs"), &i->blobs, &i->n_blobs) &&
	       read_digests(json_get(j, "layers"), &i->layers, &i->n_layers);
}

int imgstore_read_record(int dir, const char *file, struct stored *i, struct err *e)
{
	int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct json_doc *doc = NULL;
	struct buf text = { 0 };
	struct stat st;
	int rc = -1;

	*i = (struct stored){ 0 };
	if (fd < 0 || fstat(fd, &st) < 0) {
		int err = errno;

		fd_close(&fd);
		return err_sys(e, err, "%s", file);
	}
	if (file_read_fd(fd, file, RECORD_MAX, &text, e) == 0)
		doc = json_parse(buf_str(&text), RECORD_MAX, e);
	if (doc && from_json(json_root(doc), i))
		rc = 0;
	else if (doc)
		err_set(e, ERR_PARSE, 0, "%s: no record of an image", file);
	i->used_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	fd_close(&fd);
	json_doc_free(doc);
	buf_free(&text);
	if (rc < 0)
		stored_free(i);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct stored *)a)->name, ((const struct stored *)b)->name);
}

int imgstore_read_records(int dir, struct stored **list, size_t *n, size_t *damaged, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t cap = 0;
	struct dirent *en;

	*list = NULL;
	*n = 0;
	if (!d) {
		fd_close(&fd);
		return err_sys(e, errno, "list the image store");
	}
	while (*n < RECORDS_MAX && (en = readdir(d))) {
		struct err why = { 0 };
		struct stored i;

		if (en->d_name[0] == '.' || strstr(en->d_name, ".tmp-"))
			continue;
		if (imgstore_read_record(dir, en->d_name, &i, &why) < 0) {
			*damaged += why.kind != ERR_NOT_FOUND;
			continue;
		}
		if (*n == cap) {
			cap = cap ? 2 * cap : 16;
			*list = mem_realloc(*list, cap * sizeof(**list));
		}
		(*list)[(*n)++] = i;
	}
	closedir(d);
	if (*n)
		qsort(*list, *n, sizeof(**list), by_name);
	return 0;
}

int imgstore_list(const struct imgstore *s, struct stored **list, size_t *n, size_t *damaged,
                  struct err *e)
{
	*damaged = 0;
	return imgstore_read_records(s->refs, list, n, damaged, e);
}

/* Names have slashes and colons, so a file has the name's digest. */
static void file_of(const char *name, char file[IMGSTORE_NAME_SIZE])
{
	struct digest d;

	digest_of(str_of(name), &d);
	snprintf(file, IMGSTORE_NAME_SIZE, "%s", digest_hex(&d));
}

/* Nobody can remove these meanwhile: the store's lock is ours. */
static int check_whole(const struct imgstore *s, const struct stored *i, struct err *e)
{
	for (size_t k = 0; k < i->n_blobs; k++)
		if (!imgstore_has_blob(s, &i->blobs[k]))
			return err_set(e, ERR_NOT_FOUND, 0, "%s: blob %s is missing", i->name,
			               i->blobs[k].text);
	return 0;
}

static bool says(const char *path, struct str text)
{
	struct buf b = { 0 };
	struct err ignored = { 0 };
	bool same = file_read(path, text.n, &b, &ignored) == 0 && str_eq(text, buf_cstr(&b));

	buf_free(&b);
	return same;
}

/* What is there as it is to be is on the disk already. */
static int put_record(const struct imgstore *s, const char *folder, const char *file,
                      const struct stored *i, struct err *e)
{
	struct buf path = { 0 }, text = { 0 };
	int rc = 0;

	if (check_whole(s, i, e) < 0)
		return -1;
	buf_addf(&path, "%s/%s/%s", s->dir, folder, file);
	to_json(i, &text);
	if (!says(buf_cstr(&path), buf_str(&text)))
		rc = file_replace(buf_cstr(&path), 0600, buf_str(&text), e);
	buf_free(&text);
	buf_free(&path);
	return rc;
}

int imgstore_put_name(struct imgstore *s, const struct stored *i, struct err *e)
{
	char file[IMGSTORE_NAME_SIZE];

	file_of(i->name, file);
	return put_record(s, "refs", file, i, e);
}

int imgstore_find(const struct imgstore *s, const char *name, struct stored *i, struct err *e)
{
	char file[IMGSTORE_NAME_SIZE];

	file_of(name, file);
	if (imgstore_read_record(s->refs, file, i, e) == 0)
		return 0;
	if (e->kind == ERR_NOT_FOUND)
		err_set(e, ERR_NOT_FOUND, 0, "image %s is not here", name);
	return -1;
}

int imgstore_remove_name(struct imgstore *s, const char *name, struct err *e)
{
	char file[IMGSTORE_NAME_SIZE];

	file_of(name, file);
	if (unlinkat(s->refs, file, 0) < 0)
		return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, 0, "image %s is not here", name)
		                       : err_sys(e, errno, "remove %s", name);
	return fsync(s->refs) < 0 && errno != EINVAL && errno != ENOTSUP
	               ? err_sys(e, errno, "sync %s/refs", s->dir)
	               : 0;
}

/* Under whatever name: a start asks several times for what it was made with. */
static bool holds(const struct imgstore *s, const char *holder, const struct digest *manifest)
{
	struct stored before;
	struct err ignored = { 0 };
	bool same = imgstore_read_record(s->uses, holder, &before, &ignored) == 0 &&
	            digest_eq(&before.manifest, manifest) && check_whole(s, &before, &ignored) == 0;

	stored_free(&before);
	return same;
}

int imgstore_hold(struct imgstore *s, const char *holder, const struct stored *i, struct err *e)
{
	char file[IMGSTORE_NAME_SIZE];

	if (!str_is_id(str_of(holder)) || strlen(holder) >= sizeof(file))
		return err_set(e, ERR_USAGE, 0, "\"%s\" is no id", holder);
	if (!holds(s, holder, &i->manifest) && put_record(s, "uses", holder, i, e) < 0)
		return -1;
	/* Its name was used now. It may have another image by now, or be gone. */
	file_of(i->name, file);
	(void)utimensat(s->refs, file, NULL, AT_SYMLINK_NOFOLLOW);
	return 0;
}

int imgstore_release(struct imgstore *s, const char *holder, struct err *e)
{
	if (!str_is_id(str_of(holder)))
		return err_set(e, ERR_USAGE, 0, "\"%s\" is no id", holder);
	if (unlinkat(s->uses, holder, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "release the image of %s", holder);
	return 0;
}
