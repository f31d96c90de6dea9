/* SPDX-License-Identifier: Apache-2.0 */
/* See images.h. */
#include "oci/images.h"

#include "base/mem.h"
#include "oci/image_ref.h"
#include "oci/unpackers.h"

#include <stdlib.h>
#include <string.h>

#define ID_DIGITS_MIN 6

int images_full_name(const char *ref, struct buf *full, struct err *e)
{
	struct image_ref r;

	if (image_ref_parse(ref, &r, e) < 0)
		return -1;
	if (r.is_id)
		err_set(e, ERR_PARSE, 0, "\"%s\" is an id, no name", ref);
	else if (*r.digest)
		buf_addf(full, "%s/%s@%s", r.domain, r.path, r.digest);
	else
		buf_addf(full, "%s/%s:%s", r.domain, r.path, r.tag);
	image_ref_free(&r);
	return e->kind ? -1 : 0;
}

void images_short_name(const char *full, struct buf *b)
{
	static const char hub[] = "docker.io/", library[] = "library/";

	if (strncmp(full, hub, sizeof(hub) - 1) == 0) {
		full += sizeof(hub) - 1;
		if (strncmp(full, library, sizeof(library) - 1) == 0)
			full += sizeof(library) - 1;
	}
	buf_adds(b, full);
}

/* The digits, if ref may be (the beginning of) an id. */
static const char *id_digits(const char *ref)
{
	size_t n;

	if (strncmp(ref, DIGEST_PREFIX, sizeof(DIGEST_PREFIX) - 1) == 0)
		ref += sizeof(DIGEST_PREFIX) - 1;
	n = strlen(ref);
	return n >= ID_DIGITS_MIN && n <= DIGEST_HEX && strspn(ref, "0123456789abcdef") == n ? ref
	                                                                                     : NULL;
}

static bool has_id(const struct stored *i, const char *digits)
{
	size_t n = strlen(digits);

	return strncmp(digest_hex(&i->config), digits, n) == 0 ||
	       strncmp(digest_hex(&i->manifest), digits, n) == 0;
}

static int find_by_id(struct imgstore *s, const char *ref, const char *digits, struct stored *out,
                      struct err *e)
{
	struct stored *list, *hit = NULL;
	size_t n, damaged;
	bool several = false;

	if (imgstore_list(s, &list, &n, &damaged, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!has_id(&list[i], digits))
			continue;
		several = several || (hit && !digest_eq(&hit->config, &list[i].config));
		hit = hit ? hit : &list[i];
	}
	if (several)
		err_set(e, ERR_USAGE, 0, "several images have an id that begins with %s", ref);
	else if (!hit)
		err_set(e, ERR_NOT_FOUND, 0, "image %s is not here", ref);
	else {
		*out = *hit;
		*hit = (struct stored){ 0 };
	}
	stored_list_free(list, n);
	return several || !hit ? -1 : 0;
}

int images_find(struct imgstore *s, const char *ref, struct stored *i, struct err *e)
{
	const char *digits = id_digits(ref);
	struct buf full = { 0 };
	struct err why = { 0 };
	int rc = images_full_name(ref, &full, &why);

	*i = (struct stored){ 0 };
	if (rc == 0)
		rc = imgstore_find(s, buf_cstr(&full), i, &why);
	buf_free(&full);
	if (rc < 0 && digits) {
		struct image_ref as = { 0 };

		/* By its own name it must be allowed: an id says nothing. */
		rc = find_by_id(s, ref, digits, i, e);
		if (rc == 0 && (rc = image_ref_parse(i->name, &as, e)) < 0)
			stored_free(i);
		image_ref_free(&as);
	} else if (rc < 0) {
		*e = why;
	}
	return rc;
}

