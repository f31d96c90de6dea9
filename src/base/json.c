/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See json.h. jsmn does not validate, so json_check.c reads the text before it and refuses all
 * that RFC 8259 does not allow; what jsmn then sees is JSON, with a known number of tokens.
 */
#include "base/json.h"

#include "base/json_check.h"
#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include "jsmn.h"

/* After parsing, a token's `size` holds the index behind its last descendant instead of a count. */
struct json_doc {
	char *text;
	size_t n;
	jsmntok_t *tok;
	int n_tok;
};

static void link_siblings(struct json_doc *doc)
{
	for (int i = 0; i < doc->n_tok; i++)
		doc->tok[i].size = i + 1;
	for (int i = doc->n_tok - 1; i > 0; i--) {
		jsmntok_t *parent = &doc->tok[doc->tok[i].parent];

		if (parent->size < doc->tok[i].size)
			parent->size = doc->tok[i].size;
	}
}

static int tokenise(struct json_doc *doc, size_t tokens, struct err *e)
{
	jsmn_parser parser;
	int got;

	if (tokens > INT_MAX / sizeof(jsmntok_t))
		return err_set(e, ERR_LIMIT, 0, "JSON has %zu values, too many", tokens);
	doc->tok = mem_array(tokens, sizeof(jsmntok_t));
	jsmn_init(&parser);
	/* With the LF that follows the text: in strict mode a number at its very end is incomplete. */
	got = jsmn_parse(&parser, doc->text, doc->n + 1, doc->tok, (unsigned)tokens);
	if (got < 0 || (size_t)got != tokens)
		return err_set(e, ERR_PARSE, 0, "invalid JSON: tokeniser gives %d for %zu values",
		               got, tokens);
	doc->n_tok = got;
	link_siblings(doc);
	return 0;
}

static struct json_doc *parse(struct str text, size_t max, bool jsonc, struct err *e)
{
	struct json_doc *doc;
	size_t tokens;

	if (text.n > max || text.n >= INT_MAX - 1) {
		err_set(e, ERR_LIMIT, 0, "JSON of %zu bytes, at most %zu are taken", text.n, max);
		return NULL;
	}
	doc = mem_alloc(sizeof(*doc));
	doc->n = text.n;
	doc->text = mem_alloc(text.n + 2);
	if (text.n)
		memcpy(doc->text, text.p, text.n);
	doc->text[text.n] = '\n';
	if (json_check((struct str){ doc->text, doc->n }, jsonc ? doc->text : NULL, &tokens, e) <
	            0 ||
	    tokenise(doc, tokens, e) < 0) {
		json_doc_free(doc);
		return NULL;
	}
	return doc;
}

struct json_doc *json_parse(struct str text, size_t max, struct err *e)
{
	return parse(text, max, false, e);
}

struct json_doc *json_parse_jsonc(struct str text, size_t max, struct err *e)
{
	return parse(text, max, true, e);
}

void json_doc_free(struct json_doc *doc)
{
	if (!doc)
		return;
	mem_wipe(doc->text, doc->n);
	free(doc->text);
	free(doc->tok);
	free(doc);
}

struct json json_root(const struct json_doc *doc)
{
	return (struct json){ doc, 0 };
}

/* v is present. */
static const jsmntok_t *token(struct json v)
{
	return &v.doc->tok[v.tok];
}

static bool is_type(struct json v, jsmntype_t type)
{
	return v.doc && token(v)->type == type;
}

/* First byte of a literal or number; 0 for anything else. */
static char primitive(struct json v)
{
	return is_type(v, JSMN_PRIMITIVE) ? v.doc->text[token(v)->start] : '\0';
}

bool json_present(struct json v)
{
	return v.doc != NULL;
}

bool json_is_null(struct json v)
{
	return !v.doc || primitive(v) == 'n';
}

bool json_is_object(struct json v)
{
	return is_type(v, JSMN_OBJECT);
}

bool json_is_array(struct json v)
{
	return is_type(v, JSMN_ARRAY);
}

bool json_is_string(struct json v)
{
	return is_type(v, JSMN_STRING);
}

