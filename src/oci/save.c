/* SPDX-License-Identifier: Apache-2.0 */
/* Images into an archive: an OCI layout that has Docker's manifest.json as well, see images.h. */
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/images.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (64u << 10)

static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

static int put_header(int fd, const char *name, char type, uint64_t size, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	tar_header(&b, &(struct tar_entry){ .name = name,
	                                    .type = type,
	                                    .mode = type == '5' ? 0755 : 0644,
	                                    .size = size });
	rc = file_write_all(fd, buf_str(&b), "the archive", e);
	buf_free(&b);
	return rc;
}

static int put_pad(int fd, uint64_t size, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	tar_pad(&b, size);
	rc = file_write_all(fd, buf_str(&b), "the archive", e);
	buf_free(&b);
	return rc;
}

static int put_text(int fd, const char *name, struct str text, struct err *e)
{
	if (put_header(fd, name, '0', text.n, e) < 0 ||
	    file_write_all(fd, text, "the archive", e) < 0)
		return -1;
	return put_pad(fd, text.n, e);
}

static int copy(int from, uint64_t left, const char *name, int fd, struct err *e)
{
	char *piece = mem_alloc(PIECE);
	int rc = 0;

	while (rc == 0 && left) {
		ssize_t n = read(from, piece, left < PIECE ? (size_t)left : PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			rc = n < 0 ? err_sys(e, errno, "read blob %s", name)
			           : err_set(e, ERR_CLOSED, 0, "blob %s became shorter", name);
		else
			rc = file_write_all(fd, (struct str){ piece, (size_t)n }, "the archive", e);
		left -= rc == 0 ? (uint64_t)n : 0;
	}
	free(piece);
	return rc;
}

static int put_blob(struct imgstore *s, const struct digest *d, int fd, struct err *e)
{
	int from = imgstore_open_blob(s, d, e), rc = -1;
	char name[sizeof("blobs/sha256/") + DIGEST_HEX];
	struct stat st;

	if (from < 0)
		return -1;
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(d));
	if (fstat(from, &st) < 0)
		err_sys(e, errno, "blob %s", d->text);
	else if (put_header(fd, name, '0', (uint64_t)st.st_size, e) == 0 &&
	         copy(from, (uint64_t)st.st_size, d->text, fd, e) == 0)
		rc = put_pad(fd, (uint64_t)st.st_size, e);
	close(from);
	return rc;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct digest *)a)->text, ((const struct digest *)b)->text);
}

/* Manifest, configuration and layers of all, each once. An index would name manifests that are not here. */
static int put_blobs(struct imgstore *s, const struct stored *list, const struct manifest *manifest,
                     size_t n, int fd, struct err *e)
{
	struct digest *all;
	size_t n_all = 0, most = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		most += manifest[i].n_layers + 2;
	all = mem_array(most, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		all[n_all++] = list[i].manifest;
		all[n_all++] = list[i].config;
		for (size_t k = 0; k < manifest[i].n_layers; k++)
			all[n_all++] = manifest[i].layers[k].digest;
	}
	qsort(all, n_all, sizeof(*all), by_text);
	for (size_t i = 0; rc == 0 && i < n_all; i++)
		if (i == 0 || !digest_eq(&all[i], &all[i - 1]))
			rc = put_blob(s, &all[i], fd, e);
	free(all);
	return rc;
}

static bool has_name(const struct stored *i)
{
	struct digest d;

	return !digest_parse(str_of(i->name), &d);
}

const char *manifest_type(struct str manifest)
{
	return str_find(manifest, MEDIA_DOCKER_MANIFEST) ? MEDIA_DOCKER_MANIFEST
	                                                 : MEDIA_OCI_MANIFEST;
}