int images_config(struct imgstore *s, const struct stored *i, struct image_config *c, struct err *e)
{
	struct buf text = { 0 };
	int rc = imgstore_read_blob(s, &i->config, CONFIG_MAX, &text, e);

	*c = (struct image_config){ 0 };
	if (rc == 0)
		rc = image_config_parse(buf_str(&text), c, e);
	buf_free(&text);
	return rc < 0 ? err_wrap(e, "%s", i->name) : 0;
}

int images_choose(struct imgstore *s, const struct digest *from, const char *media_type,
                  const struct platform *p, struct digest *manifest, struct err *e)
{
	struct buf text = { 0 };
	struct manifest parsed = { 0 };
	int rc = imgstore_read_blob(s, from, MANIFEST_MAX, &text, e);

	if (rc == 0)
		rc = manifest_parse(buf_str(&text), media_type, p, &parsed, e);
	if (rc == 0)
		*manifest = parsed.is_index ? parsed.best.digest : *from;
	manifest_free(&parsed);
	buf_free(&text);
	return rc;
}

/* What the image needs, from its manifest and configuration. */
static int describe(struct imgstore *s, const struct digest *manifest, const struct digest *index,
                    struct manifest *parsed, struct stored *i, struct err *e)
{
	struct platform p = platform_here();
	struct buf text = { 0 };
	struct image_config c = { 0 };
	int rc = imgstore_read_blob(s, manifest, MANIFEST_MAX, &text, e);

	if (rc == 0)
		rc = manifest_parse(buf_str(&text), "", &p, parsed, e);
	buf_free(&text);
	if (rc == 0 && parsed->is_index)
		rc = err_set(e, ERR_PARSE, 0, "an index names another index");
	if (rc < 0)
		return -1;
	i->manifest = *manifest;
	i->config = parsed->config.digest;
	i->added_ms = clock_wall_ms();
	if (images_config(s, i, &c, e) < 0)
		return -1;
	if (c.n_diff_ids != parsed->n_layers)
		rc = err_set(e, ERR_PARSE, 0,
		             "the manifest has %zu layers and the configuration %zu",
		             parsed->n_layers, c.n_diff_ids);
	i->blobs = mem_array(parsed->n_layers + 3, sizeof(*i->blobs));
	i->blobs[i->n_blobs++] = *manifest;
	i->blobs[i->n_blobs++] = parsed->config.digest;
	if (index && !digest_eq(index, manifest))
		i->blobs[i->n_blobs++] = *index;
	for (size_t k = 0; k < parsed->n_layers; k++)
		i->blobs[i->n_blobs++] = parsed->layers[k].digest;
	i->layers = c.diff_ids;
	i->n_layers = c.n_diff_ids;
	c.diff_ids = NULL;
	image_config_free(&c);
	return rc;
}

static int unpack_all(struct imgstore *s, const struct manifest *manifest, const struct stored *i,
                      struct deadline until, struct err *e)
{
	struct unpackers u = { .s = s, .until = until };
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < i->n_layers; k++)
		rc = unpackers_add(&u, &manifest->layers[k].digest, &i->layers[k], false, e);
	if (rc == 0)
		rc = unpackers_wait(&u, e);
	unpackers_end(&u);
	return rc;
}

int images_complete(struct imgstore *s, const struct digest *manifest, const struct digest *index,
                    const char *name, const struct kv *logins, struct deadline until, struct err *e)
{
	struct manifest parsed = { 0 };
	struct stored i = { .name = mem_dup(name) };
	int rc = describe(s, manifest, index, &parsed, &i, e);

	if (logins)
		kv_merge(&i.logins, logins);
	if (rc == 0 && !*name) {
		free(i.name);
		i.name = mem_dup(i.config.text);
	}
	if (rc == 0)
		rc = unpack_all(s, &parsed, &i, until, e);
	if (rc == 0)
		rc = imgstore_put_name(s, &i, e);
	stored_free(&i);
	manifest_free(&parsed);
	return rc < 0 && *name ? err_wrap(e, "%s", name) : rc;
}

