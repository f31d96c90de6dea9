/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See features.h: archives of features. They are not unpacked on this host, where a repository or whoever owns a name in a
 * registry would choose the files: the engine does that, in the container of the build.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/decode.h"
#include "oci/image_ref.h"
#include "oci/registry.h"
#include "oci/where.h"
#include "providers/devcontainer/features.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYER_TYPE "application/vnd.devcontainers.layer.v1+tar"
#define PIECE 65536
#define UNPACKED_MAX (1ull << 30)

/* ---- the document in an archive ---- */

struct reading {
	struct buf *json;
	bool wanted, found;
};

static int entry_begins(void *arg, const struct tar_entry *en, struct err *e)
{
	struct reading *r = arg;
	const char *name = en->name;

	(void)e;
	while (name[0] == '.' && name[1] == '/')
		name += 2;
	r->wanted = !r->found && en->type == '0' && strcmp(name, "devcontainer-feature.json") == 0;
	r->found |= r->wanted;
	return 0;
}

static int entry_data(void *arg, uint64_t at, struct str bytes, struct err *e)
{
	struct reading *r = arg;

	(void)at;
	return r->wanted ? buf_add_max(r->json, bytes.p, bytes.n, FEATURE_JSON_MAX, e) : 0;
}

static int to_tar(void *tar, struct str bytes, struct err *e)
{
	return tar_read_feed(tar, bytes, e);
}

/* Reads all of it: a damaged archive is found here, not in the build. */
static int read_document(int fd, struct buf *json, struct deadline d, struct err *e)
{
	struct reading r = { .json = json };
	const struct tar_handler h = { entry_begins, entry_data, NULL, &r };
	struct tar_read *tar = tar_read_new(&h);
	struct decode *decode = decode_new((struct sink){ to_tar, tar }, UNPACKED_MAX);
	int rc = decode_file(decode, fd, d, NULL, e);

	if (rc == 0)
		rc = tar_read_end(tar, e);
	if (rc == 0 && !r.found)
		rc = err_set(e, ERR_NOT_FOUND, 0, "it has no devcontainer-feature.json");
	decode_free(decode);
	tar_read_free(tar);
	return rc;
}

/* ---- a folder beside the configuration ---- */

/* The same files are the same archive, whenever they were checked out. */
static int timeless(void *arg, struct buf *b, const char *at, const struct stat *st,
                    struct tar_entry *en, struct err *e)
{
	(void)arg, (void)b, (void)at, (void)st, (void)e;
	en->mtime = 0;
	return 0;
}

static int pack(const char *root, int fd, struct err *e)
{
	struct tar_tree *tree = tar_tree_new(&(struct tar_tree_options){
		.root = root, .prefix = "", .uid = 0, .gid = 0, .entry = timeless });
	struct buf b = { 0 };
	int64_t total = 0;
	int rc;

	do {
		buf_reset(&b);
		rc = tar_tree_fill(tree, &b, e);
		total += (int64_t)b.n;
		if (rc == 0 && total > FEATURE_ARCHIVE_MAX)
			rc = err_set(e, ERR_LIMIT, 0, "it is larger than %lld MiB",
			             FEATURE_ARCHIVE_MAX >> 20);
		if (rc == 0)
			rc = file_write_all(fd, buf_str(&b), "the archive", e);
	} while (rc == 0 && b.n);
	buf_free(&b);
	tar_tree_free(tree);
	return rc;
}

static int fetch_local(const struct feature_source *s, const struct feature *f, int fd,
                       struct err *e)
{
	const char *slash = strrchr(s->dc->path, '/');
	struct buf path = { 0 };
	char *inside, *root;
	int rc;

	buf_add(&path, s->dc->path, slash ? (size_t)(slash + 1 - s->dc->path) : 0);
	buf_adds(&path, f->ref);
	inside = dc_resolve(s->dc->checkout, buf_cstr(&path));
	root = inside && *inside ? path_join(s->dc->checkout, inside) : NULL;
	if (!root || !file_is_dir(root))
		rc = err_set(e, ERR_NOT_FOUND, 0, "the repository has no folder \"%.200s\"",
		             buf_cstr(&path));
	else
		rc = pack(root, fd, e);
	buf_free(&path);
	free(inside);
	free(root);
	return rc;
}

