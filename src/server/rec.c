/* SPDX-License-Identifier: Apache-2.0 */
/* See rec.h. */
#include "server/rec_impl.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>

/* Names that nearly every field has: they are not copied. */
static const char *const known[] = {
	"action",         "agentless",
	"alias",          "apiKey",
	"buildConfig",    "canceled",
	"claimedBy",      "containerConfig",
	"createdAt",      "default",
	"deleted",        "envVars",
	"error",          "gitProviderConfigId",
	"hash",           "id",
	"image",          "key",
	"labels",         "linked",
	"mdGit",          "mdJobs",
	"mdProviders",    "mdUpdated",
	"mdUptime",       "metadata",
	"name",           "options",
	"prebuildId",     "providerId",
	"providerInfo",   "providerMetadata",
	"repository",     "repositoryUrl",
	"resourceId",     "resourceType",
	"runnerId",       "state",
	"targetConfigId", "targetId",
	"token",          "type",
	"updatedAt",      "user",
	"username",       "value",
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

static void set_name(struct field *f, const char *name)
{
	const char *const *at = bsearch(name, known, ARRAY_LEN(known), sizeof(known[0]), by_name);

	f->own_name = !at;
	f->name = at ? *at : mem_dup(name);
}

static void name_free(struct field *f)
{
	union {
		const char *borrowed;
		char *owned;
	} u = { .borrowed = f->name };

	if (f->own_name)
		free(u.owned);
}

struct rec *rec_new(int kind)
{
	struct rec *r = mem_alloc(sizeof(*r));

	r->kind = kind;
	return r;
}

static void fields_free(struct rec *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		name_free(&r->fields[i]);
		mem_free_secret(r->fields[i].value);
	}
	free(r->fields);
	r->fields = NULL;
	r->n = r->room = 0;
}

void rec_free(struct rec *r)
{
	if (!r)
		return;
	fields_free(r);
	free(r);
}

struct rec *rec_copy(const struct rec *r)
{
	struct rec *copy = rec_new(r->kind);

	copy->seq = r->seq;
	copy->marks = r->marks;
	copy->n = copy->room = r->n;
	copy->fields = mem_array(r->n, sizeof(*copy->fields));
	for (unsigned i = 0; i < r->n; i++) {
		set_name(&copy->fields[i], r->fields[i].name);
		copy->fields[i].value = mem_dup(r->fields[i].value);
		copy->fields[i].raw = r->fields[i].raw;
	}
	return copy;
}

void rec_swap(struct rec *a, struct rec *b)
{
	struct field *fields = a->fields;
	unsigned n = a->n, room = a->room;
	uint16_t marks = a->marks;

	a->marks = b->marks;
	b->marks = marks;
	a->fields = b->fields;
	a->n = b->n;
	a->room = b->room;
	b->fields = fields;
	b->n = n;
	b->room = room;
}

int rec_kind(const struct rec *r)
{
	return r->kind;
}

int64_t rec_seq(const struct rec *r)
{
	return r->seq;
}

static struct field *find(const struct rec *r, const char *name)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->fields[i].name, name) == 0)
			return &r->fields[i];
	return NULL;
}

const char *rec_value(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);

	return f ? f->value : NULL;
}

static bool has_same(const struct rec *r, const struct field *f)
{
	const struct field *other = find(r, f->name);

	return other && other->raw == f->raw && strcmp(other->value, f->value) == 0;
}

bool rec_differ_beyond(const struct rec *a, const struct rec *b, const char *prefix)
{
	for (unsigned i = 0; i < a->n; i++)
		if (!str_starts(str_of(a->fields[i].name), prefix) && !has_same(b, &a->fields[i]))
			return true;
	for (unsigned i = 0; i < b->n; i++)
		if (!str_starts(str_of(b->fields[i].name), prefix) && !find(a, b->fields[i].name))
			return true;
	return false;
}

const char *rec_get(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);

	return f && !f->raw ? f->value : NULL;
}

const char *rec_text(const struct rec *r, const char *name)
{
	const char *value = rec_get(r, name);

	return value ? value : "";
}

struct str rec_json(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);

	return f && f->raw ? str_of(f->value) : (struct str){ NULL, 0 };
}

bool rec_is(const struct rec *r, const char *name, const char *value)
{
	const char *have = rec_get(r, name);

	return have && strcmp(have, value) == 0;
}

bool rec_has(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);

	return f && !(f->raw && strcmp(f->value, "null") == 0);
}

bool rec_bool(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);

	return f && f->raw && strcmp(f->value, "true") == 0;
}

int64_t rec_int(const struct rec *r, const char *name)
{
	const struct field *f = find(r, name);
	int64_t value;

	if (!f || !f->raw || !str_to_i64(str_of(f->value), INT64_MIN, INT64_MAX, &value))
		return 0;
	return value;
}

