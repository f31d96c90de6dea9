/* SPDX-License-Identifier: Apache-2.0 */
/* See pull.h. */
#include "oci/pull.h"

#include "base/file.h"
#include "base/mem.h"
#include "oci/image_ref.h"
#include "oci/unpackers.h"
#include "oci/where.h"

#include <stdlib.h>
#include <string.h>

struct pull {
	struct imgstore *s;
	struct registry *r;
	const struct platform *p;
	const struct pull_progress *progress;
	struct image_ref ref;
	struct deadline d;
	const struct registry_options *o;
	struct stored *here; /* all names of the store */
	size_t n_here;
	struct kv logins;
	const char *mark; /* of the one that is used, for what has no name yet; "" without */
	struct digest index, digest; /* what was asked for, and the manifest chosen from it */
	struct manifest manifest;
	struct image_config c;
	uint64_t done, total;
};

static void say(void *arg, const char *line)
{
	const struct pull *p = arg;

	if (p->progress->say)
		p->progress->say(p->progress->arg, line);
}

static void came(void *arg, uint64_t bytes)
{
	struct pull *p = arg;

	p->done += bytes;
	if (p->progress->bytes && p->total)
		p->progress->bytes(p->progress->arg, p->done < p->total ? p->done : p->total,
		                   p->total);
}

/* One document by tag or digest, kept as a blob. */
static int fetch(struct pull *p, const char *what, struct digest *d, struct manifest *manifest,
                 struct err *e)
{
	struct buf text = { 0 };
	char *type = NULL;
	int rc = registry_manifest(p->r, p->ref.path, what, &text, &type, p->d, e);

	if (rc == 0 && (rc = manifest_parse(buf_str(&text), type, p->p, manifest, e)) < 0)
		err_wrap(e, "manifest");
	if (rc == 0)
		rc = imgstore_put_blob(p->s, buf_str(&text), d, p->d, e);
	free(type);
	buf_free(&text);
	return rc;
}

static int fetch_manifest(struct pull *p, struct err *e)
{
	struct manifest first = { 0 };
	int rc = fetch(p, *p->ref.digest ? p->ref.digest : p->ref.tag, &p->index, &first, e);

	if (rc == 0 && !first.is_index) {
		p->digest = p->index;
		p->manifest = first;
		return 0;
	}
	if (rc == 0)
		rc = fetch(p, first.best.digest.text, &p->digest, &p->manifest, e);
	if (rc == 0 && p->manifest.is_index)
		rc = err_set(e, ERR_PARSE, 0, "an index names another index");
	manifest_free(&first);
	return rc;
}

/* The caller's own login for an image of that full name; "": whoever works here may have it. */
static void login_mark(const struct registry_options *o, const char *full, struct digest *mark)
{
	char *host = mem_dupn(full, strcspn(full, "/"));
	const struct registry_login *l = registry_given_login(o, host);
	struct buf b = { 0 };

	*mark = (struct digest){ "" };
	if (l) {
		buf_addf(&b, "%s\n%s\n%s\n%s", full, l->user ? l->user : "",
		         l->password ? l->password : "",
		         l->identity_token ? l->identity_token : "");
		digest_of(buf_str(&b), mark);
	}
	buf_wipe(&b);
	free(host);
}

/* What logins brought, or what was made of it, is for those who have the same ones: all others ask the registry, in their
 * own name. */
static bool is_for(const struct registry_options *o, const struct stored *i)
{
	for (size_t k = 0; k < i->logins.n; k++) {
		struct digest mark;

		login_mark(o, i->logins.pairs[k].key, &mark);
		if (strcmp(mark.text, i->logins.pairs[k].value) != 0)
			return false;
	}
	return true;
}

static bool has(const struct digest *list, size_t n, const struct digest *d)
{
	for (size_t i = 0; i < n; i++)
		if (digest_eq(&list[i], d))
			return true;
	return false;
}

/* A manifest may name any blob, and a configuration any layer. Whether a name that is for us has both: then they may be taken
 * and are known to belong together. diff_id: of a layer's blob, or NULL. */