/* ---- a registry ---- */

static int find_layer(struct str manifest, struct digest *digest, int64_t *size, struct err *e)
{
	struct json_doc *doc = json_parse(manifest, MANIFEST_MAX, e);
	struct json layers = json_get(json_root(doc), "layers"), layer = { 0 };
	struct buf text = { 0 };
	int rc = doc ? 0 : -1;

	for (struct json member = json_first(layers);
	     json_is_array(layers) && json_present(member) && !json_present(layer);
	     member = json_next(member))
		if (json_str_is(json_get(member, "mediaType"), LAYER_TYPE))
			layer = member;
	if (rc == 0 && (!json_string(json_get(layer, "digest"), &text) ||
	                !digest_parse(buf_str(&text), digest) ||
	                !json_i64(json_get(layer, "size"), 1, INT64_MAX, size)))
		rc = err_set(e, ERR_PARSE, 0,
		             "what the registry has under this name is no feature");
	if (rc == 0 && *size > FEATURE_ARCHIVE_MAX)
		rc = err_set(e, ERR_LIMIT, 0, "it has %lld bytes; %lld MiB are allowed",
		             (long long)*size, FEATURE_ARCHIVE_MAX >> 20);
	buf_free(&text);
	json_doc_free(doc);
	return rc;
}

static int copy(int from, int to, struct err *e)
{
	char *piece = mem_alloc(PIECE);
	ssize_t n;
	int rc = 0;

	while (rc == 0 && (n = read(from, piece, PIECE)) != 0) {
		if (n > 0)
			rc = file_write_all(to, (struct str){ piece, (size_t)n }, "the archive", e);
		else if (errno != EINTR)
			rc = err_sys(e, errno, "read the archive");
	}
	free(piece);
	return rc;
}

static int fetch_blob(const struct feature_source *s, struct registry *r, const char *path,
                      const struct digest *digest, int64_t size, int fd, struct err *e)
{
	const struct unpack_owner owner = { 0 };
	char *dir = path_join(s->work_dir, "store");
	struct imgstore *store = NULL;
	struct blob_in *b = NULL;
	int rc = imgstore_open(&store, dir, &owner, s->d, e), from;

	if (rc == 0)
		rc = blob_begin(store, digest, size, NULL, &b, s->d, e);
	if (rc == 0 && b) /* else another feature has it too */
		rc = registry_blob(r, path, digest, b, s->d, e);
	if (rc == 0 && b)
		rc = blob_commit(b, e);
	blob_free(b);
	if (rc == 0) {
		from = imgstore_open_blob(store, digest, e);
		rc = from < 0 ? -1 : copy(from, fd, e);
		fd_close(&from);
	}
	imgstore_close(store);
	free(dir);
	return rc;
}

static void say(void *arg, const char *line)
{
	const struct feature_source *s = arg;

	provider_logf(s->env, "%s", line);
}

static int fetch_at(struct feature_source *s, const char *host, const struct image_ref *ref,
                    const struct registry_options *o, int fd, struct err *e)
{
	const char *what = *ref->digest ? ref->digest : ref->tag;
	struct buf manifest = { 0 };
	struct registry *r = NULL;
	struct digest digest;
	char *type = NULL;
	int64_t size = 0;
	int rc = registry_open(&r, host, o, e);

	if (rc == 0)
		rc = registry_manifest(r, ref->path, what, &manifest, &type, s->d, e);
	if (rc == 0)
		rc = find_layer(buf_str(&manifest), &digest, &size, e);
	if (rc == 0)
		rc = fetch_blob(s, r, ref->path, &digest, size, fd, e);
	registry_close(r);
	buf_free(&manifest);
	free(type);
	return rc;
}

/* Its mirrors, then the registry itself. */
static int fetch_from(struct feature_source *s, const struct image_ref *ref,
                      const struct registry_options *o, int fd, struct err *e)
{
	struct buf mirror = { 0 };
	int rc = -1;

	for (size_t i = 0; rc < 0 && where_mirror(ref->domain, i, &mirror); i++) {
		struct err why = { 0 };

		rc = fetch_at(s, buf_cstr(&mirror), ref, o, fd, &why);
		if (rc < 0)
			provider_logf(s->env, "mirror %s: %s", buf_cstr(&mirror), why.msg);
		buf_reset(&mirror);
	}
	buf_free(&mirror);
	return rc < 0 ? fetch_at(s, ref->domain, ref, o, fd, e) : 0;
}

