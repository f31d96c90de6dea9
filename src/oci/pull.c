/* SPDX-License-Identifier: Apache-2.0 */
/* See pull.h. */
#include "oci/pull.h"

#include "base/file.h"
#include "base/mem.h"
#include "oci/decode.h"
#include "oci/image_ref.h"
#include "oci/unpack.h"
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
	struct stored *held; /* and what is in use, maybe under none */
	size_t n_here, n_held;
	struct kv logins;
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

/* A manifest may name any blob, and a configuration any layer: what is here by others' logins alone is theirs, also when no
 * name leads to it any more. diff_id: of a layer's blob, or NULL. */
static bool is_theirs(const struct pull *p, const struct digest *blob, const struct digest *diff_id)
{
	bool any = false;

	for (size_t i = 0; i < p->n_here; i++) {
		const struct stored *here = &p->here[i];
		bool packed = has(here->blobs, here->n_blobs, blob);
		bool unpacked = diff_id && has(here->layers, here->n_layers, diff_id);

		if (packed && (unpacked || !diff_id) && is_for(p->o, here))
			return false;
		any |= packed || unpacked;
	}
	for (size_t i = 0; i < p->n_held && !any; i++)
		any = has(p->held[i].blobs, p->held[i].n_blobs, blob) ||
		      (diff_id && has(p->held[i].layers, p->held[i].n_layers, diff_id));
	return any;
}

static int hash(void *arg, struct str bytes, struct err *e)
{
	(void)e;
	sha256_add(arg, bytes.p, bytes.n);
	return 0;
}

/* As an unpacking would find out. */
static int check_unpacked(struct pull *p, const struct digest *blob, const struct digest *diff_id,
                          struct err *e)
{
	struct sha256 *sum = sha256_new();
	struct decode *decode = decode_new((struct sink){ hash, sum }, UNPACK_BYTES_MAX);
	int fd = imgstore_open_blob(p->s, blob, e);
	int rc = fd < 0 ? -1 : decode_file(decode, fd, p->d, NULL, e);
	struct digest is;

	digest_end(sum, &is);
	if (rc == 0 && !digest_eq(&is, diff_id))
		rc = err_set(e, ERR_PARSE, 0, "layer %s is not what it should be: its digest is %s",
		             diff_id->text, is.text);
	decode_free(decode);
	fd_close(&fd);
	return rc;
}

static int fetch_blob(struct pull *p, const struct blob_ref *ref, const struct digest *diff_id,
                      struct err *e)
{
	bool theirs = is_theirs(p, &ref->digest, diff_id);
	struct blob_in *b = NULL;
	int rc = theirs ? blob_begin_again(p->s, &ref->digest, ref->size, &b, e)
	                : blob_begin(p->s, &ref->digest, ref->size, &b, p->d, e);

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
	if (rc == 0 && theirs && diff_id)
		rc = check_unpacked(p, &ref->digest, diff_id, e);
	return rc;
}

static int fetch_config(struct pull *p, struct err *e)
{
	struct stored i = { .name = p->ref.name, .config = p->manifest.config.digest };

	if (p->manifest.config.size > CONFIG_MAX)
		return err_set(e, ERR_LIMIT, 0, "its configuration has %lld bytes",
		               (long long)p->manifest.config.size);
	if (fetch_blob(p, &p->manifest.config, NULL, e) < 0 ||
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
		rc = fetch_blob(p, &p->manifest.layers[i], &p->c.diff_ids[i], e);
		if (rc == 0)
			rc = unpackers_add(&u, &p->manifest.layers[i].digest, &p->c.diff_ids[i], e);
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
	if (rc == 0)
		rc = imgstore_list(s, &p.here, &p.n_here, &damaged, e);
	if (rc == 0)
		rc = imgstore_list_held(s, &p.held, &p.n_held, e);
	if (rc == 0)
		rc = image_ref_parse(ref, &p.ref, e);
	if (rc == 0 && !run_mirrors(&p, &opt, buf_cstr(&full), changed) &&
	    (rc = run_at(&p, p.ref.domain, &opt, buf_cstr(&full), changed, e)) < 0)
		err_wrap(e, "pull %s", ref);
	image_ref_free(&p.ref);
	kv_free(&p.logins);
	stored_list_free(p.here, p.n_here);
	stored_list_free(p.held, p.n_held);
	buf_free(&full);
	return rc;
}

/* The registry is away, or so busy: what is here may serve. */
static bool is_away(const struct err *e)
{
	return e->kind == ERR_CONNECT || e->kind == ERR_RESOLVE || e->kind == ERR_TIMEOUT ||
	       e->kind == ERR_CLOSED || (e->kind == ERR_HTTP && e->code >= 429);
}

int images_get(struct imgstore *s, const char *ref, enum pull_when when,
               const struct registry_options *o, const struct platform *p,
               const struct pull_progress *progress, const char *holder, struct deadline d,
               struct rootfs *r, struct err *e)
{
	struct stored here = { 0 };
	struct err why = { 0 };
	bool changed, found = images_find(s, ref, &here, &why) == 0,
		      other = found && !is_for(o, &here);
	int rc = 0;

	stored_free(&here);
	if (other)
		rc = err_set(&why, ERR_NOT_FOUND, 0,
		             "image %s is here, but a login brought it that is not given now", ref);
	if (when == PULL_ALWAYS || (when == PULL_MISSING && (!found || other))) {
		struct err asked = { 0 };

		rc = images_pull(s, ref, o, p, progress, &changed, d, &asked);
		if (rc < 0 && found && !other && is_away(&asked)) {
			if (progress->say)
				progress->say(progress->arg, asked.msg);
			rc = 0;
		}
		if (rc < 0 && other)
			err_wrap(&asked, "%s", why.msg);
		why = asked;
	}
	if (rc < 0) {
		*r = (struct rootfs){ 0 };
		*e = why;
		return -1;
	}
	return images_rootfs(s, ref, holder, d, r, e);
}
