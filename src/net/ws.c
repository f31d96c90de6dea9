/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake value and frames; see ws.h. The client is in ws_client.c. */
#include "net/ws.h"

#include "base/mem.h"

#include <string.h>

#define CONTROL_MAX 125 /* RFC 6455 5.5 */

void ws_accept_value(struct str key, char out[29])
{
	struct buf b = { 0 };
	unsigned char digest[20];

	buf_add_str(&b, key);
	buf_adds(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	crypto_sha1(b.p, b.n, digest);
	buf_reset(&b);
	buf_add_base64(&b, digest, sizeof(digest), false, true);
	memcpy(out, b.p, 28);
	out[28] = '\0';
	buf_free(&b);
}

/* In words, for it is done to every byte of a stream. */
static void apply_mask(char *p, size_t n, const unsigned char mask[4])
{
	uint64_t word, both;
	size_t i = 0;

	memcpy(&both, mask, 4);
	memcpy((char *)&both + 4, mask, 4);
	for (; n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		word ^= both;
		memcpy(p + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		p[i] = (char)((unsigned char)p[i] ^ mask[i & 3]);
}

void ws_frame_add(struct buf *out, enum ws_opcode op, struct str payload, bool masked)
{
	unsigned char head[14] = { (unsigned char)(0x80 | op) };
	unsigned char mask[4] = { 0 };
	struct err ignored = { 0 };
	size_t n = 2;

	if (payload.n < 126) {
		head[1] = (unsigned char)payload.n;
	} else {
		size_t width = payload.n <= 0xffff ? 2 : 8;

		head[1] = width == 2 ? 126 : 127;
		for (size_t i = 0; i < width; i++)
			head[n++] = (unsigned char)((uint64_t)payload.n >> (8 * (width - 1 - i)));
	}
	if (masked) {
		/* The mask guards proxies from chosen bytes; without randomness a fixed one is still valid. */
		(void)crypto_random(mask, sizeof(mask), &ignored);
		head[1] |= 0x80;
		memcpy(head + n, mask, sizeof(mask));
		n += sizeof(mask);
	}
	buf_add(out, head, n);
	buf_add_str(out, payload);
	if (masked)
		apply_mask(out->p + out->n - payload.n, payload.n, mask);
}

bool ws_close_code_ok(int code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

void ws_close_payload(struct buf *out, int code, const char *reason)
{
	size_t n = strlen(reason);

	if (!code)
		return;
	buf_addc(out, (char)(code >> 8));
	buf_addc(out, (char)(code & 0xff));
	for (n = n < CONTROL_MAX - 2 ? n : CONTROL_MAX - 2; (reason[n] & 0xc0) == 0x80;)
		n--; /* not inside a character */
	buf_add(out, reason, n);
}

static bool is_utf8(struct str s)
{
	while (s.n) {
		int n = str_utf8_len(s.p, s.n);

		if (n <= 0)
			return false;
		s.p += n;
		s.n -= (size_t)n;
	}
	return true;
}

static int no_text(struct err *e)
{
	return err_set(e, ERR_PARSE, WS_CLOSE_NO_TEXT, "WebSocket: a text that is no UTF-8");
}

int ws_close_parse(struct str payload, struct err *e)
{
	int code;

	if (!payload.n)
		return WS_CLOSE_NONE;
	code = payload.n < 2 ? -1 : (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
	if (!ws_close_code_ok(code))
		return err_set(e, ERR_PARSE, WS_CLOSE_PROTOCOL,
		               "WebSocket: a close frame with code %d", code);
	if (!is_utf8((struct str){ payload.p + 2, payload.n - 2 }))
		return no_text(e);
	return code;
}

void ws_reader_free(struct ws_reader *r)
{
	buf_free(&r->raw);
	buf_free(&r->message);
	r->used = 0;
	r->op = 0;
}

void ws_reader_feed(struct ws_reader *r, struct str bytes)
{
	if (r->used) {
		buf_drop(&r->raw, r->used);
		r->used = 0;
	}
	buf_add_str(&r->raw, bytes);
}

struct frame {
	bool fin, masked;
	int op;
	uint64_t n;
	size_t head;
	unsigned char mask[4];
};

static int bad(const char *what, struct err *e)
{
	return err_set(e, ERR_PARSE, WS_CLOSE_PROTOCOL, "WebSocket: %s", what);
}

/* 1 the head is there, 0 need more, -1 refused. */
static int frame_head(const struct ws_reader *r, struct frame *f, struct err *e)
{
	size_t have = r->raw.n - r->used, width, max = r->max ? r->max : WS_FRAME_MAX;
	const unsigned char *p;

	if (have < 2)
		return 0;
	p = (const unsigned char *)r->raw.p + r->used;
	f->fin = p[0] & 0x80;
	f->op = p[0] & 15;
	f->masked = p[1] & 0x80;
	f->n = p[1] & 127;
	width = f->n == 126 ? 2 : f->n == 127 ? 8 : 0;
	if (p[0] & 0x70)
		return bad("reserved bits are set, without an extension", e);
	if (f->masked != r->require_mask)
		return bad(f->masked ? "a masked frame from the server"
		                     : "an unmasked frame from the client",
		           e);
	if (f->op > WS_PONG || (f->op > WS_BINARY && f->op < WS_CLOSE))
		return bad("unknown opcode", e);
	if (f->op >= WS_CLOSE && (!f->fin || f->n > CONTROL_MAX))
		return bad("a control frame that is fragmented or too long", e);
	f->head = 2 + width + (f->masked ? 4 : 0);
	if (have < f->head)
		return 0;
	for (size_t i = 0; i < width; i++)
		f->n = (i ? f->n << 8 : 0) | p[2 + i];
	if (f->masked)
		memcpy(f->mask, p + 2 + width, 4);
	if (f->n > max || r->message.n + f->n > max)
		return err_set(e, ERR_LIMIT, WS_CLOSE_TOO_BIG,
		               "WebSocket: a message longer than %zu bytes", max);
	if (f->op >= WS_CLOSE)
		return 1;
	if (f->op == WS_CONT && !r->op)
		return bad("a continuation of nothing", e);
	if (f->op != WS_CONT && r->op)
		return bad("a new message inside a fragmented one", e);
	return 1;
}

/* A message or control frame is there: 1, or -1. */
static int whole(const struct ws_reader *r, enum ws_opcode op, struct str payload, struct err *e)
{
	return op == WS_TEXT && r->check_text && !is_utf8(payload) ? no_text(e) : 1;
}

int ws_reader_next(struct ws_reader *r, enum ws_opcode *op, struct str *payload, struct err *e)
{
	/* A message handed out by the last call is over now. */
	if (!r->op)
		buf_reset(&r->message);
	for (;;) {
		struct frame f = { 0 };
		int rc = frame_head(r, &f, e);
		char *p;

		if (rc > 0 && r->raw.n - r->used - f.head < f.n)
			rc = 0;
		if (rc <= 0) {
			/* Nothing is kept while idle. */
			if (rc == 0 && r->used == r->raw.n) {
				buf_free(&r->raw);
				r->used = 0;
			}
			return rc;
		}
		p = r->raw.p + r->used + f.head;
		if (f.masked)
			apply_mask(p, (size_t)f.n, f.mask);
		r->used += f.head + (size_t)f.n;
		*payload = (struct str){ p, (size_t)f.n };
		if (f.op >= WS_CLOSE || (f.fin && f.op != WS_CONT)) {
			*op = (enum ws_opcode)f.op;
			return whole(r, *op, *payload, e);
		}
		buf_add_str(&r->message, *payload);
		if (f.op != WS_CONT)
			r->op = f.op;
		if (f.fin) {
			*op = (enum ws_opcode)r->op;
			*payload = buf_str(&r->message);
			r->op = 0;
			return whole(r, *op, *payload, e);
		}
	}
}
