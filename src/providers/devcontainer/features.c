/* SPDX-License-Identifier: Apache-2.0 */
/* See features.h: what is asked for, in which order, and the build that it comes to. Nothing here does I/O but by fetch. */
#include "providers/devcontainer/features.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define USER_MAX 256

/* A name's version: behind the last ':' or the '@' of its last part. */
static size_t version_at(const char *ref)
{
	const char *slash = strrchr(ref, '/'), *from = slash ? slash : ref;

	return (size_t)(from - ref) + strcspn(from, ":@");
}

static bool is_local(const char *ref)
{
	return ref[0] == '.' && (ref[1] == '/' || (ref[1] == '.' && ref[2] == '/'));
}

bool feature_is_url(const char *ref)
{
	return strncmp(ref, "https://", 8) == 0 || strncmp(ref, "http://", 7) == 0;
}

/* Options are an object, a version, or just true. NULL: it is not wanted (false), or e is set. */
static struct json_doc *options_of(const char *ref, struct json v, struct err *e)
{
	struct buf b = { 0 };
	struct json_doc *doc = NULL;

	if (json_len(v) > DC_LIST_MAX) {
		err_set(e, ERR_LIMIT, 0, "feature \"%.200s\" has more than %d options", ref,
		        DC_LIST_MAX);
	} else if (json_is_object(v)) {
		buf_add_str(&b, json_raw(v));
	} else if (json_is_string(v)) {
		jw_obj(&b);
		jw_key(&b, "version");
		jw_raw(&b, json_raw(v));
		jw_obj_end(&b);
	} else if (json_bool(v, false)) {
		buf_adds(&b, "{}");
	} else if (!json_is_bool(v)) {
		err_set(e, ERR_CONFIG, 0,
		        "feature \"%.200s\": its options are neither an object nor a version", ref);
	}
	if (b.n)
		doc = json_parse(buf_str(&b), FEATURE_JSON_MAX, e);
	buf_free(&b);
	return doc;
}

static int check_ref(const char *ref, struct err *e)
{
	if (is_local(ref))
		return 0;
	if (feature_is_url(ref)) {
		const char *name = strrchr(ref, '/') + 1;

		if (strncmp(name, "devcontainer-feature-", 21) == 0 &&
		    str_ends(str_of(name), ".tgz"))
			return 0;
		return err_set(
			e, ERR_CONFIG, 0,
			"feature \"%.200s\": an archive by URL is named devcontainer-feature-NAME.tgz",
			ref);
	}
	if (!strchr(ref, '/'))
		return err_set(
			e, ERR_CONFIG, 0,
			"feature \"%.200s\" names no registry; is ghcr.io/devcontainers/features/%.100s "
			"meant?",
			ref, ref);
	return 0;
}

/* Adds a reference with its options, once. *at: its number; FEATURES_MAX: it is not wanted. */
static int add(struct features *fs, const char *name, struct json options, size_t *at,
               struct err *e)
{
	struct json_doc *given;
	struct feature *f;
	char *ref;

	*at = FEATURES_MAX;
	if (check_ref(name, e) < 0)
		return -1;
	given = options_of(name, options, e);
	if (!given)
		return e->kind ? -1 : 0;
	ref = mem_dup(name);
	for (char *p = ref; *p && !is_local(name) && !feature_is_url(name); p++)
		*p = (char)tolower((unsigned char)*p);
	for (*at = 0; *at < fs->n; ++*at) {
		struct str have = json_raw(json_root(fs->list[*at].given));
		struct str want = json_raw(json_root(given));

		if (strcmp(fs->list[*at].ref, ref) == 0 && have.n == want.n &&
		    memcmp(have.p, want.p, want.n) == 0)
			break;
	}
	if (*at < fs->n || fs->n == FEATURES_MAX) {
		json_doc_free(given);
		free(ref);
		return *at < fs->n
		               ? 0
		               : err_set(e, ERR_LIMIT, 0, "more than %d features", FEATURES_MAX);
	}
	f = &fs->list[fs->n++];
	*f = (struct feature){ .ref = ref, .given = given };
	f->resource = mem_dupn(ref, is_local(ref) ? strlen(ref) : version_at(ref));
	return 0;
}

