/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images out of archives: `docker save` of any age (manifest.json names configuration and layers by path) and OCI layouts
 * (index.json names blobs by digest). One pass, since the archive may come through a pipe: every file becomes a blob, and
 * which of them are an image is known at the end.
 */
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/decode.h"
#include "oci/images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 4000
#define PATH_BYTES_MAX 512 /* digests and a few words: what is remembered stays small */
#define ARCHIVE_MAX (UINT64_C(1) << 42)
#define BLOBS "blobs/sha256/"
#define LINKS_MAX 5

struct file {
	char *path;
	char *link; /* another path; else: */
	struct digest digest;
	uint64_t size;
	char magic[4];
};

struct load {
	struct imgstore *s;
	const char *base;
	const struct platform *p;
	struct deadline until;
	void (*loaded)(void *arg, const char *name);
	void *arg;
	size_t n_loaded;
	struct file *files;
	size_t n, cap;
	struct buf index, manifest; /* index.json, manifest.json */
	struct buf *text;           /* the one that is being read */
	struct blob_in *blob;       /* NULL also for one that is here already */
	bool in_file;
	struct tar_read *tar;
};

static struct file *add_file(struct load *l, const char *path)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 32;
		l->files = mem_realloc(l->files, l->cap * sizeof(*l->files));
	}
	l->files[l->n] = (struct file){ .path = mem_dup(path) };
	return &l->files[l->n++];
}

/* What old archives have beside the layers, for older programs still. */
static bool is_legacy(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(path, "repositories") == 0 || strcmp(path, "oci-layout") == 0 ||
	       (slash && (strcmp(slash, "/VERSION") == 0 || strcmp(slash, "/json") == 0));
}

static int start_blob(struct load *l, const char *path, uint64_t size, struct err *e)
{
	struct file *f = add_file(l, path);

	l->in_file = true;
	f->size = size;
	if (strncmp(path, BLOBS, sizeof(BLOBS) - 1) != 0)
		return blob_begin_new(l->s, &l->blob, e);
	{
		struct buf text = { 0 };
		bool ok;

		buf_addf(&text, DIGEST_PREFIX "%s", path + sizeof(BLOBS) - 1);
		ok = digest_parse(buf_str(&text), &f->digest);
		buf_free(&text);
		if (!ok)
			return err_set(e, ERR_PARSE, 0, "archive: %.100s: no digest", path);
	}
	if (blob_begin(l->s, &f->digest, (int64_t)size, NULL, &l->blob, l->until, e) < 0)
		return -1;
	return l->blob ? blob_restart(l->blob, e) : 0;
}

static int begin_file(struct load *l, const char *path, const struct tar_entry *en, struct err *e)
{
	l->text = strcmp(path, "index.json") == 0      ? &l->index
	          : strcmp(path, "manifest.json") == 0 ? &l->manifest
	                                               : NULL;
	if (l->text)
		buf_reset(l->text);
	if (l->text || is_legacy(path))
		return 0;
	return start_blob(l, path, en->size, e);
}

/* Old archives have a layer once and links to it. */
static void begin_link(struct load *l, const char *path, const struct tar_entry *en)
{
	struct file *f = add_file(l, path);
	struct buf to = { 0 };
	const char *slash = strrchr(path, '/');

	if (en->type == '2' && slash)
		(void)path_add(&to, (struct str){ path, (size_t)(slash - path) });
	(void)path_add(&to, str_of(en->link));
	f->link = buf_take(&to);
}

static int begin(void *arg, const struct tar_entry *en, struct err *e)
{
	struct load *l = arg;
	struct buf path = { 0 };
	int rc = 0;

	if (l->n >= FILES_MAX)
		return err_set(e, ERR_LIMIT, 0, "archive: more than %d files", FILES_MAX);
	if (!path_add(&path, str_of(en->name)))
		rc = err_set(e, ERR_DENIED, 0, "archive: %.100s leads out of it", en->name);
	else if (path.n > PATH_BYTES_MAX || (en->link && strlen(en->link) > PATH_BYTES_MAX))
		rc = err_set(e, ERR_LIMIT, 0, "archive: a name of more than %d bytes",
		             PATH_BYTES_MAX);
	else if (en->type == '0')
		rc = begin_file(l, buf_cstr(&path), en, e);
	else if (en->type == '1' || en->type == '2')
		begin_link(l, buf_cstr(&path), en);
	buf_free(&path);
	return rc;
}

