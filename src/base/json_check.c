/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See json_check.h. The grammar is a loop over three states with one bit for each open level, so
 * depth costs no stack and input of any shape is read once.
 */
#include "base/json_check.h"

#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char replacement[] = "\xEF\xBF\xBD";

struct reader {
	const char *p;
	size_t n;
	char *jsonc; /* p, to be written; NULL: JSON alone is taken */
	size_t i;
	size_t tokens;
	unsigned depth;
	uint64_t objects; /* bit of a level is set if it is an object */
	struct err *e;
};

/* The text itself is not quoted: it may hold secrets. */
static int bad(struct reader *r, size_t at, const char *what)
{
	size_t line = 1;

	if (r->jsonc && r->n - at >= 2 &&
	    memcmp(r->p + at, "/*", 2) == 0) /* one that ends is blank */
		what = "a comment does not end";
	for (size_t i = 0; i < at && i < r->n; i++)
		line += r->p[i] == '\n';
	if (line > 1)
		return err_set(r->e, ERR_PARSE, 0, "invalid JSON at byte %zu, line %zu: %s", at,
		               line, what);
	return err_set(r->e, ERR_PARSE, 0, "invalid JSON at byte %zu: %s", at, what);
}

static char peek(const struct reader *r)
{
	return r->i < r->n ? r->p[r->i] : '\0';
}

/* Makes spaces of the comment at r->i but for its line ends; false if there is none, or it does not end. */
static bool blank_comment(struct reader *r)
{
	size_t n = r->n - r->i, end;
	char *p = r->jsonc + r->i, *at;

	if (n < 2 || p[0] != '/' || (p[1] != '/' && p[1] != '*'))
		return false;
	at = p[1] == '/' ? memchr(p, '\n', n) : memmem(p + 2, n - 2, "*/", 2);
	if (!at && p[1] == '*')
		return false;
	end = !at ? n : (size_t)(at - p) + (p[1] == '*' ? 2 : 0);
	for (size_t i = 0; i < end; i++)
		p[i] = p[i] == '\n' ? '\n' : ' ';
	return true;
}

static void skip_space(struct reader *r)
{
	while (r->i < r->n) {
		char c = r->p[r->i];

		if (c != ' ' && c != '\t' && c != '\r' && c != '\n' &&
		    !(r->jsonc && blank_comment(r)))
			return;
		r->i++;
	}
}

static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int d = str_hex_digit(p[i]);

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static int check_escape(struct reader *r)
{
	char c = r->i + 1 < r->n ? r->p[r->i + 1] : '\0';

	if (c == 'u') {
		if (r->n - r->i < 6 || hex4(r->p + r->i + 2) < 0)
			return bad(r, r->i, "\\u needs four hexadecimal digits");
		r->i += 6;
		return 0;
	}
	if (!c || !strchr("\"\\/bfnrt", c))
		return bad(r, r->i, "unknown escape");
	r->i += 2;
	return 0;
}

static int check_string(struct reader *r)
{
	size_t start = r->i++;

	r->tokens++;
	while ((r->i += str_plain_run(r->p + r->i, r->n - r->i)) < r->n) {
		unsigned char c = (unsigned char)r->p[r->i];

		if (c == '"') {
			r->i++;
			return 0;
		}
		if (c < 0x20)
			return bad(r, r->i, "control byte in a string");
		if (c != '\\')
			r->i++;
		else if (check_escape(r) < 0)
			return -1;
	}
	return bad(r, start, "a string does not end");
}

static size_t skip_digits(struct reader *r)
{
	size_t start = r->i;

	while (peek(r) >= '0' && peek(r) <= '9')
		r->i++;
	return r->i - start;
}

static int check_number(struct reader *r)
{
	size_t start = r->i;
	size_t digits;
	bool zero;

	if (peek(r) == '-')
		r->i++;
	zero = peek(r) == '0';
	digits = skip_digits(r);
	if (digits == 0 || (zero && digits > 1))
		return bad(r, start, "malformed number");
	if (peek(r) == '.') {
		r->i++;
		if (skip_digits(r) == 0)
			return bad(r, start, "malformed number");
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->i++;
		if (peek(r) == '+' || peek(r) == '-')
			r->i++;
		if (skip_digits(r) == 0)
			return bad(r, start, "malformed number");
	}
	return 0;
}

