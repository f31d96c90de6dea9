/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding, one byte at a time outside of the data; see http_parse.h. */
#include "net/http_parse.h"

enum {
	SIZE_FIRST,
	SIZE,
	PAD,
	EXT,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE,
	TRAILER,
	TRAILER_LF,
	END_LF
};

static int bad(char c, const char *where, struct err *e)
{
	return err_set(e, ERR_PARSE, 0, "chunked body: byte 0x%02x %s", (unsigned char)c, where);
}

static int size_digit(struct http_chunked *c, char b, struct err *e)
{
	int v = str_hex_digit(b);

	if (v < 0)
		return bad(b, "where a chunk size should be", e);
	if (c->left > (uint64_t)INT64_MAX >> 4)
		return err_set(e, ERR_LIMIT, 0, "chunked body: chunk size too large");
	c->left = c->left << 4 | (uint64_t)v;
	c->state = SIZE;
	return 0;
}

/* After the size: blanks, an extension, or the end of the line. */
static int size_rest(struct http_chunked *c, char b, struct err *e)
{
	if (b == '\r')
		c->state = SIZE_LF;
	else if (c->state == EXT && ((unsigned char)b >= 0x20 || b == '\t') && b != 0x7f)
		return 0;
	else if (b == ';')
		c->state = EXT;
	else if (b == ' ' || b == '\t')
		c->state = PAD;
	else
		return bad(b, "after a chunk size", e);
	return 0;
}

static int expect(struct http_chunked *c, char b, char want, int next, struct err *e)
{
	if (b != want)
		return bad(b, want == '\r' ? "where CR should be" : "where LF should be", e);
	c->state = next;
	c->line = 0;
	return 0;
}

static int trailer_byte(struct http_chunked *c, char b, struct err *e)
{
	if (b == '\r')
		c->state = c->state == LINE ? END_LF : TRAILER_LF;
	else if (((unsigned char)b < 0x20 && b != '\t') || b == 0x7f)
		return bad(b, "in a trailer", e);
	else
		c->state = TRAILER;
	return 0;
}

static int step(struct http_chunked *c, char b, struct err *e)
{
	if (c->state <= EXT && ++c->line > HTTP_CHUNK_LINE_MAX)
		return err_set(e, ERR_LIMIT, 0, "chunked body: chunk line longer than %d bytes",
		               HTTP_CHUNK_LINE_MAX);
	if (c->state >= LINE && ++c->trailers > HTTP_TRAILERS_MAX)
		return err_set(e, ERR_LIMIT, 0, "chunked body: more than %d bytes of trailers",
		               HTTP_TRAILERS_MAX);
	switch (c->state) {
	case SIZE_FIRST:
		return size_digit(c, b, e);
	case SIZE:
		return str_hex_digit(b) >= 0 ? size_digit(c, b, e) : size_rest(c, b, e);
	case PAD:
	case EXT:
		return size_rest(c, b, e);
	case SIZE_LF:
		return expect(c, b, '\n', c->left ? DATA : LINE, e);
	case DATA_CR:
		return expect(c, b, '\r', DATA_LF, e);
	case DATA_LF:
		return expect(c, b, '\n', SIZE_FIRST, e);
	case TRAILER_LF:
		return expect(c, b, '\n', LINE, e);
	case END_LF:
		c->done = b == '\n';
		return expect(c, b, '\n', END_LF, e);
	default:
		return trailer_byte(c, b, e);
	}
}

long http_chunked_feed(struct http_chunked *c, struct str in, struct str *data, struct err *e)
{
	size_t i = 0;

	*data = (struct str){ 0 };
	while (i < in.n && !c->done) {
		if (c->state == DATA) {
			size_t n = in.n - i < c->left ? in.n - i : (size_t)c->left;

			*data = (struct str){ in.p + i, n };
			c->left -= n;
			if (c->left == 0)
				c->state = DATA_CR;
			return (long)(i + n);
		}
		if (step(c, in.p[i], e) < 0)
			return -1;
		i++;
	}
	return (long)i;
}