uint16_t rec_marks(const struct rec *r)
{
	return r->marks;
}

uint16_t rec_mark_of(struct str text)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 16777619u;
	return (uint16_t)(1u << (h >> 28));
}

static uint16_t marks_of(struct str labels)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(labels, SIZE_MAX, &e);
	struct buf label = { 0 }, part = { 0 };
	uint16_t marks = 0;

	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		buf_reset(&label);
		buf_reset(&part);
		json_key(member, &part);
		jw_str(&label, buf_str(&part));
		buf_addc(&label, ':');
		buf_reset(&part);
		json_string(member, &part);
		jw_str(&label, buf_str(&part));
		marks |= rec_mark_of(buf_str(&label));
	}
	buf_free(&label);
	buf_free(&part);
	json_doc_free(doc);
	return marks;
}

/* f NULL: another one. */
static void set_field(struct rec *r, struct field *f, const char *name, struct str value, bool raw)
{
	char *copy = mem_dupn(value.p ? value.p : "", value.n);

	if (!f) {
		if (r->n == r->room)
			r->fields = mem_realloc(r->fields, ++r->room * sizeof(*f));
		f = &r->fields[r->n++];
		*f = (struct field){ 0 };
		set_name(f, name);
	} else {
		mem_free_secret(f->value);
	}
	f->value = copy;
	f->raw = raw;
	if (strcmp(name, "labels") == 0)
		r->marks = marks_of(str_of(copy));
}

static void set(struct rec *r, const char *name, struct str value, bool raw)
{
	set_field(r, find(r, name), name, value, raw);
}

void rec_set(struct rec *r, const char *name, const char *value)
{
	set(r, name, value ? str_of(value) : STR_LIT("null"), !value);
}

void rec_set_json(struct rec *r, const char *name, struct str json)
{
	set(r, name, json, true);
}

void rec_set_int(struct rec *r, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)value);
	set(r, name, str_of(text), true);
}

void rec_set_bool(struct rec *r, const char *name, bool value)
{
	set(r, name, value ? STR_LIT("true") : STR_LIT("false"), true);
}

void rec_set_value(struct rec *r, const char *name, struct json v)
{
	char *text = json_dup(v);

	if (text)
		set(r, name, str_of(text), false);
	else if (json_is_null(v))
		set(r, name, STR_LIT("null"), true);
	else
		set(r, name, json_raw(v), true);
	mem_free_secret(text);
}

void rec_write(const struct rec *r, struct buf *b, const char *name, const char *as)
{
	const struct field *f = find(r, name);

	jw_key(b, as ? as : name);
	if (!f)
		jw_null(b);
	else if (f->raw)
		jw_raw(b, str_of(f->value));
	else
		jw_str(b, str_of(f->value));
}

void rec_write_all(const struct rec *r, struct buf *b)
{
	jw_obj(b);
	jw_kint(b, "seq", r->seq);
	for (unsigned i = 0; i < r->n; i++)
		rec_write(r, b, r->fields[i].name, NULL);
	jw_obj_end(b);
}

void rec_write_some(const struct rec *r, struct buf *b, const char *prefix)
{
	jw_obj(b);
	for (unsigned i = 0; i < r->n; i++)
		if (str_starts(str_of(r->fields[i].name), prefix))
			rec_write(r, b, r->fields[i].name, NULL);
	jw_obj_end(b);
}

void rec_take_some(struct rec *r, struct json obj, const char *prefix)
{
	for (struct json member = json_first(obj); json_present(member);
	     member = json_next(member)) {
		struct buf key = { 0 };

		json_key(member, &key);
		if (str_starts(buf_str(&key), prefix))
			rec_set_value(r, buf_cstr(&key), member);
		buf_free(&key);
	}
}

/* As rec_set_value, for many and without a look at those there are: the bufs are used again. A text with a NUL is kept
 * as JSON. */
static void read_field(struct rec *r, struct json member, struct buf *key, struct buf *text)
{
	buf_reset(text);
	if (json_string(member, text) && !memchr(buf_cstr(text), '\0', text->n))
		set_field(r, NULL, buf_cstr(key), buf_str(text), false);
	else
		set_field(r, NULL, buf_cstr(key), json_raw(member), true);
}

bool rec_read_all(struct rec *r, struct json obj)
{
	struct buf key = { 0 }, text = { 0 };
	bool ok = false;

	fields_free(r);
	r->room = (unsigned)json_len(obj);
	r->fields = mem_array(r->room, sizeof(*r->fields));
	for (struct json member = json_first(obj); json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		if (strcmp(buf_cstr(&key), "seq") == 0)
			ok = json_i64(member, 0, INT64_MAX, &r->seq);
		else
			read_field(r, member, &key, &text);
	}
	buf_wipe(&key);
	buf_wipe(&text);
	return ok;
}