static int add_all(struct features *fs, struct json map, uint64_t *bits, struct err *e)
{
	for (struct json member = json_first(map); json_is_object(map) && json_present(member);
	     member = json_next(member)) {
		struct buf name = { 0 };
		size_t at;
		int rc;

		json_key(member, &name);
		rc = add(fs, buf_cstr(&name), member, &at, e);
		buf_free(&name);
		if (rc < 0)
			return -1;
		if (at < FEATURES_MAX)
			*bits |= UINT64_C(1) << at;
	}
	return 0;
}

int features_collect(struct features *fs, struct json root, const char *dir,
                     feature_fetch_fn *fetch, void *arg, struct err *e)
{
	uint64_t asked = 0;

	*fs = (struct features){ 0 };
	if (add_all(fs, json_get(root, "features"), &asked, e) < 0)
		return -1;
	for (size_t i = 0; i < fs->n; i++) {
		struct feature *f = &fs->list[i];
		struct buf path = { 0 }, json = { 0 };
		int rc;

		buf_addf(&path, "%s/%zu.tar", dir, i);
		rc = fetch(arg, f, buf_cstr(&path), &json, e);
		if (rc == 0) {
			f->doc = json_parse_jsonc(buf_str(&json), FEATURE_JSON_MAX, e);
			rc = f->doc ? 0 : -1;
		}
		if (rc == 0 && !json_is_object(json_root(f->doc)))
			rc = err_set(e, ERR_PARSE, 0, "devcontainer-feature.json is no object");
		if (rc == 0)
			rc = add_all(fs, json_get(json_root(f->doc), "dependsOn"), &f->depends, e);
		buf_free(&path);
		buf_free(&json);
		if (rc < 0)
			return err_wrap(e, "feature \"%.200s\"", f->ref);
	}
	return 0;
}

void features_free(struct features *fs)
{
	for (size_t i = 0; i < fs->n; i++) {
		free(fs->list[i].ref);
		free(fs->list[i].resource);
		json_doc_free(fs->list[i].given);
		json_doc_free(fs->list[i].doc);
	}
	*fs = (struct features){ 0 };
}

/* ---- order ---- */

/* By its name, or by the one that it calls itself or was once published under. */
static bool is_called(const struct feature *f, const char *name)
{
	struct json doc = json_root(f->doc), old = json_get(doc, "legacyIds");
	const char *slash = strrchr(f->resource, '/');
	size_t dir = slash ? (size_t)(slash - f->resource) + 1 : 0;
	bool is = strcasecmp(f->resource, name) == 0;

	if (is || !dir || strncasecmp(f->resource, name, dir) != 0)
		return is;
	is = json_str_is(json_get(doc, "id"), name + dir);
	for (struct json member = json_first(old);
	     !is && json_is_array(old) && json_present(member); member = json_next(member))
		is = json_str_is(member, name + dir);
	return is;
}

/* Of those named, whatever their version. */
static uint64_t named(const struct features *fs, struct json name)
{
	char *text = json_dup_or_empty(name);
	uint64_t bits = 0;

	if (!is_local(text))
		text[version_at(text)] = '\0';
	for (size_t i = 0; i < fs->n; i++)
		if (is_called(&fs->list[i], text))
			bits |= UINT64_C(1) << i;
	free(text);
	return bits;
}

/* Those that must come before f: what it depends on, and, where they are there at all, those that it comes after. */
static uint64_t before(const struct features *fs, size_t f)
{
	struct json after = json_get(json_root(fs->list[f].doc), "installsAfter");
	uint64_t bits = fs->list[f].depends;

	for (struct json member = json_first(after); json_is_array(after) && json_present(member);
	     member = json_next(member))
		bits |= named(fs, member);
	return bits & ~(UINT64_C(1) << f);
}

static int by_name(const struct feature *a, const struct feature *b)
{
	int by = strcmp(a->resource, b->resource);

	return by ? by : strcmp(a->ref, b->ref);
}