static int data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct load *l = arg;

	if (l->text)
		return buf_add_max(l->text, bytes.p, bytes.n, MANIFEST_MAX, e);
	if (!l->in_file)
		return 0;
	for (size_t i = 0; i < bytes.n && at + i < sizeof(l->files->magic); i++)
		l->files[l->n - 1].magic[at + i] = bytes.p[i];
	if (!l->blob)
		return 0;
	if (at != blob_have(l->blob))
		return err_set(e, ERR_UNSUPPORTED, 0, "archive: a sparse file");
	return blob_add(l->blob, bytes, e);
}

static int end(void *arg, struct err *e)
{
	struct load *l = arg;
	int rc = 0;

	if (l->blob) {
		rc = blob_commit(l->blob, e);
		l->files[l->n - 1].digest = blob_digest(l->blob);
		blob_free(l->blob);
	}
	l->blob = NULL;
	l->text = NULL;
	l->in_file = false;
	return rc;
}

static const struct file *find_file(const struct load *l, const char *path)
{
	for (int links = 0; links < LINKS_MAX; links++) {
		const struct file *f = NULL;

		for (size_t i = 0; i < l->n && !f; i++)
			if (strcmp(l->files[i].path, path) == 0)
				f = &l->files[i];
		if (!f || !f->link)
			return f;
		path = f->link;
	}
	return NULL;
}

static int complete(struct load *l, const struct digest *manifest, const struct digest *index,
                    const char *name, struct err *e)
{
	struct buf full = { 0 };
	int rc = *name ? images_full_name(name, &full, e) : 0;

	if (rc == 0)
		rc = images_complete(l->s, manifest, index, buf_cstr(&full), NULL, l->until, e);
	if (rc == 0) {
		l->n_loaded++;
		l->loaded(l->arg, full.n ? buf_cstr(&full) : manifest->text);
	}
	buf_free(&full);
	return rc;
}

/* The name that a layout gives: in full, or a tag of the archive's own name. */
static char *layout_name(const struct load *l, struct json annotations)
{
	char *name = json_dup(json_get(annotations, "io.containerd.image.name"));
	struct buf b = { 0 };

	if (!name)
		name = json_dup_or_empty(
			json_get(annotations, "org.opencontainers.image.ref.name"));
	if (!*name || strpbrk(name, "/:"))
		return name;
	if (l->base)
		buf_addf(&b, "%s:%s", l->base, name);
	free(name);
	return buf_take(&b);
}

static int load_layout(struct load *l, struct err *e)
{
	struct json_doc *doc = json_parse(buf_str(&l->index), MANIFEST_MAX, e);
	struct json list = json_get(json_root(doc), "manifests");
	int rc = 0;

	if (!doc)
		return err_wrap(e, "index.json");
	for (struct json j = json_first(list); rc == 0 && json_present(j); j = json_next(j)) {
		char *text = json_dup_or_empty(json_get(j, "digest"));
		char *type = json_dup_or_empty(json_get(j, "mediaType"));
		char *name = layout_name(l, json_get(j, "annotations"));
		struct digest from, manifest;

		if (!digest_parse(str_of(text), &from))
			rc = err_set(e, ERR_PARSE, 0, "index.json: \"%.80s\" is no sha256 digest",
			             text);
		if (rc == 0)
			rc = images_choose(l->s, &from, type, l->p, &manifest, e);
		if (rc == 0)
			rc = complete(l, &manifest, &from, name, e);
		free(text);
		free(type);
		free(name);
	}
	json_doc_free(doc);
	return rc;
}

static const char *layer_type(const struct file *f)
{
	return memcmp(f->magic, "\x1f\x8b", 2) == 0           ? MEDIA_OCI_LAYER "+gzip"
	       : memcmp(f->magic, "\x28\xb5\x2f\xfd", 4) == 0 ? MEDIA_OCI_LAYER "+zstd"
	                                                      : MEDIA_OCI_LAYER;
}

static int add_ref(struct load *l, struct buf *b, const char *path, bool layer, struct err *e)
{
	const struct file *f = find_file(l, path);

	if (!f)
		return err_set(e, ERR_PARSE, 0, "manifest.json: %.100s is not in the archive",
		               path);
	jw_obj(b);
	jw_kstr(b, "mediaType", layer ? layer_type(f) : MEDIA_OCI_CONFIG);
	jw_kstr(b, "digest", f->digest.text);
	jw_kint(b, "size", (int64_t)f->size);
	jw_obj_end(b);
	return 0;
}

/* A manifest as the OCI has it, out of the paths of Docker's. */
static int make_manifest(struct load *l, struct json j, struct buf *b, struct err *e)
{
	char *path = json_dup_or_empty(json_get(j, "Config"));
	int rc;

	jw_obj(b);
	jw_kint(b, "schemaVersion", 2);
	jw_kstr(b, "mediaType", MEDIA_OCI_MANIFEST);
	jw_key(b, "config");
	rc = add_ref(l, b, path, false, e);
	free(path);
	jw_key(b, "layers");
	jw_arr(b);
	for (struct json key = json_first(json_get(j, "Layers")); rc == 0 && json_present(key);
	     key = json_next(key)) {
		path = json_dup_or_empty(key);
		rc = add_ref(l, b, path, true, e);
		free(path);
	}
	jw_arr_end(b);
	jw_obj_end(b);
	return rc;
}

