/* SPDX-License-Identifier: Apache-2.0 */
/* See glob.h. */
#include "base/glob.h"

#include <stddef.h>
#include <stdint.h>

/* The character at *s, which goes behind it. What is no UTF-8 is one byte, apart from all characters. */
static uint32_t next(const char **s)
{
	const unsigned char *p = (const unsigned char *)*s;
	size_t more = p[0] >= 0xf0 && p[0] < 0xf8 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc2 ? 1 : 0;
	uint32_t c = p[0];

	if (p[0] >= 0xf8)
		more = 0;
	for (size_t i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			more = 0; /* cut off, by the text's end too */
			break;
		}
		c = (i == 1 ? p[0] & (0x3fu >> more) : c) << 6 | (p[i] & 0x3fu);
	}
	*s += 1 + more;
	return more || p[0] < 0x80 ? c : 0x110000u + p[0];
}

/* The list behind a '[' at *p, which goes behind its ']'; false in *whole if there is none, then it is a character. */
static bool in_list(const char **p, uint32_t c, bool *whole)
{
	const char *at = *p;
	bool inverse = *at == '!' || *at == '^', found = false;
	const char *first;

	at += inverse;
	first = at;
	*whole = false;
	while (*at && (*at != ']' || at == first)) {
		uint32_t from = next(&at), to = from;

		if (at[0] == '-' && at[1] && at[1] != ']') {
			at++;
			to = next(&at);
		}
		found = found || (from <= c && c <= to);
	}
	if (*at != ']')
		return false;
	*whole = true;
	*p = at + 1;
	return found != inverse;
}

/* One character of text against one element of the pattern; both go on. */
static bool one(const char **p, const char **text, bool segments)
{
	const char *rest = *p;
	uint32_t want = next(&rest), c = next(text);
	bool whole = false, fits = want == c;

	if (want == '?')
		fits = !segments || c != '/';
	else if (want == '[') {
		const char *behind = rest;
		bool is = in_list(&behind, c, &whole);

		if (whole) {
			fits = is && (!segments || c != '/');
			rest = behind;
		}
	}
	*p = rest;
	return fits;
}

bool glob_match(const char *pattern, const char *text, bool segments)
{
	const char *star = NULL,
		   *from = NULL; /* behind the last '*', and what it has not taken yet */

	while (*text) {
		const char *p = pattern, *t = text;

		if (*pattern == '*') {
			star = ++pattern;
			from = text;
			continue;
		}
		if (*pattern && one(&p, &t, segments)) {
			pattern = p;
			text = t;
			continue;
		}
		if (!star || (segments && *from == '/'))
			return false;
		next(&from); /* the star takes one more */
		text = from;
		pattern = star;
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