static int check_scalar(struct reader *r)
{
	static const struct str literals[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
	char c = peek(r);

	if (c == '"')
		return check_string(r);
	r->tokens++;
	if (c == '-' || (c >= '0' && c <= '9'))
		return check_number(r);
	for (size_t k = 0; k < ARRAY_LEN(literals); k++) {
		size_t n = literals[k].n;

		if (r->n - r->i >= n && memcmp(r->p + r->i, literals[k].p, n) == 0) {
			r->i += n;
			return 0;
		}
	}
	return bad(r, r->i,
	           r->i < r->n ? "a value is expected" : "the text ends where a value is expected");
}

static bool in_object(const struct reader *r)
{
	return r->objects >> (r->depth - 1) & 1;
}

static int open_level(struct reader *r)
{
	uint64_t bit;

	if (r->depth == JSON_DEPTH_MAX)
		return err_set(r->e, ERR_LIMIT, 0, "JSON is nested more than %d levels deep",
		               JSON_DEPTH_MAX);
	bit = (uint64_t)1 << r->depth;
	r->objects = peek(r) == '{' ? r->objects | bit : r->objects & ~bit;
	r->depth++;
	r->tokens++;
	r->i++;
	return 0;
}

static int check_key(struct reader *r)
{
	skip_space(r);
	if (peek(r) != '"')
		return bad(r, r->i, "a key in quotes is expected");
	if (check_string(r) < 0)
		return -1;
	skip_space(r);
	if (peek(r) != ':')
		return bad(r, r->i, "a colon is expected");
	r->i++;
	return 0;
}

/* Reads a value; *opened tells that it is a container with something in it, still to be read. */
static int check_value(struct reader *r, bool *opened)
{
	char c;

	skip_space(r);
	c = peek(r);
	*opened = false;
	if (c != '{' && c != '[')
		return check_scalar(r);
	if (open_level(r) < 0)
		return -1;
	skip_space(r);
	if (peek(r) == (c == '{' ? '}' : ']')) {
		r->i++;
		r->depth--;
		return 0;
	}
	*opened = true;
	return in_object(r) ? check_key(r) : 0;
}

/* Behind a value: closes levels until a comma announces another one, or the root is complete. */
static int check_after(struct reader *r, bool *more)
{
	*more = false;
	while (r->depth) {
		char c;

		skip_space(r);
		c = peek(r);
		if (c == ',') {
			size_t comma = r->i++;

			skip_space(r);
			if (r->jsonc && (peek(r) == '}' || peek(r) == ']')) {
				r->jsonc[comma] = ' ';
				continue;
			}
			*more = true;
			return in_object(r) ? check_key(r) : 0;
		}
		if (c != (in_object(r) ? '}' : ']'))
			return bad(r, r->i,
			           r->i < r->n ? "a comma or the end of the container is expected"
			                       : "the text ends inside a container");
		r->i++;
		r->depth--;
	}
	return 0;
}

_Static_assert(JSON_DEPTH_MAX <= 64, "one bit of `objects` for each level");

int json_check(struct str text, char *jsonc, size_t *tokens, struct err *e)
{
	struct reader r = { .p = text.p, .n = text.n, .jsonc = jsonc, .e = e };
	bool opened, more = true;

	if (jsonc && text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
		memset(jsonc, ' ', 3);
	while (more) {
		if (check_value(&r, &opened) < 0)
			return -1;
		if (!opened && check_after(&r, &more) < 0)
			return -1;
	}
	skip_space(&r);
	if (r.i < r.n)
		return bad(&r, r.i, "something follows the value");
	*tokens = r.tokens;
	return 0;
}

static void add_utf8(struct buf *out, uint32_t c)
{
	char s[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };

	for (size_t i = n; i-- > 1; c >>= 6)
		s[i] = (char)(0x80 | (c & 0x3F));
	s[0] = (char)(lead[n] | c);
	buf_add(out, s, n);
}

/* Decodes the \u at raw.p; returns how many bytes it took. */
static size_t add_code_point(struct str raw, struct buf *out)
{
	int hi = hex4(raw.p + 2);
	int lo = -1;

	if (hi < 0xD800 || hi > 0xDFFF) {
		add_utf8(out, (uint32_t)hi);
		return 6;
	}
	if (hi < 0xDC00 && raw.n >= 12 && raw.p[6] == '\\' && raw.p[7] == 'u')
		lo = hex4(raw.p + 8);
	if (lo < 0xDC00 || lo > 0xDFFF) {
		buf_adds(out, replacement);
		return 6;
	}
	add_utf8(out, 0x10000 + ((uint32_t)(hi - 0xD800) << 10) + (uint32_t)(lo - 0xDC00));
	return 12;
}

static size_t add_escape(struct str raw, struct buf *out)
{
	static const char from[] = "bfnrt";
	static const char to[] = "\b\f\n\r\t";
	const char *at = strchr(from, raw.p[1]);

	if (raw.p[1] == 'u')
		return add_code_point(raw, out);
	buf_addc(out, at ? to[at - from] : raw.p[1]);
	return 2;
}

void json_unescape(struct str raw, struct buf *out)
{
	while (raw.n) {
		size_t run = str_plain_run(raw.p, raw.n);
		size_t step = 1;

		if (run) {
			buf_add(out, raw.p, run);
			step = run;
		} else if (raw.p[0] == '\\') {
			step = add_escape(raw, out);
		} else {
			int len = str_utf8_len(raw.p, raw.n);

			if (len > 0)
				step = (size_t)len;
			buf_add(out, len > 0 ? raw.p : replacement, len > 0 ? step : 3);
		}
		raw.p += step;
		raw.n -= step;
	}
}