int images_logins(struct imgstore *s, const struct digest *manifest, struct kv *logins,
                  struct err *e)
{
	const struct stored *found = NULL;
	struct stored *list;
	size_t n, damaged;

	if (imgstore_list(s, &list, &n, &damaged, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (digest_eq(&list[i].manifest, manifest) && (!found || !list[i].logins.n))
			found = &list[i];
	if (found)
		kv_merge(logins, &found->logins);
	stored_list_free(list, n);
	return found ? 0
	             : err_set(e, ERR_NOT_FOUND, 0,
	                       "image %.19s has no name here any more, so nobody can tell whose "
	                       "login it needs: try again",
	                       manifest->text);
}

/* Layers may have been unpacked for others than these owners. */
static int unpack_missing(struct imgstore *s, const struct stored *i, struct deadline until,
                          struct err *e)
{
	struct stored again = { .name = mem_dup(i->name) };
	struct manifest manifest = { 0 };
	int rc = 0;
	bool all = true;

	for (size_t k = 0; k < i->n_layers; k++)
		all = all && imgstore_has_layer(s, &i->layers[k]);
	if (!all)
		rc = describe(s, &i->manifest, NULL, &manifest, &again, e);
	if (!all && rc == 0)
		rc = unpack_all(s, &manifest, &again, until, e);
	stored_free(&again);
	manifest_free(&manifest);
	return rc;
}

/* The same layer once more. */
static bool is_above(const struct stored *i, size_t k)
{
	for (size_t above = k + 1; above < i->n_layers; above++)
		if (digest_eq(&i->layers[above], &i->layers[k]))
			return true;
	return false;
}

int images_rootfs_found(struct imgstore *s, struct stored *i, const char *holder,
                        struct deadline until, struct rootfs *r, struct err *e)
{
	int rc;

	*r = (struct rootfs){ 0 };
	rc = images_config(s, i, &r->config, e);
	if (rc == 0)
		rc = unpack_missing(s, i, until, e);
	if (rc == 0)
		rc = imgstore_hold(s, holder, i, e);
	if (rc == 0) {
		r->lower = mem_array(i->n_layers, sizeof(*r->lower));
		/* The kernel takes no directory twice, and what an upper one has needs no lower one. */
		for (size_t k = i->n_layers; k-- > 0;)
			if (!is_above(i, k))
				r->lower[r->n++] = imgstore_layer_path(s, &i->layers[k]);
		r->manifest = i->manifest;
		r->name = i->name;
		i->name = NULL;
		kv_merge(&r->logins, &i->logins);
	} else {
		rootfs_free(r);
	}
	stored_free(i);
	return rc;
}

int images_rootfs(struct imgstore *s, const char *ref, const char *holder, struct deadline until,
                  struct rootfs *r, struct err *e)
{
	struct stored i;

	*r = (struct rootfs){ 0 };
	return images_find(s, ref, &i, e) < 0 ? -1
	                                      : images_rootfs_found(s, &i, holder, until, r, e);
}

int images_rootfs_of(struct imgstore *s, const struct digest *manifest, const char *holder,
                     struct deadline until, struct rootfs *r, struct err *e)
{
	struct stored i = { .name = mem_dup(manifest->text) };
	struct manifest parsed = { 0 };
	int rc = describe(s, manifest, NULL, &parsed, &i, e);

	*r = (struct rootfs){ 0 };
	manifest_free(&parsed);
	if (rc == 0)
		return images_rootfs_found(s, &i, holder, until, r, e);
	stored_free(&i);
	return -1;
}

void rootfs_free(struct rootfs *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->lower[i]);
	free(r->lower);
	free(r->name);
	kv_free(&r->logins);
	image_config_free(&r->config);
	*r = (struct rootfs){ 0 };
}

int images_release(struct imgstore *s, const char *holder, struct err *e)
{
	return imgstore_release(s, holder, e);
}
