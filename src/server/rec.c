/* SPDX-License-Identifier: Apache-2.0 */
/* See rec.h. */
#include "server/rec_impl.h"

#include "base/json_check.h"
#include "base/json_skim.h"
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

static int order(struct str name, const char *other)
{
	int d = name.p[0] - other[0];

	if (d == 0)
		d = strncmp(name.p, other, name.n);
	return d == 0 && other[name.n] ? -1 : d;
}

static bool set_known_name(struct field *f, struct str name)
{
	size_t from = 0, to = name.n ? ARRAY_LEN(known) : 0;

	while (from < to) {
		size_t i = (from + to) / 2;
		int d = order(name, known[i]);

		if (d == 0) {
			f->name = known[i];
			f->own_name = false;
			return true;
		}
		*(d < 0 ? &to : &from) = i + (d > 0);
	}
	return false;
}

static void set_name(struct field *f, struct str name)
{
	f->own_name = !set_known_name(f, name);
	if (f->own_name)
		f->name = mem_dupn(name.p, name.n);
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

static void value_free(struct field *f)
{
	if (f->in_block)
		mem_wipe(f->value, strlen(f->value));
	else
		mem_free_secret(f->value);
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
		value_free(&r->fields[i]);
	}
	free(r->fields);
	mem_wipe(r->block, r->block_n);
	free(r->block);
	r->fields = NULL;
	r->block = NULL;
	r->block_n = 0;
	r->n = r->room = 0;
}

/* The values of all fields have been put together in values: they get a block of their own. */
static void move_to_block(struct rec *r, const struct buf *values)
{
	r->block = mem_dupn(values->p, values->n);
	r->block_n = values->n;
	for (unsigned i = 0; i < r->n; i++) {
		r->fields[i].value = r->block + (r->fields[i].value - values->p);
		r->fields[i].in_block = true;
	}
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
	size_t bytes = 0;

	copy->seq = r->seq;
	copy->marks = r->marks;
	copy->n = copy->room = r->n;
	copy->fields = mem_array(r->n, sizeof(*copy->fields));
	for (unsigned i = 0; i < r->n; i++)
		bytes += strlen(r->fields[i].value) + 1;
	copy->block = mem_alloc(bytes);
	for (unsigned i = 0; i < r->n; i++) {
		struct field *to = &copy->fields[i];
		size_t n = strlen(r->fields[i].value) + 1;

		to->own_name = r->fields[i].own_name;
		to->name = to->own_name ? mem_dup(r->fields[i].name) : r->fields[i].name;
		to->value = memcpy(copy->block + copy->block_n, r->fields[i].value, n);
		to->raw = r->fields[i].raw;
		to->in_block = true;
		copy->block_n += n;
	}
	return copy;
}

void rec_swap(struct rec *a, struct rec *b)
{
	struct rec was = *a;

	a->marks = b->marks;
	a->fields = b->fields;
	a->n = b->n;
	a->room = b->room;
	a->block = b->block;
	a->block_n = b->block_n;
	b->marks = was.marks;
	b->fields = was.fields;
	b->n = was.n;
	b->room = was.room;
	b->block = was.block;
	b->block_n = was.block_n;
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
		if (r->fields[i].name[0] == name[0] && strcmp(r->fields[i].name, name) == 0)
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

static uint32_t hash(uint32_t h, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 16777619u; /* FNV-1a */
	return h;
}

#define HASH_BEGIN 2166136261u

static uint16_t mark(uint32_t h)
{
	return (uint16_t)(1u << (h >> 28));
}

uint16_t rec_mark_of(struct str text)
{
	return mark(hash(HASH_BEGIN, text));
}

/* As they are written there: others are not found by their marks, nor by their text. */
static uint16_t marks_of(struct str labels)
{
	struct json_skim k = json_skim(labels);
	struct str key, value;
	uint16_t marks = 0;

	while (json_skim_next(&k, &key, &value)) {
		uint32_t h = hash(hash(HASH_BEGIN, STR_LIT("\"")), key);

		marks |= mark(hash(hash(h, STR_LIT("\":")), value));
	}
	return marks;
}

static void set(struct rec *r, const char *name, struct str value, bool raw)
{
	struct field *f = find(r, name);
	char *copy = mem_dupn(value.p ? value.p : "", value.n);

	if (!f) {
		if (r->n == r->room)
			r->fields = mem_realloc(r->fields, ++r->room * sizeof(*f));
		f = &r->fields[r->n++];
		*f = (struct field){ 0 };
		set_name(f, str_of(name));
	} else {
		value_free(f);
	}
	f->value = copy;
	f->in_block = false;
	f->raw = raw;
	if (strcmp(name, "labels") == 0)
		r->marks = marks_of(str_of(copy));
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

/* Adds a value as it is kept: decoded, but a text with a NUL stays JSON. False: it is JSON. */
static bool add_value(struct buf *values, struct str value)
{
	struct str text = json_skim_string(value);
	size_t from = values->n;

	if (text.p) {
		json_unescape(text, values);
		if (!memchr(values->p + from, '\0', values->n - from))
			return true;
		values->n = from;
	}
	buf_add_str(values, value);
	return false;
}

void rec_take_some(struct rec *r, struct str obj, const char *prefix)
{
	struct json_skim k = json_skim(obj);
	struct buf name = { 0 }, text = { 0 };
	struct str key, value;

	while (json_skim_next(&k, &key, &value)) {
		buf_reset(&name);
		buf_reset(&text);
		json_unescape(key, &name);
		if (str_starts(buf_str(&name), prefix)) {
			bool raw = !add_value(&text, value);

			set(r, buf_cstr(&name), buf_str(&text), raw);
		}
	}
	buf_free(&name);
	buf_free(&text);
}

/* A value's bytes and what they become: one that is no UTF-8 becomes three. */
#define DECODED_MAX 3
#define FIELDS_MANY 64

bool rec_read_all(struct rec *r, struct str obj)
{
	struct json_skim k = json_skim(obj);
	struct buf values = { 0 }, fields = { 0 };
	struct str key, value;
	bool ok = false;

	fields_free(r);
	buf_reserve(&values, DECODED_MAX * obj.n + 1); /* it stays where it is */
	buf_reserve(&fields, FIELDS_MANY * sizeof(struct field));
	while (json_skim_next(&k, &key, &value)) {
		struct field f = { .value = values.p + values.n };

		if (key.n == 3 && memcmp(key.p, "seq", 3) == 0) {
			ok = str_to_i64(value, 0, INT64_MAX, &r->seq);
			continue;
		}
		f.raw = !add_value(&values, value);
		buf_addc(&values, '\0');
		if (!set_known_name(&f, key)) {
			struct buf name = { 0 };

			json_unescape(key, &name);
			set_name(&f, str_of(buf_cstr(&name)));
			buf_free(&name);
		}
		if (f.name[0] == 'l' && strcmp(f.name, "labels") == 0)
			r->marks = marks_of(value);
		buf_add(&fields, &f, sizeof(f));
		r->n++;
	}
	r->room = r->n;
	r->fields = mem_array(r->n, sizeof(*r->fields));
	if (r->n)
		memcpy(r->fields, fields.p, fields.n);
	move_to_block(r, &values);
	buf_wipe(&values);
	buf_free(&fields);
	return ok;
}