/* A registry on this machine that the job has a login for is spoken to as the engine does: without TLS. */
static bool is_plain(const struct registry *login, const char *host)
{
	bool here = login &&
	            (strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost:", 10) == 0);
	struct buf text = { 0 };
	struct url u = { 0 };
	struct err ignored = { 0 };

	/* 127.example.org is a name as any. */
	buf_addf(&text, "http://%s", host);
	here = here && url_parse(buf_str(&text), &u, &ignored) == 0 && url_is_loopback(&u);
	url_free(&u);
	buf_free(&text);
	return here;
}

static int fetch_named(struct feature_source *s, const struct feature *f,
                       const struct registry *login, const struct registry_options *usual, int fd,
                       struct err *e)
{
	struct registry_options o = *usual;
	struct registry_login as = { 0 };
	struct image_ref ref = { 0 };
	const char *plain;
	int rc = image_ref_parse(f->ref, &ref, e);

	if (rc == 0 && ref.is_id)
		rc = err_set(e, ERR_CONFIG, 0, "this is no name of a feature");
	if (rc == 0) {
		plain = ref.domain;
		o.plain_http = &plain;
		o.n_plain_http = is_plain(login, plain);
		if (login && *login->username) {
			as = (struct registry_login){ ref.domain, login->username, login->password,
				                      NULL };
			o.logins = &as;
			o.n_logins = 1;
		}
		rc = fetch_from(s, &ref, &o, fd, e);
	}
	image_ref_free(&ref);
	return rc;
}

/* With no login: where it leads is not told by the URL. */
static int fetch_url(struct feature_source *s, const struct feature *f,
                     const struct registry *login, const struct registry_options *usual, int fd,
                     struct err *e)
{
	struct registry_options o = *usual;
	struct url u = { 0 };
	struct buf origin = { 0 }, target = { 0 };
	struct registry *r = NULL;
	const char *host;
	int rc = url_parse(str_of(f->ref), &u, e);

	if (rc == 0) {
		url_origin(&u, &origin);
		host = strstr(buf_cstr(&origin), "://") + 3;
		buf_addf(&target, "%s%s%s", u.path, u.query ? "?" : "", u.query ? u.query : "");
		o.plain_http = &host;
		o.n_plain_http = !url_is_tls(&u);
		if (!url_is_tls(&u) && !is_plain(login, host))
			rc = err_set(e, ERR_DENIED, 0, "archives are only fetched by https");
		else
			rc = registry_open(&r, host, &o, e);
	}
	if (rc == 0)
		rc = registry_file(r, buf_cstr(&target), fd, FEATURE_ARCHIVE_MAX, s->d, e);
	registry_close(r);
	url_free(&u);
	buf_free(&origin);
	buf_free(&target);
	return rc;
}

static int fetch_remote(struct feature_source *s, const struct feature *f, int fd, struct err *e)
{
	bool is_url = feature_is_url(f->ref);
	const struct registry *login = registries_for_image(
		s->registries, is_url ? strstr(f->ref, "://") + 3 : f->ref);
	struct registry_options o = { .say = say, .arg = s };
	struct tls_settings tls = { 0 };
	int rc = tls_ctx_new(&o.tls, &tls, false, e);

	if (rc == 0)
		rc = (is_url ? fetch_url : fetch_named)(s, f, login, &o, fd, e);
	tls_ctx_free(o.tls);
	return rc;
}

int feature_fetch(void *arg, const struct feature *f, const char *path, struct buf *json,
                  struct err *e)
{
	struct feature_source *s = arg;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

	if (fd < 0)
		return err_sys(e, errno, "create %s", path);
	provider_logf(s->env, "Fetching feature %s", f->ref);
	rc = *f->ref == '.' ? fetch_local(s, f, fd, e) : fetch_remote(s, f, fd, e);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = err_sys(e, errno, "read %s", path);
	if (rc == 0)
		rc = read_document(fd, json, s->d, e);
	fd_close(&fd);
	return rc;
}
