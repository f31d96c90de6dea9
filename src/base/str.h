/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed bytes without a NUL, and the parsing of numbers and words out of them. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	const char *p;
	size_t n;
};

#define STR_LIT(s) ((struct str){ (s), sizeof(s) - 1 })
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

struct str str_of(const char *s);  /* NULL gives an empty one */
struct str str_trim(struct str s); /* space, tab, CR, LF at both ends */
bool str_eq(struct str a, const char *b);
bool str_ieq(struct str a, const char *b); /* ASCII case folded */
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
/* Where s first has what, which is not empty; NULL if nowhere. */
const char *str_find(struct str s, const char *what);
/* Cuts the next piece off *rest at sep; false when nothing is left. "a,,b" gives "a" "" "b". */
bool str_next(struct str *rest, char sep, struct str *piece);
/* Whole string, decimal, optional sign, range checked; *out is untouched on failure. */
bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *out);
/* A duration: "90", "90s", "15m", "2h", "1500ms"; a bare number counts in units of unit_ms. */
bool str_to_ms(struct str s, int64_t unit_ms, int64_t min_ms, int64_t max_ms, int64_t *out);
/* Value of a hexadecimal digit, -1 for any other character. */
int str_hex_digit(int c);
/* true yes on 1 / false no off 0, case folded. */
bool str_to_bool(struct str s, bool *out);
/* Not empty, and nothing but ASCII letters, digits and those of also. */
bool str_is_of(struct str s, const char *also);
/* An id that may become a path component: [A-Za-z0-9._-]+, at most 128, not "." or ".."
 * (protocol 12.51). */
bool str_is_id(struct str s);
/* Length of the UTF-8 character at p (1..4), 0 if it is invalid, -1 if n cuts a valid beginning.
 * Surrogates, overlong forms and values above U+10FFFF are invalid. */
int str_utf8_len(const char *p, size_t n);
/* How many bytes at p stand for themselves in a JSON string: ASCII up to a quote, a backslash or a control byte. */
size_t str_plain_run(const char *p, size_t n);
/* FNV-1a of 32 bits: to tell texts apart cheaply, not from who chooses them to be alike. */
uint32_t str_hash(struct str s);

#endif
