/* SPDX-License-Identifier: Apache-2.0 */
/* See str.h. */
#include "base/str.h"

#include <string.h>
#include <strings.h>

struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	while (s.n && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	return s;
}

bool str_eq(struct str a, const char *b)
{
	return a.n == strlen(b) && (a.n == 0 || memcmp(a.p, b, a.n) == 0);
}

bool str_ieq(struct str a, const char *b)
{
	return a.n == strlen(b) && (a.n == 0 || strncasecmp(a.p, b, a.n) == 0);
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.n >= n && (n == 0 || memcmp(s.p + s.n - n, suffix, n) == 0);
}

const char *str_find(struct str s, const char *what)
{
	while (s.n) {
		const char *at = memchr(s.p, what[0], s.n);

		if (!at)
			return NULL;
		s.n -= (size_t)(at - s.p);
		s.p = at;
		if (str_starts(s, what))
			return at;
		s.p++;
		s.n--;
	}
	return NULL;
}

bool str_next(struct str *rest, char sep, struct str *piece)
{
	const char *end;

	if (!rest->p)
		return false;
	end = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
	if (!end) {
		*piece = *rest;
		*rest = (struct str){ 0 };
		return true;
	}
	*piece = (struct str){ rest->p, (size_t)(end - rest->p) };
	rest->n -= piece->n + 1;
	rest->p = end + 1;
	return true;
}

bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *out)
{
	bool neg = false;
	int64_t v = 0;
	size_t i = 0;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		neg = s.p[0] == '-';
		i = 1;
	}
	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int d = s.p[i] - '0';

		if (d < 0 || d > 9)
			return false;
		if (neg ? v < (INT64_MIN + d) / 10 : v > (INT64_MAX - d) / 10)
			return false;
		v = neg ? v * 10 - d : v * 10 + d;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool str_to_ms(struct str s, int64_t unit_ms, int64_t min_ms, int64_t max_ms, int64_t *out)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }
	};
	int64_t v;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (str_ends(s, units[i].suffix)) {
			s.n -= strlen(units[i].suffix);
			unit_ms = units[i].ms;
			break;
		}
	}
	if (!str_to_i64(s, 0, INT64_MAX / unit_ms, &v))
		return false;
	v *= unit_ms;
	if (v < min_ms || v > max_ms)
		return false;
	*out = v;
	return true;
}

int str_hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool str_to_bool(struct str s, bool *out)
{
	static const char *const yes[] = { "true", "yes", "on", "1", "t" };
	static const char *const no[] = { "false", "no", "off", "0", "f" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (str_ieq(s, yes[i])) {
			*out = true;
			return true;
		}
		if (str_ieq(s, no[i])) {
			*out = false;
			return true;
		}
	}
	return false;
}

bool str_is_of(struct str s, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr(also, c)))
			return false;
	}
	return s.n > 0;
}

bool str_is_id(struct str s)
{
	return s.n <= 128 && !str_eq(s, ".") && !str_eq(s, "..") && str_is_of(s, "._-");
}

int str_utf8_len(const char *p, size_t n)
{
	unsigned char c = n ? (unsigned char)p[0] : 0;
	unsigned lo = 0x80, hi = 0xBF;
	int want;

	if (n == 0)
		return -1;
	if (c < 0x80)
		return 1;
	if (c >= 0xC2 && c <= 0xDF) {
		want = 2;
	} else if (c >= 0xE0 && c <= 0xEF) {
		want = 3;
		lo = c == 0xE0 ? 0xA0 : 0x80;
		hi = c == 0xED ? 0x9F : 0xBF;
	} else if (c >= 0xF0 && c <= 0xF4) {
		want = 4;
		lo = c == 0xF0 ? 0x90 : 0x80;
		hi = c == 0xF4 ? 0x8F : 0xBF;
	} else {
		return 0;
	}
	for (int i = 1; i < want; i++) {
		unsigned char d;

		if ((size_t)i >= n)
			return -1;
		d = (unsigned char)p[i];
		if (d < lo || d > hi)
			return 0;
		lo = 0x80;
		hi = 0xBF;
	}
	return want;
}

#define EACH_BYTE(c) (0x0101010101010101u * (c))

/* The top bit of a byte that is 0 in x, and perhaps of others above it. */
static uint64_t zeros(uint64_t x)
{
	return (x - EACH_BYTE(1)) & ~x;
}

size_t str_plain_run(const char *p, size_t n)
{
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, p + i, 8);
		x = (x | ((x - EACH_BYTE(0x20)) & ~x) | zeros(x ^ EACH_BYTE('"')) |
		     zeros(x ^ EACH_BYTE('\\'))) &
		    EACH_BYTE(0x80);
		if (x && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			return i + (size_t)__builtin_ctzll(x) / 8;
		if (x)
			break;
	}
	while (i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x80 && p[i] != '"' &&
	       p[i] != '\\')
		i++;
	return i;
}

uint32_t str_hash(struct str s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h;
}
