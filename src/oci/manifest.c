/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and indexes, see manifest.h. */
#include "oci/manifest.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define BLOB_SIZE_MAX (INT64_C(1) << 40)

struct platform platform_here(void)
{
	static const struct {
		const char *machine, *arch, *variant;
	} known[] = {
		{ "x86_64", "amd64", "" },    { "aarch64", "arm64", "v8" },
		{ "armv8l", "arm", "v8" },    { "armv7l", "arm", "v7" },
		{ "armv6l", "arm", "v6" },    { "i686", "386", "" },
		{ "riscv64", "riscv64", "" }, { "ppc64le", "ppc64le", "" },
		{ "s390x", "s390x", "" },
	};
	struct utsname u;

	for (size_t i = 0; uname(&u) == 0 && i < ARRAY_LEN(known); i++)
		if (strcmp(u.machine, known[i].machine) == 0)
			return (struct platform){ "linux", known[i].arch, known[i].variant };
	return (struct platform){ "linux", "unknown", "" };
}

bool platform_parse(const char *text, struct buf *b, struct platform *p)
{
	const char *parts[3] = { "", "", "" };
	size_t n = 0, at[3];
	struct str rest = str_of(text), piece;

	buf_reset(b);
	while (str_next(&rest, '/', &piece)) {
		if (n == 3 || !str_is_id(piece))
			return false;
		at[n++] = b->n;
		buf_add_str(b, piece);
		buf_addc(b, '\0');
	}
	for (size_t i = 0; i < n; i++)
		parts[i] = b->p + at[i];
	*p = (struct platform){ parts[0], parts[1], parts[2] };
	return n >= 2;
}

static void blob_ref_free(struct blob_ref *r)
{
	free(r->media_type);
	*r = (struct blob_ref){ 0 };
}

void manifest_free(struct manifest *manifest)
{
	blob_ref_free(&manifest->config);
	blob_ref_free(&manifest->best);
	for (size_t i = 0; i < manifest->n_layers; i++)
		blob_ref_free(&manifest->layers[i]);
	free(manifest->layers);
	*manifest = (struct manifest){ 0 };
}

static int read_ref(struct json j, const char *what, struct blob_ref *r, struct err *e)
{
	char *digest = json_dup_or_empty(json_get(j, "digest"));
	bool ok = digest_parse(str_of(digest), &r->digest);

	r->media_type = json_dup_or_empty(json_get(j, "mediaType"));
	if (!ok)
		err_set(e, ERR_PARSE, 0, "%s: \"%.80s\" is no sha256 digest", what, digest);
	else if (!json_i64(json_get(j, "size"), 0, BLOB_SIZE_MAX, &r->size))
		ok = err_set(e, ERR_PARSE, 0, "%s: %s has no plausible size", what, digest) == 0;
	free(digest);
	return ok ? 0 : -1;
}

static bool is_layer(const char *type)
{
	static const char *const kinds[] = {
		MEDIA_OCI_LAYER,
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
	};
	static const char *const ways[] = { "", "+gzip", "+zstd", ".gzip", ".zstd" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i]);

		for (size_t k = 0; k < ARRAY_LEN(ways); k++)
			if (strncmp(type, kinds[i], n) == 0 && strcmp(type + n, ways[k]) == 0)
				return true;
	}
	return !*type;
}

static int read_layers(struct json list, struct manifest *manifest, struct err *e)
{
	size_t n = json_len(list);

	if (!json_is_array(list) || n > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, 0, "manifest: %zu layers; at most %d are taken", n,
		               MANIFEST_LAYERS_MAX);
	manifest->layers = mem_array(n, sizeof(*manifest->layers));
	for (struct json j = json_first(list); json_present(j); j = json_next(j)) {
		struct blob_ref *r = &manifest->layers[manifest->n_layers++];

		if (read_ref(j, "layer", r, e) < 0)
			return -1;
		if (!is_layer(r->media_type))
			return err_set(e, ERR_UNSUPPORTED, 0, "layer %s is of type %.100s",
			               r->digest.text, r->media_type);
	}
	return 0;
}

/* Of two that fit, the higher: exact first, then what an older processor of the family takes. -1: does not fit. */
static int fits(struct json j, const struct platform *want)
{
	struct json p = json_get(j, "platform");
	char *variant = json_dup_or_empty(json_get(p, "variant"));
	bool same = json_str_is(json_get(p, "os"), want->os) &&
	            json_str_is(json_get(p, "architecture"), want->arch);
	bool is_arm = strcmp(want->arch, "arm") == 0;
	int rank = -1;

	if (json_is_null(p))
		rank = 0; /* nothing is said: better than nothing */
	else if (same && strcmp(variant, want->variant) == 0)
		rank = 20;
	else if (same && !*variant)
		rank = 1;
	else if (same && !is_arm &&
	         ((!*want->variant && strcmp(variant, "v1") == 0) ||
	          (!*want->variant && strcmp(variant, "v8") == 0)))
		rank = 10;
	else if (same && is_arm && variant[0] == 'v' && variant[1] >= '5' && variant[1] <= '9' &&
	         !variant[2] && (!*want->variant || variant[1] < want->variant[1]))
		rank = 2 + variant[1] - '5';
	free(variant);
	return rank;
}

