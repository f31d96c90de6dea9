/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON (RFC 8259): jsmn tokenises, a pass of our own validates (pairs, commas, literals,
 * numbers, one root, no tail, UTF-8, depth, size). Lookups on absent values are absent, so they
 * chain and are checked once, at the leaf. Key match is exact, else case folded when the exact
 * key is missing (the Server's spelling differs by direction, protocol 9.1); of duplicate keys the last counts.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 64

struct json_doc; /* owns a copy of the text and its tokens */

struct json {
	const struct json_doc *doc; /* NULL: absent */
	int tok;
};

/* NULL with ERR_PARSE (offset in the text) or ERR_LIMIT. max: bytes of text. Memory is bounded by
 * about 20 bytes for each byte of text of the densest kind. */
struct json_doc *json_parse(struct str text, size_t max, struct err *e);
/* As json_parse after removal of comments and trailing commas (JSONC, for devcontainer.json). */
struct json_doc *json_parse_jsonc(struct str text, size_t max, struct err *e);
void json_doc_free(struct json_doc *doc); /* NULL is fine; wipes the text */
struct json json_root(const struct json_doc *doc);

bool json_present(struct json v); /* there at all, null included */
bool json_is_null(struct json v); /* null or absent */
bool json_is_object(struct json v);
bool json_is_array(struct json v);
bool json_is_string(struct json v);
bool json_is_number(struct json v);
bool json_is_bool(struct json v);

struct json json_get(struct json obj, const char *key);
/* jsontwin.c: a member of obj occurs twice, also in another spelling (escaped; fold: in other case): name receives it. Who
 * decides by such a document would decide by the one or the other. The second looks into all objects below v too. */
bool json_twin(struct json obj, bool fold, struct buf *name);
bool json_any_twin(struct json v, struct buf *name);
size_t json_len(struct json v); /* members or elements; 0 for anything else */
/* Iteration, O(1) a step: for (struct json member = json_first(v); json_present(member); member = json_next(member)).
 * For an object member is the value; json_key(member) decodes its key. */
struct json json_first(struct json v);
struct json json_next(struct json member);
void json_key(struct json member, struct buf *out); /* appends */
/* The source text of a value (a string with its quotes). Borrowed from doc. */
struct str json_raw(struct json v);

/* Decoded string appended to out; false (out unchanged) if it is no string. Lone surrogates become
 * U+FFFD. \u0000 is refused by json_dup and json_copy, appended as a NUL byte here. */
bool json_string(struct json v, struct buf *out);
/* Caller frees. NULL if v is absent, null, no string, or contains NUL. */
char *json_dup(struct json v);
/* As json_dup, but "" instead of NULL. */
char *json_dup_or_empty(struct json v);
/* Integers only: no 1.0, no 1e3. */
bool json_i64(struct json v, int64_t min, int64_t max, int64_t *out);
bool json_bool(struct json v, bool fallback);
bool json_str_is(struct json v, const char *s); /* a string that decodes to s */

#endif