/* In one round: those that wait for nothing any more, of them the ones that the user wants first. */
static uint64_t ready(const struct features *fs, const uint64_t *waits, const size_t *rank,
                      uint64_t done)
{
	uint64_t bits = 0;
	size_t best = 0;

	for (size_t i = 0; i < fs->n; i++) {
		if (done >> i & 1 || waits[i] & ~done || (bits && rank[i] < best))
			continue;
		if (rank[i] > best)
			bits = 0;
		best = rank[i];
		bits |= UINT64_C(1) << i;
	}
	return bits;
}

static size_t first_by_name(const struct features *fs, uint64_t bits)
{
	size_t best = FEATURES_MAX;

	for (size_t i = 0; i < fs->n; i++)
		if (bits >> i & 1 &&
		    (best == FEATURES_MAX || by_name(&fs->list[i], &fs->list[best]) < 0))
			best = i;
	return best;
}

static int circle(const struct features *fs, uint64_t done, struct err *e)
{
	size_t i = 0;

	while (done >> i & 1)
		i++;
	return err_set(e, ERR_CONFIG, 0,
	               "features depend on each other in a circle, \"%.200s\" too",
	               fs->list[i].ref);
}

int features_order(const struct features *fs, struct json override, size_t order[FEATURES_MAX],
                   struct err *e)
{
	uint64_t waits[FEATURES_MAX], done = 0;
	size_t rank[FEATURES_MAX] = { 0 }, first = json_len(override);

	for (size_t i = 0; i < fs->n; i++)
		waits[i] = before(fs, i);
	for (struct json member = json_first(override);
	     json_is_array(override) && json_present(member); member = json_next(member), first--) {
		uint64_t bits = named(fs, member);

		for (size_t i = 0; i < fs->n; i++)
			if (bits >> i & 1 && !rank[i])
				rank[i] = first;
	}
	for (size_t n = 0; n < fs->n;) {
		uint64_t round = ready(fs, waits, rank, done);

		if (!round)
			return circle(fs, done, e);
		while (round) {
			size_t next = first_by_name(fs, round);

			order[n++] = next;
			round &= ~(UINT64_C(1) << next);
			done |= UINT64_C(1) << next;
		}
	}
	return 0;
}

/* ---- the build ---- */

