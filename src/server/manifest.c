/* SPDX-License-Identifier: Apache-2.0 */
/* See manifest.h. */
#include "server/manifest.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"

#define MANIFEST_MAX (1u << 20)

static const char built_in[] = "{\"docker-provider\":{\"default\":false,\"label\":\"Docker\","
			       "\"versions\":{\"latest\":{\"downloadUrls\":{}},"
			       "\"v" DR_VERSION "\":{\"downloadUrls\":{}}}},"
			       "\"native-provider\":{\"default\":false,\"label\":\"Native\","
			       "\"versions\":{\"latest\":{\"downloadUrls\":{}},"
			       "\"v" DR_VERSION "\":{\"downloadUrls\":{}}}}}";

static void read_text(const struct srv *s, struct buf *text)
{
	char *path = store_path(&s->store, "providers/manifest.json");
	struct err e = { 0 };

	if (file_read(path, MANIFEST_MAX, text, &e) < 0) {
		if (e.kind != ERR_NOT_FOUND)
			log_warn("server: %s", e.msg);
		buf_reset(text);
		buf_adds(text, built_in);
	}
	free(path);
}

static struct json_doc *load(const struct srv *s)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	read_text(s, &text);
	doc = json_parse(buf_str(&text), MANIFEST_MAX, &e);
	if (!doc)
		log_warn("server: providers/manifest.json: %s", e.msg);
	buf_free(&text);
	return doc;
}

void manifest_urls(const struct srv *s, const char *name, const char *version, struct buf *b)
{
	struct json_doc *doc = load(s);
	struct json versions = json_get(json_get(json_root(doc), name), "versions");

	normal_map(b, json_get(json_get(versions, version), "downloadUrls"));
	json_doc_free(doc);
}

/* Three numbers of "v1.2.3…"; false for anything else, "latest" too. */
static bool version_parts(const char *text, int64_t out[3])
{
	struct str rest = str_of(text), piece;
	bool ok = true;

	if (rest.n && rest.p[0] == 'v')
		rest = str_of(text + 1);
	for (int i = 0; i < 3; i++) {
		size_t n = 0;

		if (!str_next(&rest, '.', &piece))
			return false;
		while (n < piece.n && piece.p[n] >= '0' && piece.p[n] <= '9')
			n++;
		piece.n = i == 2 ? n : piece.n; /* "3-rc1" counts as 3 */
		ok = ok && str_to_i64(piece, 0, INT32_MAX, &out[i]);
	}
	return ok;
}

static bool is_newer(const char *a, const char *b)
{
	int64_t x[3] = { 0 }, y[3] = { -1, 0, 0 };

	if (!version_parts(a, x))
		return false;
	if (!version_parts(b, y))
		return true;
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] > y[i];
	return false;
}

struct entry {
	char *name, *label, *version;
	bool latest;
};

static int by_name(const void *a, const void *b)
{
	const struct entry *entry = a, *y = b;
	int order = strcmp(entry->name, y->name);

	return order ? order : strcmp(entry->version, y->version);
}

static size_t add_versions(struct entry *list, size_t n, const char *name, struct json provider)
{
	size_t first = n, best = SIZE_MAX;

	for (struct json v = json_first(json_get(provider, "versions")); json_present(v);
	     v = json_next(v)) {
		struct buf version = { 0 };

		json_key(v, &version);
		list[n] = (struct entry){ mem_dup(name), json_dup(json_get(provider, "label")),
			                  buf_take(&version), false };
		if (is_newer(list[n].version, best == SIZE_MAX ? "" : list[best].version))
			best = n;
		n++;
	}
	if (best != SIZE_MAX && best >= first)
		list[best].latest = true;
	return n;
}

void h_providers_for_install(struct call *c)
{
	struct json_doc *doc = load(c->s);
	struct json root = json_root(doc);
	struct buf b = { 0 };
	size_t n = 0, all = 0;

	for (struct json p = json_first(root); json_present(p); p = json_next(p))
		all += json_len(json_get(p, "versions"));
	struct entry *list = mem_array(all + 1, sizeof(*list));

	for (struct json p = json_first(root); json_present(p); p = json_next(p)) {
		struct buf name = { 0 };

		json_key(p, &name);
		n = add_versions(list, n, buf_cstr(&name), p);
		buf_free(&name);
	}
	qsort(list, n, sizeof(*list), by_name);
	jw_arr(&b);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&b);
		jw_kstr(&b, "name", list[i].name);
		jw_kstr(&b, "label", list[i].label);
		jw_kstr(&b, "version", list[i].version);
		jw_kbool(&b, "latest", list[i].latest);
		jw_obj_end(&b);
		free(list[i].name);
		free(list[i].label);
		free(list[i].version);
	}
	jw_arr_end(&b);
	free(list);
	json_doc_free(doc);
	reply_json(c, 200, &b);
}

void h_manifest(struct call *c)
{
	struct buf text = { 0 };

	read_text(c->s, &text);
	reply_json(c, 200, &text);
}
