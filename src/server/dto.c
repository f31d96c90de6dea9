/* SPDX-License-Identifier: Apache-2.0 */
/* See dto.h. Types are checked in the document's order, required values in that of the table. */
#include "server/dto.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *kind_of(struct json v)
{
	return json_is_object(v)   ? "object"
	       : json_is_array(v)  ? "array"
	       : json_is_string(v) ? "string"
	       : json_is_bool(v)   ? "bool"
	                           : "number";
}

static const char *type_name(const struct dto_field *f, struct buf *b)
{
	static const char *const names[] = {
		[DTO_STRING] = "string",
		[DTO_UINT64] = "uint64",
		[DTO_UINT32] = "uint32",
		[DTO_INT] = "int",
		[DTO_BOOL] = "bool",
		[DTO_STRINGS] = "[]string",
		[DTO_MAP] = "map[string]string",
		[DTO_OBJECT_MAP] = "map[string]",
		[DTO_OBJECT] = "",
		[DTO_POINTER] = "",
		[DTO_OBJECTS] = "[]",
	};

	if (f->go_type)
		return f->go_type;
	buf_adds(b, names[f->type]);
	if (f->of)
		buf_addf(b, "%s.%s", f->of->package, f->of->name);
	return buf_cstr(b);
}

static bool mismatch(const char *what, struct str number, const struct dto *outer, const char *path,
                     const char *type, struct buf *why)
{
	buf_addf(why, "json: cannot unmarshal %s%s%.*s into Go struct field %s.%s of type %s", what,
	         number.n ? " " : "", STR_ARG(number), outer->name, path, type);
	return false;
}

static bool number_fits(const struct dto_field *f, struct json v)
{
	int64_t n;

	if (f->type == DTO_INT)
		return json_i64(v, INT64_MIN, INT64_MAX, &n);
	return json_i64(v, 0, f->type == DTO_UINT32 ? UINT32_MAX : INT64_MAX, &n);
}

static bool check_types(const struct dto *d, struct json obj, const char *prefix, struct buf *why);

static bool check_elements(const struct dto_field *f, struct json v, const struct dto *outer,
                           const char *path, struct buf *why)
{
	bool strings = f->type == DTO_STRINGS || f->type == DTO_MAP;
	struct buf name = { 0 };
	bool ok = true;

	for (struct json member = json_first(v); ok && json_present(member);
	     member = json_next(member)) {
		if (json_is_null(member))
			continue;
		if (strings && !json_is_string(member)) {
			ok = mismatch(kind_of(member), (struct str){ NULL, 0 }, outer, path,
			              "string", why);
		} else if (!strings && !json_is_object(member)) {
			buf_addf(&name, "%s.%s", f->of->package, f->of->name);
			ok = mismatch(kind_of(member), (struct str){ NULL, 0 }, outer, path,
			              buf_cstr(&name), why);
		} else if (!strings) {
			ok = check_types(f->of, member, path, why);
		}
	}
	buf_free(&name);
	return ok;
}

static bool check_field(const struct dto_field *f, struct json v, const struct dto *outer,
                        const char *path, struct buf *why)
{
	struct buf name = { 0 };
	struct str number = { NULL, 0 };
	bool array = f->type == DTO_STRINGS || f->type == DTO_OBJECTS;
	bool fits;

	if (json_is_null(v))
		return true;
	switch (f->type) {
	case DTO_STRING:
		fits = json_is_string(v);
		break;
	case DTO_BOOL:
		fits = json_is_bool(v);
		break;
	case DTO_UINT64:
	case DTO_UINT32:
	case DTO_INT:
		fits = json_is_number(v) && number_fits(f, v);
		if (!fits && json_is_number(v))
			number = json_raw(v);
		break;
	default:
		fits = array ? json_is_array(v) : json_is_object(v);
		break;
	}
	if (!fits) {
		mismatch(kind_of(v), number, outer, path, type_name(f, &name), why);
		buf_free(&name);
		return false;
	}
	if (f->type == DTO_OBJECT || f->type == DTO_POINTER)
		return check_types(f->of, v, path, why);
	if (array || f->type == DTO_MAP || f->type == DTO_OBJECT_MAP)
		return check_elements(f, v, outer, path, why);
	return true;
}

static const struct dto_field *field_of(const struct dto *d, const char *key)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->fields[i].json, key) == 0)
			return &d->fields[i];
	for (size_t i = 0; i < d->n; i++)
		if (strcasecmp(d->fields[i].json, key) == 0)
			return &d->fields[i];
	return NULL;
}

static bool check_types(const struct dto *d, struct json obj, const char *prefix, struct buf *why)
{
	bool ok = true;

	for (struct json member = json_first(obj); ok && json_present(member);
	     member = json_next(member)) {
		struct buf key = { 0 }, path = { 0 };
		const struct dto_field *f;

		json_key(member, &key);
		f = field_of(d, buf_cstr(&key));
		if (f) {
			buf_addf(&path, "%s%s%s", prefix, prefix[0] ? "." : "", f->json);
			ok = check_field(f, member, d, buf_cstr(&path), why);
		}
		buf_free(&key);
		buf_free(&path);
	}
	return ok;
}

static bool is_zero(const struct dto_field *f, struct json v)
{
	int64_t n;

	switch (f->type) {
	case DTO_STRING:
		return !json_is_string(v) || json_str_is(v, "");
	case DTO_UINT64:
	case DTO_UINT32:
	case DTO_INT:
		return !json_i64(v, INT64_MIN, INT64_MAX, &n) || n == 0;
	case DTO_BOOL:
		return !json_bool(v, false);
	default:
		return json_is_null(v);
	}
}

static void add_go_name(struct buf *b, const struct dto_field *f)
{
	const char *name = f->renamed ? f->json + strlen(f->json) + 1 : f->json;

	buf_addc(b, (char)toupper((unsigned char)name[0]));
	buf_adds(b, name + 1);
}

static void check_required(const struct dto *d, struct json obj, const char *space, struct buf *why)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct dto_field *f = &d->fields[i];
		struct json v = json_get(obj, f->json);
		struct buf inner = { 0 }, name = { 0 };

		add_go_name(&name, f);
		buf_addf(&inner, "%s.%s", space, buf_cstr(&name));
		if (f->required && f->type != DTO_OBJECT && is_zero(f, v))
			buf_addf(why,
			         "%sKey: '%s' Error:Field validation for '%s' failed on the "
			         "'required' tag",
			         why->n ? "\n" : "", buf_cstr(&inner), buf_cstr(&name));
		else if (f->type == DTO_OBJECT || (f->type == DTO_POINTER && !json_is_null(v)))
			check_required(f->of, v, buf_cstr(&inner), why);
		buf_free(&inner);
		buf_free(&name);
	}
}

bool dto_check(const struct dto *d, struct json v, struct buf *why)
{
	bool map = !d->fields; /* a bare map of strings */

	if (!json_is_object(v) && !json_is_null(v)) {
		buf_addf(why, "json: cannot unmarshal %s into Go value of type %s%s%s", kind_of(v),
		         d->package, map ? "" : ".", d->name);
		return false;
	}
	if (map) {
		for (struct json member = json_first(v); json_present(member);
		     member = json_next(member)) {
			if (json_is_string(member) || json_is_null(member))
				continue;
			buf_addf(why, "json: cannot unmarshal %s into Go value of type string",
			         kind_of(member));
			return false;
		}
		return true;
	}
	if (!check_types(d, v, "", why))
		return false;
	check_required(d, v, d->name, why);
	return why->n == 0;
}