bool json_is_number(struct json v)
{
	char c = primitive(v);

	return c == '-' || (c >= '0' && c <= '9');
}

bool json_is_bool(struct json v)
{
	char c = primitive(v);

	return c == 't' || c == 'f';
}

/* The member or element that begins at token i of container, if there is one. */
static struct json child_at(struct json container, int i)
{
	const struct json_doc *doc = container.doc;

	if (i >= doc->n_tok || doc->tok[i].start >= token(container)->end)
		return (struct json){ 0 };
	return (struct json){ doc, json_is_object(container) ? i + 1 : i };
}

struct json json_first(struct json v)
{
	if (!json_is_object(v) && !json_is_array(v))
		return (struct json){ 0 };
	return child_at(v, v.tok + 1);
}

struct json json_next(struct json member)
{
	struct json container = member;

	if (!member.doc)
		return member;
	container.tok = token(member)->parent;
	if (container.tok >= 0 && json_is_string(container)) /* that is the key */
		container.tok = token(container)->parent;
	if (container.tok < 0)
		return (struct json){ 0 };
	return child_at(container, token(member)->size);
}

size_t json_len(struct json v)
{
	size_t n = 0;

	for (struct json member = json_first(v); json_present(member); member = json_next(member))
		n++;
	return n;
}

static struct str inside(const struct json_doc *doc, const jsmntok_t *t)
{
	return (struct str){ doc->text + t->start, (size_t)(t->end - t->start) };
}

/* member is a member of an object. */
static struct str raw_key(struct json member)
{
	return inside(member.doc, &member.doc->tok[token(member)->parent]);
}

void json_key(struct json member, struct buf *out)
{
	if (member.doc && token(member)->parent >= 0 &&
	    member.doc->tok[token(member)->parent].type == JSMN_STRING)
		json_unescape(raw_key(member), out);
}

/* Whether what stands between the quotes is already what it means. */
static bool is_plain(struct str raw)
{
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\' || (unsigned char)raw.p[i] >= 0x80)
			return false;
	}
	return true;
}

static bool same(struct str raw, const char *want, bool fold)
{
	struct buf plain = { 0 };
	bool equal;

	if (is_plain(raw))
		return fold ? str_ieq(raw, want) : str_eq(raw, want);
	json_unescape(raw, &plain);
	equal = fold ? str_ieq(buf_str(&plain), want) : str_eq(buf_str(&plain), want);
	buf_wipe(&plain);
	return equal;
}

struct json json_get(struct json obj, const char *key)
{
	struct json exact = { 0 }, folded = { 0 };

	if (!json_is_object(obj))
		return exact;
	for (struct json member = json_first(obj); json_present(member);
	     member = json_next(member)) {
		struct str raw = raw_key(member);

		if (same(raw, key, false))
			exact = member;
		else if (same(raw, key, true))
			folded = member;
	}
	return json_present(exact) ? exact : folded;
}

struct str json_raw(struct json v)
{
	struct str raw = { 0 };

	if (!v.doc)
		return raw;
	raw = inside(v.doc, token(v));
	if (json_is_string(v)) {
		raw.p--;
		raw.n += 2;
	}
	return raw;
}

bool json_string(struct json v, struct buf *out)
{
	if (!json_is_string(v))
		return false;
	json_unescape(inside(v.doc, token(v)), out);
	return true;
}

char *json_dup(struct json v)
{
	struct buf b = { 0 };

	if (!json_string(v, &b))
		return NULL;
	if (b.n && memchr(b.p, '\0', b.n)) {
		buf_wipe(&b);
		return NULL;
	}
	return buf_take(&b);
}

char *json_dup_or_empty(struct json v)
{
	char *s = json_dup(v);

	return s ? s : mem_alloc(1);
}

bool json_i64(struct json v, int64_t min, int64_t max, int64_t *out)
{
	return json_is_number(v) && str_to_i64(json_raw(v), min, max, out);
}

bool json_bool(struct json v, bool fallback)
{
	return json_is_bool(v) ? primitive(v) == 't' : fallback;
}

bool json_str_is(struct json v, const char *s)
{
	return json_is_string(v) && same(inside(v.doc, token(v)), s, false);
}