static void add_platform(struct buf *b, struct json p)
{
	static const char *const keys[] = { "os", "architecture", "variant" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char *s = json_dup_or_empty(json_get(p, keys[i]));

		if (*s)
			buf_addf(b, "%s%.30s", i ? "/" : b->n ? ", " : "", s);
		free(s);
	}
}

static int choose(struct json list, const struct platform *want, struct manifest *manifest,
                  struct err *e)
{
	struct json best = { 0 };
	struct buf there = { 0 };
	int rank = -1;

	if (!json_is_array(list) || json_len(list) > MANIFEST_ENTRIES_MAX)
		return err_set(e, ERR_LIMIT, 0, "index: %zu entries; at most %d are taken",
		               json_len(list), MANIFEST_ENTRIES_MAX);
	for (struct json j = json_first(list); json_present(j); j = json_next(j)) {
		int r = fits(j, want);

		if (r > rank)
			best = j;
		rank = r > rank ? r : rank;
		if (there.n < 200)
			add_platform(&there, json_get(j, "platform"));
	}
	if (rank < 0)
		err_set(e, ERR_NOT_FOUND, 0, "there is no image for %s/%s%s%s, only for %s",
		        want->os, want->arch, *want->variant ? "/" : "", want->variant,
		        there.n ? buf_cstr(&there) : "nothing");
	buf_free(&there);
	return rank < 0 ? -1 : read_ref(best, "index", &manifest->best, e);
}

static bool is_index_type(const char *t)
{
	return strcmp(t, MEDIA_OCI_INDEX) == 0 || strcmp(t, MEDIA_DOCKER_INDEX) == 0;
}

static bool is_manifest_type(const char *t)
{
	return strcmp(t, MEDIA_OCI_MANIFEST) == 0 || strcmp(t, MEDIA_DOCKER_MANIFEST) == 0;
}

static int read_manifest(struct json root, struct manifest *manifest, struct err *e)
{
	const char *type;

	if (read_ref(json_get(root, "config"), "manifest", &manifest->config, e) < 0)
		return -1;
	type = manifest->config.media_type;
	if (*type && strcmp(type, MEDIA_OCI_CONFIG) != 0 && strcmp(type, MEDIA_DOCKER_CONFIG) != 0)
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "it is no image of a container but of type %.100s", type);
	return read_layers(json_get(root, "layers"), manifest, e);
}

static int read_document(struct json root, const char *media_type, const struct platform *p,
                         struct manifest *manifest, struct err *e)
{
	char *type = json_dup_or_empty(json_get(root, "mediaType"));
	int64_t schema = 0;
	int rc;

	if (!*type && (is_index_type(media_type) || is_manifest_type(media_type))) {
		free(type);
		type = mem_dup(media_type);
	}
	(void)json_i64(json_get(root, "schemaVersion"), 0, 100, &schema);
	if (schema != 2)
		rc = err_set(e, ERR_UNSUPPORTED, 0,
		             schema == 1
		                     ? "it is in the old form (schema 1), which nothing writes any "
		                       "more: push the image again"
		                     : "it is no manifest of an image");
	else if (is_index_type(type) || (!*type && json_is_array(json_get(root, "manifests")))) {
		/* Both at once would mean one thing to one reader and another to the next. */
		manifest->is_index = true;
		rc = json_present(json_get(root, "layers"))
		             ? err_set(e, ERR_PARSE, 0, "it is both an index and a manifest")
		             : choose(json_get(root, "manifests"), p, manifest, e);
	} else if (is_manifest_type(type) || !*type) {
		rc = json_present(json_get(root, "manifests"))
		             ? err_set(e, ERR_PARSE, 0, "it is both an index and a manifest")
		             : read_manifest(root, manifest, e);
	} else {
		rc = err_set(e, ERR_UNSUPPORTED, 0, "it is of type %.100s", type);
	}
	free(type);
	return rc;
}

int manifest_parse(struct str text, const char *media_type, const struct platform *p,
                   struct manifest *manifest, struct err *e)
{
	struct json_doc *doc = json_parse(text, MANIFEST_MAX, e);
	int rc;

	*manifest = (struct manifest){ 0 };
	if (!doc)
		return -1;
	rc = read_document(json_root(doc), media_type, p, manifest, e);
	json_doc_free(doc);
	if (rc < 0)
		manifest_free(manifest);
	return rc;
}
