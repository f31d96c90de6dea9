/* SPDX-License-Identifier: Apache-2.0 */
/* See buf.h. */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Always: what was a key, or the rest of one, is not known here, and each caller would have to. */
void buf_free(struct buf *b)
{
	if (b->p)
		mem_wipe(b->p, b->cap);
	free(b->p);
	*b = (struct buf){ 0 };
}

void buf_wipe(struct buf *b)
{
	buf_free(b);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	if (b->p)
		b->p[0] = '\0';
}

/* Not with realloc, which leaves a copy where the bytes were. */
static void grow(struct buf *b, size_t cap)
{
	char *p = mem_realloc(NULL, cap);

	if (b->p) {
		memcpy(p, b->p, b->n);
		mem_wipe(b->p, b->cap);
		free(b->p);
	}
	b->p = p;
	b->cap = cap;
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t need = b->n + n + 1;
	size_t cap = b->cap ? b->cap : 64;

	if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
		mem_out();
	while (cap < need)
		cap *= 2;
	if (cap != b->cap)
		grow(b, cap);
	b->p[b->n] = '\0';
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);

	if (n)
		memcpy(to, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n > 0) {
		vsnprintf(buf_reserve(b, (size_t)n), (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

int buf_add_max(struct buf *b, const void *p, size_t n, size_t max, struct err *e)
{
	if (n > max || b->n > max - n)
		return err_set(e, ERR_LIMIT, 0, "more than %zu bytes", max);
	buf_add(b, p, n);
	return 0;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n >= b->n) {
		buf_reset(b);
		return;
	}
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

void buf_cut(struct buf *b, size_t n)
{
	if (n >= b->n)
		return;
	b->n = n;
	b->p[n] = '\0';
}

const char *buf_cstr(const struct buf *b)
{
	return b->p ? b->p : "";
}

struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

char *buf_take(struct buf *b)
{
	char *p = b->p ? b->p : mem_alloc(1);

	if (b->p) /* whoever wipes it will do that up to its NUL */
		mem_wipe(p + b->n, b->cap - b->n);
	*b = (struct buf){ 0 };
	return p;
}

void buf_add_hex(struct buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = p;

	for (size_t i = 0; i < n; i++) {
		buf_addc(b, digits[s[i] >> 4]);
		buf_addc(b, digits[s[i] & 15]);
	}
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void buf_add_base64(struct buf *b, const void *p, size_t n, bool url_alphabet, bool padded)
{
	const unsigned char *s = p;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t v = (uint32_t)s[i] << 16;

		if (have > 1)
			v |= (uint32_t)s[i + 1] << 8;
		if (have > 2)
			v |= s[i + 2];
		for (size_t k = 0; k < 4; k++) {
			char c = b64_std[(v >> (18 - 6 * k)) & 63];

			if (k > have) {
				if (padded)
					buf_addc(b, '=');
				continue;
			}
			if (url_alphabet)
				c = c == '+' ? '-' : c == '/' ? '_' : c;
			buf_addc(b, c);
		}
	}
}

static int b64_value(char c)
{
	const char *at;

	if (c == '-')
		c = '+';
	if (c == '_')
		c = '/';
	at = c ? strchr(b64_std, c) : NULL;
	return at ? (int)(at - b64_std) : -1;
}

bool buf_add_unbase64(struct buf *b, struct str s)
{
	size_t start = b->n;
	uint32_t v = 0;
	int bits = 0;
	size_t pad = 0;

	while (s.n && pad < 2 && s.p[s.n - 1] == '=') {
		s.n--;
		pad++;
	}
	if (s.n % 4 == 1 || (pad && (s.n + pad) % 4))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = b64_value(s.p[i]);

		if (d < 0) {
			b->n = start;
			if (b->p)
				b->p[start] = '\0';
			return false;
		}
		v = (v << 6 | (uint32_t)d) & 0xFFFFFF;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_addc(b, (char)(unsigned char)(v >> bits));
		}
	}
	return true;
}

void buf_add_urlenc(struct buf *b, struct str s)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_' || c == '~') {
			buf_addc(b, (char)c);
			continue;
		}
		buf_addc(b, '%');
		buf_addc(b, digits[c >> 4]);
		buf_addc(b, digits[c & 15]);
	}
}

bool buf_add_urldec(struct buf *b, struct str s, bool plus_is_space)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;

		if (s.p[i] != '%') {
			buf_addc(&out, plus_is_space && s.p[i] == '+' ? ' ' : s.p[i]);
			continue;
		}
		hi = s.n - i > 2 ? str_hex_digit(s.p[i + 1]) : -1;
		lo = s.n - i > 2 ? str_hex_digit(s.p[i + 2]) : -1;
		if (hi < 0 || lo < 0) {
			buf_free(&out);
			return false;
		}
		buf_addc(&out, (char)(unsigned char)(hi * 16 + lo));
		i += 2;
	}
	buf_add(b, out.p, out.n);
	buf_free(&out);
	return true;
}

void buf_add_shell(struct buf *b, struct str s)
{
	bool plain = s.n > 0;

	for (size_t i = 0; i < s.n && plain; i++) {
		char c = s.p[i];

		plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		        (c >= '0' && c <= '9') || strchr("._-/:@%+,", c);
		if (!c)
			plain = false;
	}
	if (plain) {
		buf_add_str(b, s);
		return;
	}
	buf_addc(b, '\'');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\'')
			buf_adds(b, "'\\''");
		else
			buf_addc(b, s.p[i]);
	}
	buf_addc(b, '\'');
}

void buf_add_printable(struct buf *b, struct str s, bool keep_nl)
{
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		int len = str_utf8_len(s.p + i, s.n - i);

		if (len <= 0) {
			buf_adds(b, "\xEF\xBF\xBD");
			i++;
			continue;
		}
		if (c == '\t' || (c == '\n' && keep_nl))
			buf_addc(b, (char)c);
		else if (c < 0x20 || c == 0x7F)
			buf_addf(b, "\\x%02x", c);
		else if (len == 2 && c == 0xC2 && (unsigned char)s.p[i + 1] < 0xA0)
			buf_addf(b, "\\x%02x", (unsigned char)s.p[i + 1]);
		else
			buf_add(b, s.p + i, (size_t)len);
		i += (size_t)len;
	}
}