static void add_to_index(const struct stored *i, struct str manifest, struct buf *b)
{
	jw_obj(b);
	jw_kstr(b, "mediaType", manifest_type(manifest));
	jw_kstr(b, "digest", i->manifest.text);
	jw_kint(b, "size", (int64_t)manifest.n);
	if (has_name(i)) {
		const char *tag = strrchr(i->name, ':');

		jw_key(b, "annotations");
		jw_obj(b);
		jw_kstr(b, "io.containerd.image.name", i->name);
		jw_kstr(b, "org.opencontainers.image.ref.name", tag ? tag + 1 : i->name);
		jw_obj_end(b);
	}
	jw_obj_end(b);
}

static void add_path(struct buf *b, const struct digest *d)
{
	char path[sizeof("blobs/sha256/") + DIGEST_HEX];

	snprintf(path, sizeof(path), "blobs/sha256/%s", digest_hex(d));
	jw_str(b, str_of(path));
}

static void add_to_docker(const struct stored *i, const struct manifest *manifest, struct buf *b)
{
	struct buf name = { 0 };

	jw_obj(b);
	jw_key(b, "Config");
	add_path(b, &i->config);
	jw_key(b, "RepoTags");
	jw_arr(b);
	images_short_name(i->name, &name);
	if (has_name(i) && !strchr(i->name, '@'))
		jw_str(b, buf_str(&name));
	jw_arr_end(b);
	jw_key(b, "Layers");
	jw_arr(b);
	for (size_t k = 0; k < manifest->n_layers; k++)
		add_path(b, &manifest->layers[k].digest);
	jw_arr_end(b);
	jw_obj_end(b);
	buf_free(&name);
}

static int read_all(struct imgstore *s, const struct stored *list, size_t n,
                    struct manifest *manifest, struct buf *index, struct buf *docker, struct err *e)
{
	struct platform p = platform_here();
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct buf text = { 0 };

		rc = imgstore_read_blob(s, &list[i].manifest, MANIFEST_MAX, &text, e);
		if (rc == 0)
			rc = manifest_parse(buf_str(&text), "", &p, &manifest[i], e);
		if (rc == 0) {
			add_to_index(&list[i], buf_str(&text), index);
			add_to_docker(&list[i], &manifest[i], docker);
		}
		buf_free(&text);
	}
	return rc;
}

static int put_all(struct imgstore *s, const struct stored *list, const struct manifest *manifest,
                   size_t n, const struct buf *index, const struct buf *docker, int fd,
                   struct err *e)
{
	struct buf end = { 0 };
	int rc = -1;

	if (put_text(fd, "oci-layout", str_of(layout), e) < 0 ||
	    put_text(fd, "index.json", buf_str(index), e) < 0 ||
	    put_text(fd, "manifest.json", buf_str(docker), e) < 0 ||
	    put_header(fd, "blobs/", '5', 0, e) < 0 ||
	    put_header(fd, "blobs/sha256/", '5', 0, e) < 0 ||
	    put_blobs(s, list, manifest, n, fd, e) < 0)
		return -1;
	tar_finish(&end);
	rc = file_write_all(fd, buf_str(&end), "the archive", e);
	buf_free(&end);
	return rc;
}

int images_save(struct imgstore *s, const struct stored *list, size_t n, int fd, struct err *e)
{
	struct manifest *manifest = mem_array(n, sizeof(*manifest));
	struct buf index = { 0 }, docker = { 0 };
	int rc;

	jw_obj(&index);
	jw_kint(&index, "schemaVersion", 2);
	jw_kstr(&index, "mediaType", MEDIA_OCI_INDEX);
	jw_key(&index, "manifests");
	jw_arr(&index);
	jw_arr(&docker);
	rc = read_all(s, list, n, manifest, &index, &docker, e);
	jw_arr_end(&index);
	jw_obj_end(&index);
	jw_arr_end(&docker);
	if (rc == 0)
		rc = put_all(s, list, manifest, n, &index, &docker, fd, e);
	for (size_t i = 0; i < n; i++)
		manifest_free(&manifest[i]);
	free(manifest);
	buf_free(&index);
	buf_free(&docker);
	return rc;
}