static int load_one(struct load *l, struct json j, struct err *e)
{
	struct json tags = json_get(j, "RepoTags");
	struct buf text = { 0 };
	struct digest manifest;
	int rc = make_manifest(l, j, &text, e);

	if (rc == 0)
		rc = imgstore_put_blob(l->s, buf_str(&text), &manifest, l->until, e);
	if (rc == 0 && !json_len(tags))
		rc = complete(l, &manifest, NULL, "", e);
	for (struct json t = json_first(tags); rc == 0 && json_present(t); t = json_next(t)) {
		char *name = json_dup_or_empty(t);

		rc = complete(l, &manifest, NULL, name, e);
		free(name);
	}
	buf_free(&text);
	return rc;
}

static int load_docker(struct load *l, struct err *e)
{
	struct json_doc *doc = json_parse(buf_str(&l->manifest), MANIFEST_MAX, e);
	int rc = 0;

	if (!doc)
		return err_wrap(e, "manifest.json");
	if (!json_is_array(json_root(doc)))
		rc = err_set(
			e, ERR_UNSUPPORTED, 0,
			"manifest.json: it is no list of images as docker save writes it; of other forms "
			"an OCI layout is taken");
	for (struct json j = json_first(json_root(doc)); rc == 0 && json_present(j);
	     j = json_next(j))
		rc = load_one(l, j, e);
	json_doc_free(doc);
	return rc;
}

/* An archive may be both: then Docker's list has all names, a layout's index not always. */
static int finish(struct load *l, struct err *e)
{
	int rc;

	if (!l->manifest.n && !l->index.n)
		return err_set(e, ERR_PARSE, 0,
		               "archive: no images in it (neither manifest.json nor index.json)");
	rc = l->manifest.n ? load_docker(l, e) : load_layout(l, e);
	if (rc == 0 && !l->n_loaded)
		rc = err_set(e, ERR_NOT_FOUND, 0, "archive: it lists no images");
	return rc;
}

static int feed_tar(void *arg, struct str bytes, struct err *e)
{
	return tar_read_feed(((struct load *)arg)->tar, bytes, e);
}

static void load_begin(struct load *l)
{
	struct tar_handler h = { begin, data, end, l };

	l->tar = tar_read_new(&h);
}

static int load_end(struct load *l, int rc, struct err *e)
{
	if (rc == 0)
		rc = tar_read_end(l->tar, e);
	if (rc == 0)
		rc = finish(l, e);
	blob_free(l->blob);
	tar_read_free(l->tar);
	for (size_t i = 0; i < l->n; i++) {
		free(l->files[i].path);
		free(l->files[i].link);
	}
	free(l->files);
	buf_free(&l->index);
	buf_free(&l->manifest);
	return rc;
}

int images_load(struct imgstore *s, int fd, const char *base, const struct platform *p,
                void (*loaded)(void *arg, const char *name), void *arg, struct deadline until,
                struct err *e)
{
	struct load l = {
		.s = s, .base = base, .p = p, .until = until, .loaded = loaded, .arg = arg
	};
	struct decode *d = decode_new((struct sink){ feed_tar, &l }, ARCHIVE_MAX);
	int rc;

	decode_limit_window(d, DECODE_WINDOW_LOG_MAX); /* an operator's own */
	load_begin(&l);
	rc = decode_file(d, fd, until, NULL, e);
	decode_free(d);
	return load_end(&l, rc, e);
}

int images_load_dir(struct imgstore *s, const char *dir, const char *base, const struct platform *p,
                    void (*loaded)(void *arg, const char *name), void *arg, struct deadline until,
                    struct err *e)
{
	struct load l = {
		.s = s, .base = base, .p = p, .until = until, .loaded = loaded, .arg = arg
	};
	struct tar_tree_options o = { .root = dir, .prefix = "", .uid = 0, .gid = 0 };
	struct tar_tree *t = tar_tree_new(&o);
	struct buf b = { 0 };
	int more = 1, rc = 0;

	load_begin(&l);
	while (rc == 0 && more > 0) {
		buf_reset(&b);
		more = tar_tree_fill(t, &b, e);
		rc = more < 0 ? -1 : feed_tar(&l, buf_str(&b), e);
	}
	tar_tree_free(t);
	buf_free(&b);
	return load_end(&l, rc, e);
}