static bool is_known(const struct pull *p, const struct digest *blob, const struct digest *diff_id)
{
	for (size_t i = 0; i < p->n_here; i++) {
		const struct stored *here = &p->here[i];

		if (has(here->blobs, here->n_blobs, blob) &&
		    (!diff_id || has(here->layers, here->n_layers, diff_id)) && is_for(p->o, here))
			return true;
	}
	return false;
}

static int fetch_blob(struct pull *p, const struct blob_ref *ref, bool known, struct err *e)
{
	struct blob_in *b = NULL;
	int rc = blob_begin(p->s, &ref->digest, ref->size, known ? NULL : p->mark, &b, p->d, e);

	if (rc < 0 || !b) {
		if (rc == 0)
			came(p, (uint64_t)ref->size);
		return rc;
	}
	came(p, blob_have(b));
	if (blob_have(b) < (uint64_t)ref->size)
		rc = registry_blob(p->r, p->ref.path, &ref->digest, b, p->d, e);
	if (rc == 0)
		rc = blob_commit(b, e);
	blob_free(b);
	return rc;
}

static int fetch_config(struct pull *p, struct err *e)
{
	struct stored i = { .name = p->ref.name, .config = p->manifest.config.digest };
	bool known = is_known(p, &i.config, NULL);

	if (p->manifest.config.size > CONFIG_MAX)
		return err_set(e, ERR_LIMIT, 0, "its configuration has %lld bytes",
		               (long long)p->manifest.config.size);
	if (fetch_blob(p, &p->manifest.config, known, e) < 0 ||
	    images_config(p->s, &i, &p->c, e) < 0)
		return -1;
	if (p->c.n_diff_ids != p->manifest.n_layers)
		return err_set(e, ERR_PARSE, 0,
		               "the manifest has %zu layers and the configuration %zu",
		               p->manifest.n_layers, p->c.n_diff_ids);
	return 0;
}

static int fetch_layers(struct pull *p, struct err *e)
{
	struct unpackers u = { .s = p->s, .until = p->d };
	int rc = 0;

	p->done = 0;
	for (size_t i = 0; i < p->manifest.n_layers; i++)
		p->total += (uint64_t)p->manifest.layers[i].size;
	for (size_t i = 0; rc == 0 && i < p->manifest.n_layers; i++) {
		const struct digest *blob = &p->manifest.layers[i].digest;
		bool known = is_known(p, blob, &p->c.diff_ids[i]);

		rc = fetch_blob(p, &p->manifest.layers[i], known, e);
		if (rc == 0)
			rc = unpackers_add(&u, blob, &p->c.diff_ids[i], !known, e);
	}
	if (rc == 0)
		rc = unpackers_wait(&u, e);
	unpackers_end(&u);
	return rc;
}

static int run(struct pull *p, const char *full, bool *changed, struct err *e)
{
	struct stored before = { 0 };
	struct err ignored = { 0 };

	(void)imgstore_find(p->s, full, &before, &ignored);
	if (fetch_manifest(p, e) < 0 || fetch_config(p, e) < 0 || fetch_layers(p, e) < 0 ||
	    images_complete(p->s, &p->digest, &p->index, full, &p->logins, p->d, e) < 0) {
		stored_free(&before);
		return -1;
	}
	*changed = !digest_eq(&before.manifest, &p->digest);
	stored_free(&before);
	return 0;
}

static int run_at(struct pull *p, const char *host, const struct registry_options *o,
                  const char *full, bool *changed, struct err *e)
{
	int rc = registry_open(&p->r, host, o, e);

	p->done = p->total = 0;
	if (rc == 0)
		rc = run(p, full, changed, e);
	registry_close(p->r);
	manifest_free(&p->manifest);
	image_config_free(&p->c);
	p->r = NULL;
	return rc;
}

static bool run_mirror(struct pull *p, const char *mirror, const struct registry_options *o,
                       const char *full, bool *changed)
{
	struct err why = { 0 };

	if (run_at(p, mirror, o, full, changed, &why) == 0)
		return true;
	err_wrap(&why, "mirror %s", mirror);
	say(p, why.msg);
	return false;
}

