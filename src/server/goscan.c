/* SPDX-License-Identifier: Apache-2.0 */
/* See goscan.h. */
#include "server/goscan.h"

#include "base/json.h"

struct scan {
	struct str text;
	size_t at;
	int depth;
	struct buf *why;
};

static bool value(struct scan *s);

/* -1 at the end. */
static int peek(const struct scan *s)
{
	return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : -1;
}

static void skip_space(struct scan *s)
{
	while (s->at < s->text.n && s->text.p[s->at] && strchr(" \t\r\n", s->text.p[s->at]))
		s->at++;
}

static void add_quoted(struct buf *b, unsigned char c)
{
	static const char named[] = "\a\b\f\n\r\t\v", letters[] = "abfnrtv";
	const char *escape = c ? strchr(named, c) : NULL;

	if (c == '\'')
		buf_adds(b, "'\\''");
	else if (c == '"')
		buf_adds(b, "'\"'");
	else if (escape)
		buf_addf(b, "'\\%c'", letters[escape - named]);
	else if (c == '\\')
		buf_adds(b, "'\\\\'");
	else if (c < 0x20 || c == 0x7f)
		buf_addf(b, "'\\x%02x'", c);
	else if (c < 0x7f)
		buf_addf(b, "'%c'", c);
	else if (c <= 0xa0 || c == 0xad)
		buf_addf(b, "'\\u00%02x'", c);
	else
		buf_addf(b, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

/* The character at hand does not fit: always false. */
static bool bad(struct scan *s, const char *where)
{
	int c = peek(s);

	if (c < 0) {
		buf_adds(s->why, "unexpected EOF");
		return false;
	}
	buf_adds(s->why, "invalid character ");
	add_quoted(s->why, (unsigned char)c);
	buf_addf(s->why, " %s", where);
	return false;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool escape(struct scan *s)
{
	int c = peek(s);

	if (c == 'u') {
		bool zero = true;

		for (int i = 0; i < 4; i++) {
			s->at++;
			if (str_hex_digit(peek(s)) < 0)
				return bad(s, "in \\u hexadecimal character escape");
			zero = zero && peek(s) == '0';
		}
		if (zero) {
			buf_adds(s->why, "a NUL character in a string is not supported");
			return false;
		}
	} else if (c <= 0 || !strchr("\"\\/bfnrt", c)) {
		return bad(s, "in string escape code");
	}
	s->at++;
	return true;
}

static bool string(struct scan *s)
{
	s->at++;
	for (;;) {
		int c = peek(s);

		if (c < 0x20)
			return bad(s, "in string literal");
		s->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !escape(s))
			return false;
	}
}

static bool digits(struct scan *s, const char *where)
{
	if (!is_digit(peek(s)))
		return bad(s, where);
	while (is_digit(peek(s)))
		s->at++;
	return true;
}

static bool number(struct scan *s)
{
	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (!digits(s, "in numeric literal"))
		return false;
	if (peek(s) == '.') {
		s->at++;
		if (!digits(s, "after decimal point in numeric literal"))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		return digits(s, "in exponent of numeric literal");
	}
	return true;
}

static bool literal(struct scan *s, const char *word)
{
	for (size_t i = 1; word[i]; i++) {
		char where[48];

		s->at++;
		snprintf(where, sizeof(where), "in literal %s (expecting '%c')", word, word[i]);
		if (peek(s) != word[i])
			return bad(s, where);
	}
	s->at++;
	return true;
}

static bool member(struct scan *s)
{
	skip_space(s);
	if (peek(s) != '"')
		return bad(s, "looking for beginning of object key string");
	if (!string(s))
		return false;
	skip_space(s);
	if (peek(s) != ':')
		return bad(s, "after object key");
	s->at++;
	return value(s);
}

/* Members or elements up to and with the closing character. */
static bool sequence(struct scan *s, char close, bool (*item)(struct scan *s), const char *after)
{
	s->at++;
	skip_space(s);
	if (peek(s) == close) {
		s->at++;
		return true;
	}
	for (;;) {
		if (!item(s))
			return false;
		skip_space(s);
		int c = peek(s);

		if (c != ',' && c != close)
			return bad(s, after);
		s->at++;
		if (c == close)
			return true;
	}
}

static bool compound(struct scan *s)
{
	bool ok;

	if (++s->depth > JSON_DEPTH_MAX) {
		buf_adds(s->why, "exceeded max depth");
		return false;
	}
	if (peek(s) == '{')
		ok = sequence(s, '}', member, "after object key:value pair");
	else
		ok = sequence(s, ']', value, "after array element");
	s->depth--;
	return ok;
}

static bool value(struct scan *s)
{
	skip_space(s);
	switch (peek(s)) {
	case '{':
	case '[':
		return compound(s);
	case '"':
		return string(s);
	case 't':
		return literal(s, "true");
	case 'f':
		return literal(s, "false");
	case 'n':
		return literal(s, "null");
	default:
		if (is_digit(peek(s)) || peek(s) == '-')
			return number(s);
		return bad(s, "looking for beginning of value");
	}
}

size_t goscan_value(struct str text, struct buf *why)
{
	struct scan s = { .text = text, .why = why };

	skip_space(&s);
	if (peek(&s) < 0) {
		buf_adds(why, "EOF");
		return 0;
	}
	return value(&s) ? s.at : 0;
}
