/* SPDX-License-Identifier: Apache-2.0 */
/* See err.h. Texts are cut so that they stay valid UTF-8 and hold no control bytes. */
#include "base/err.h"

#include "base/buf.h"
#include "base/mask.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drops a multi-byte character that the end of the buffer cut, and makes the text one line. */
static void tidy(char *s)
{
	size_t n = strlen(s);
	size_t i = n;

	while (i > 0 && n - i < 4 && ((unsigned char)s[i - 1] & 0xC0) == 0x80)
		i--;
	if (i > 0 && ((unsigned char)s[i - 1] & 0xC0) == 0xC0) {
		unsigned char lead = (unsigned char)s[i - 1];
		size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;

		if (n - (i - 1) < want)
			s[i - 1] = '\0';
	}
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7F)
			*s = ' ';
	}
}

PRINTF_LIKE(4, 0)
static void vset(struct err *e, enum err_kind kind, int code, const char *fmt, va_list ap)
{
	struct buf text = { 0 }, masked = { 0 }; /* an argument may be e->msg itself */

	buf_addv(&text, fmt, ap);
	mask_text(&masked, buf_str(&text)); /* before the cut: half a secret is not recognised */
	buf_cut(&masked, sizeof(e->msg) - 1);
	e->kind = kind;
	e->code = code;
	memcpy(e->msg, buf_cstr(&masked), masked.n);
	e->msg[masked.n] = '\0';
	tidy(e->msg);
	buf_wipe(&text);
	buf_free(&masked);
}

int err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vset(e, kind, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vset(e, code == ENOENT ? ERR_NOT_FOUND : ERR_SYS, code, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	if (snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(code)) < 0)
		e->msg[n] = '\0';
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	size_t n;

	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vset(e, e->kind ? e->kind : ERR_OTHER, e->code, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	if (snprintf(e->msg + n, sizeof(e->msg) - n, ": %.*s", (int)sizeof(old) - 1, old) < 0)
		e->msg[n] = '\0';
	tidy(e->msg);
	return -1;
}

int err_hint(struct err *e, const char *text)
{
	return err_set(e, e->kind, e->code, "%s; %s", e->msg, text);
}

void err_clear(struct err *e)
{
	e->kind = ERR_NONE;
	e->code = 0;
	e->msg[0] = '\0';
}
