/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned, growing bytes, of which none is left behind: growing, taking and freeing wipe what they leave, since a key may
 * be in any text. Adding cannot fail (out of memory exits), so building a text is
 * straight-line code; only buf_add_max, for a peer's bytes, has a limit and can refuse.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *p;
	size_t n;   /* used, without the NUL that always follows when p is set */
	size_t cap; /* allocated */
};

void buf_free(struct buf *b);  /* overwrites, then frees */
void buf_wipe(struct buf *b);  /* the same, said where there is a secret in it */
void buf_reset(struct buf *b); /* n = 0, keeps the memory */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_add_str(struct buf *b, struct str s);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_addv(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Appends unless b would hold more than max bytes; then ERR_LIMIT, -1, b unchanged. */
int buf_add_max(struct buf *b, const void *p, size_t n, size_t max, struct err *e);
/* Makes room for n more bytes; returns where they go. The caller then adds to b->n. */
char *buf_reserve(struct buf *b, size_t n);
void buf_drop(struct buf *b, size_t n);    /* removes the first n bytes */
void buf_cut(struct buf *b, size_t n);     /* keeps the first n bytes of those there are */
const char *buf_cstr(const struct buf *b); /* never NULL; borrowed until the next change */
struct str buf_str(const struct buf *b);
char *buf_take(struct buf *b); /* the caller owns it; b is empty again; never NULL */

/* Encoders: each appends. */
void buf_add_hex(struct buf *b, const void *p, size_t n);
void buf_add_base64(struct buf *b, const void *p, size_t n, bool url_alphabet, bool padded);
/* Percent-encodes everything but unreserved characters (RFC 3986 2.3). */
void buf_add_urlenc(struct buf *b, struct str s);
/* Quotes for a POSIX shell; bare when every character is harmless. */
void buf_add_shell(struct buf *b, struct str s);
/* Valid UTF-8 with control bytes escaped, for a terminal or a log: tab stays, C0, C1 and DEL
 * become \xNN, invalid bytes U+FFFD. keep_nl keeps LF. */
void buf_add_printable(struct buf *b, struct str s, bool keep_nl);

/* Decoders: false and b unchanged on malformed input. */
bool buf_add_unbase64(struct buf *b, struct str s); /* both alphabets, padding optional */
bool buf_add_urldec(struct buf *b, struct str s, bool plus_is_space);

#endif