/* One of them had it all. */
static bool run_mirrors(struct pull *p, const struct registry_options *o, const char *full,
                        bool *changed)
{
	struct buf mirror = { 0 };
	bool done = false;

	for (size_t i = 0; i < o->n_mirrors && !done; i++)
		done = strcmp(o->mirrors[i].host, p->ref.domain) == 0 &&
		       run_mirror(p, o->mirrors[i].mirror, o, full, changed);
	for (size_t i = 0; !done && where_mirror(p->ref.domain, i, &mirror); i++) {
		done = run_mirror(p, buf_cstr(&mirror), o, full, changed);
		buf_reset(&mirror);
	}
	buf_free(&mirror);
	return done;
}

int images_pull(struct imgstore *s, const char *ref, const struct registry_options *o,
                const struct platform *platform, const struct pull_progress *progress,
                bool *changed, struct deadline d, struct err *e)
{
	struct pull p = { .s = s, .p = platform, .progress = progress, .d = d };
	struct registry_options opt = *o;
	struct buf full = { 0 };
	struct digest mark;
	size_t damaged;
	int rc = images_full_name(ref, &full, e);

	p.o = &opt;
	opt.say = say;
	opt.came = came;
	opt.arg = &p;
	if (rc == 0)
		login_mark(o, buf_cstr(&full), &mark);
	if (rc == 0 && *mark.text)
		kv_set(&p.logins, buf_cstr(&full), mark.text);
	p.mark = rc == 0 && *mark.text ? digest_hex(&mark) : "";
	if (rc == 0)
		rc = imgstore_list(s, &p.here, &p.n_here, &damaged, e);
	if (rc == 0)
		rc = image_ref_parse(ref, &p.ref, e);
	if (rc == 0 && !run_mirrors(&p, &opt, buf_cstr(&full), changed) &&
	    (rc = run_at(&p, p.ref.domain, &opt, buf_cstr(&full), changed, e)) < 0)
		err_wrap(e, "pull %s", ref);
	image_ref_free(&p.ref);
	kv_free(&p.logins);
	stored_list_free(p.here, p.n_here);
	buf_free(&full);
	return rc;
}

/* The registry is away, or so busy: what is here may serve. */
static bool is_away(const struct err *e)
{
	return e->kind == ERR_CONNECT || e->kind == ERR_RESOLVE || e->kind == ERR_TIMEOUT ||
	       e->kind == ERR_CLOSED || (e->kind == ERR_HTTP && e->code >= 429);
}

/* What the name has by now, which somebody else may have pulled at the same time. */
static int find_ours(struct imgstore *s, const char *ref, const struct registry_options *o,
                     struct stored *i, struct err *e)
{
	if (images_find(s, ref, i, e) < 0)
		return -1;
	return is_for(o, i) ? 0
	                    : err_set(e, ERR_NOT_FOUND, 0,
	                              "another login brought image %s meanwhile: try again", ref);
}

int images_get(struct imgstore *s, const char *ref, enum pull_when when,
               const struct registry_options *o, const struct platform *p,
               const struct pull_progress *progress, const char *holder, struct deadline d,
               struct rootfs *r, struct err *e)
{
	struct stored here = { 0 };
	struct err why = { 0 }, asked = { 0 };
	bool changed, found = images_find(s, ref, &here, &why) == 0,
		      other = found && !is_for(o, &here);
	int rc = found ? 0 : -1;

	if (other)
		rc = err_set(&why, ERR_NOT_FOUND, 0,
		             "image %s is here, but a login brought it that is not given now", ref);
	if (when == PULL_ALWAYS || (when == PULL_MISSING && rc < 0)) {
		bool may_stay = rc == 0;

		rc = images_pull(s, ref, o, p, progress, &changed, d, &asked);
		if (rc < 0 && may_stay && is_away(&asked)) {
			if (progress->say)
				progress->say(progress->arg, asked.msg);
			rc = 0;
		} else if (rc == 0) {
			stored_free(&here);
			rc = find_ours(s, ref, o, &here, &asked);
		} else if (other) {
			err_wrap(&asked, "%s", why.msg);
		}
		why = asked;
	}
	if (rc == 0)
		return images_rootfs_found(s, &here, holder, d, r, e);
	stored_free(&here);
	*r = (struct rootfs){ 0 };
	*e = why;
	return -1;
}