/* "go-version" is GO_VERSION. */
static void variable_name(const char *option, struct buf *b)
{
	size_t digits = strspn(option, "0123456789_");

	if (digits)
		buf_addc(b, '_');
	for (const char *p = option + digits; *p; p++)
		buf_addc(b, isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_');
}

static void export_option(const char *option, struct json v, struct buf *b)
{
	char *text = json_dup(v);
	struct str raw = json_raw(v);

	if (text || json_is_bool(v) || json_is_number(v)) {
		buf_adds(b, "export ");
		variable_name(option, b);
		buf_addc(b, '=');
		buf_add_shell(b, text ? str_of(text) : raw);
		buf_addc(b, '\n');
	}
	free(text);
}

static void export_user(const char *name, const char *user, struct buf *b)
{
	buf_addf(b, "export %s=", name);
	buf_add_shell(b, str_of(user));
	buf_addf(b, "\nexport %s_HOME=\"$(home_of \"$%s\")\"\n", name, name);
}

void feature_env(const struct feature *f, const char *remote_user, const char *container_user,
                 struct buf *b)
{
	struct json given = json_root(f->given), known = json_get(json_root(f->doc), "options");
	struct buf name = { 0 };

	buf_adds(b,
	         "home_of() {\n\twhile IFS=: read -r name _ _ _ _ home _; do\n"
	         "\t\t[ \"$name\" != \"$1\" ] || printf '%s' \"$home\"\n\tdone </etc/passwd\n}\n");
	export_user("_REMOTE_USER", remote_user, b);
	export_user("_CONTAINER_USER", container_user, b);
	for (struct json member = json_first(known); json_is_object(known) && json_present(member);
	     member = json_next(member)) {
		buf_reset(&name);
		json_key(member, &name);
		if (!json_present(json_get(given, buf_cstr(&name))))
			export_option(buf_cstr(&name), json_get(member, "default"), b);
	}
	for (struct json member = json_first(given); json_present(member);
	     member = json_next(member)) {
		buf_reset(&name);
		json_key(member, &name);
		export_option(buf_cstr(&name), member, b);
	}
	buf_free(&name);
}

static bool is_variable(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

/* A builder expands "${PATH}" itself. */
static int add_env(const struct feature *f, struct buf *b, struct err *e)
{
	struct json env = json_get(json_root(f->doc), "containerEnv");
	int rc = 0;

	for (struct json member = json_first(env);
	     rc == 0 && json_is_object(env) && json_present(member); member = json_next(member)) {
		struct buf key = { 0 };
		char *value = json_dup_or_empty(member);

		json_key(member, &key);
		if (!is_variable(buf_cstr(&key)) || value[strcspn(value, "\r\n")])
			rc = err_set(
				e, ERR_CONFIG, 0,
				"feature \"%.200s\": containerEnv \"%.100s\" cannot be set in a build",
				f->ref, buf_cstr(&key));
		buf_addf(b, "ENV %s=\"", buf_cstr(&key));
		for (const char *p = value; *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_addc(b, '\\');
			buf_addc(b, *p);
		}
		buf_adds(b, "\"\n");
		free(value);
		buf_free(&key);
	}
	return rc;
}

int features_dockerfile(const struct features *fs, const size_t *order, const char *base,
                        const char *image_user, struct buf *text, struct err *e)
{
	if (strlen(image_user) > USER_MAX || image_user[strcspn(image_user, " \t\r\n\"'\\$")])
		return err_set(e, ERR_CONFIG, 0, "the image's user \"%.100s\" is no name",
		               image_user);
	buf_addf(text, "FROM %s\nUSER root\n", base);
	for (size_t i = 0; i < fs->n; i++) {
		size_t n = order[i];

		buf_addf(text, "ADD %zu.tar " FEATURE_DIR "/%zu/\n", n, n);
		buf_addf(text, "COPY %zu.env " FEATURE_DIR "/%zu.env\n", n, n);
		if (add_env(&fs->list[n], text, e) < 0)
			return -1;
		/* Whatever shell the image says: the standard one. */
		buf_addf(
			text,
			"RUN [\"/bin/sh\", \"-ec\", \"cd " FEATURE_DIR
			"/%zu; chmod +x install.sh; . ../%zu.env; ./install.sh; cd /; rm -rf " FEATURE_DIR
			"\"]\n",
			n, n);
	}
	buf_addf(text, "USER %s\n", *image_user ? image_user : "root");
	return 0;
}

void features_metadata(const struct features *fs, const size_t *order, const char *base_label,
                       struct buf *label)
{
	static const char *const keys[] = { "init",
		                            "privileged",
		                            "capAdd",
		                            "securityOpt",
		                            "entrypoint",
		                            "mounts",
		                            "customizations",
		                            "onCreateCommand",
		                            "updateContentCommand",
		                            "postCreateCommand",
		                            "postStartCommand",
		                            "postAttachCommand" };
	struct err ignored = { 0 };
	struct json_doc *doc = *base_label ? json_parse(str_of(base_label), DC_FILE_MAX, &ignored)
	                                   : NULL;
	struct json base = json_root(doc);

	jw_arr(label);
	if (json_is_object(base))
		jw_raw(label, json_raw(base));
	for (struct json member = json_first(base); json_is_array(base) && json_present(member);
	     member = json_next(member))
		jw_raw(label, json_raw(member));
	for (size_t i = 0; i < fs->n; i++) {
		const struct feature *f = &fs->list[order[i]];

		jw_obj(label);
		jw_kstr(label, "id", f->ref);
		for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
			struct json v = json_get(json_root(f->doc), keys[k]);

			if (!json_present(v))
				continue;
			jw_key(label, keys[k]);
			jw_raw(label, json_raw(v));
		}
		jw_obj_end(label);
	}
	jw_arr_end(label);
	json_doc_free(doc);
}
