/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's WebSockets (RFC 6455): handshake, messages, the two ways of parting. */
#include "base/mem.h"
#include "net/httpd_int.h"

/* True if the comma separated list has the word. */
static bool list_has(struct str list, const char *word)
{
	struct str piece;

	while (str_next(&list, ',', &piece))
		if (str_ieq(str_trim(piece), word))
			return true;
	return false;
}

static bool good_key(struct str key)
{
	struct buf raw = { 0 };
	bool ok = key.n == 24 && buf_add_unbase64(&raw, key) && raw.n == 16;

	buf_free(&raw);
	return ok;
}

static void too_many(struct httpd_req *r)
{
	httpd_respond(r, 503, "text/plain; charset=utf-8", "Retry-After: 1\r\n",
	              STR_LIT("503 Service Unavailable: too many WebSockets\n"));
}

int httpd_upgrade(struct httpd_req *r, const struct httpd_ws *ws, const char *fields)
{
	struct hconn *c = hconn_of(r);
	const struct http_head *h = r->head;
	struct str key = http_head_get(h, "Sec-WebSocket-Key");
	char accept[29];

	if (!str_eq(r->method, "GET") || !h->upgrade ||
	    !list_has(http_head_get(h, "Upgrade"), "websocket") ||
	    !str_eq(http_head_get(h, "Sec-WebSocket-Version"), "13") || !good_key(key)) {
		struct buf all = { 0 };

		buf_adds(&all, "Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n");
		buf_adds(&all, fields ? fields : "");
		httpd_respond(r, 400, "text/plain; charset=utf-8", buf_cstr(&all),
		              STR_LIT("Bad Request\n"));
		buf_free(&all);
		return -1;
	}
	if (c->h->n_ws >= c->h->s.max_ws) {
		too_many(r);
		return -1;
	}
	c->h->n_ws++;
	hconn_answers(c, 101, 0);
	ws_accept_value(key, accept);
	buf_addf(&c->out,
	         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	         "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
	         accept);
	if (c->h->s.ws_protocol &&
	    list_has(http_head_get(h, "Sec-WebSocket-Protocol"), c->h->s.ws_protocol))
		buf_addf(&c->out, "Sec-WebSocket-Protocol: %s\r\n", c->h->s.ws_protocol);
	buf_adds(&c->out, "\r\n");
	c->ws = ws;
	c->reader.require_mask = c->reader.check_text = true;
	c->reader.max = ws->max_message;
	c->alive_ms = clock_mono_ms();
	c->state = H_WS;
	c->keep = false;
	c->req.gone = NULL;
	c->until = deadline_in_ms(c->h->s.stall_ms);
	hconn_touch(c);
	return 0;
}

int httpd_take_over(struct httpd_req *r, const struct httpd_ws *ws)
{
	struct hconn *c = hconn_of(r);

	if (c->h->n_ws >= c->h->s.max_ws) {
		too_many(r);
		return -1;
	}
	c->h->n_ws++;
	c->ws = ws;
	c->state = H_WS;
	c->keep = false;
	c->req.gone = NULL;
	c->until = DEADLINE_NEVER;
	hconn_touch(c);
	return 0;
}

void httpd_more(struct httpd_req *r)
{
	hconn_touch(hconn_of(r));
}

void httpd_answered(struct httpd_req *r, int status)
{
	hconn_answers(hconn_of(r), status, 0);
}

bool httpd_ws_send(struct httpd_req *r, enum ws_opcode op, struct str payload)
{
	struct hconn *c = hconn_of(r);

	if (c->state != H_WS || c->out.n + payload.n > c->h->s.ws_queue_max)
		return false;
	if (!c->out.n)
		c->until = deadline_in_ms(c->h->s.stall_ms);
	if (c->ws->bytes)
		buf_add_str(&c->out, payload);
	else
		ws_frame_add(&c->out, op, payload, false);
	hconn_touch(c);
	return true;
}

size_t httpd_ws_queued(const struct httpd_req *r)
{
	return ((const struct hconn *)(const void *)r)->out.n;
}

struct str httpd_ws_reason(const struct httpd_req *r)
{
	return buf_str(&((const struct hconn *)(const void *)r)->ws_reason);
}

int64_t httpd_ws_alive_ms(struct httpd_req *r)
{
	struct hconn *c = hconn_of(r);
	int unacked = conn_unacked(c->c);

	/* On a slow line a pong is late, since its ping waits behind what goes there. */
	if (unacked < c->unacked)
		c->alive_ms = clock_mono_ms();
	c->unacked = unacked;
	return c->alive_ms;
}

/* Queues a close frame, without a code for code 0, and ends. */
static void part(struct hconn *c, int code, const char *reason)
{
	struct buf payload = { 0 };

	if (!c->ws->bytes) {
		ws_close_payload(&payload, code, reason);
		ws_frame_add(&c->out, WS_CLOSE, buf_str(&payload), false);
	}
	buf_free(&payload);
	c->state = H_WS_END;
	c->until = deadline_in_ms(c->h->s.stall_ms);
	hconn_touch(c);
}

void httpd_ws_close(struct httpd_req *r, int code)
{
	httpd_ws_close_with(r, code, "");
}

void httpd_ws_close_with(struct httpd_req *r, int code, const char *reason)
{
	struct hconn *c = hconn_of(r);

	if (c->state != H_WS)
		return;
	c->ws_code = code;
	part(c, code, reason);
}

void httpd_ws_close_hearing(struct httpd_req *r, int code)
{
	httpd_ws_close(r, code);
	hconn_of(r)->hears = true;
}

void hconn_ws_eof(struct hconn *c)
{
	if (!c->ws->eof_code) {
		hconn_drop(c);
		return;
	}
	part(c, c->ws->eof_code, "");
}

/* What must not be sent is not sent back, either. */
static void got_close(struct hconn *c, struct str payload)
{
	struct err e = { 0 };
	int code = ws_close_parse(payload, &e);

	c->ws_code = code < 0 ? e.code : code;
	if (code >= 0 && payload.n > 2)
		buf_add_printable(&c->ws_reason, (struct str){ payload.p + 2, payload.n - 2 },
		                  false);
	part(c, code == WS_CLOSE_NONE ? 0 : c->ws_code, "");
}

void hconn_ws_input(struct hconn *c)
{
	struct err e = { 0 };
	enum ws_opcode op;
	struct str payload;
	int got = 0;

	if (c->ws->bytes) {
		buf_drop(&c->in, c->in.n ? c->ws->bytes(&c->req, buf_str(&c->in)) : 0);
		return;
	}
	if (c->in.n) {
		ws_reader_feed(&c->reader, buf_str(&c->in));
		buf_free(&c->in);
	}
	while ((c->state == H_WS || c->hears) &&
	       (got = ws_reader_next(&c->reader, &op, &payload, &e)) > 0) {
		if (op == WS_CLOSE && c->hears)
			c->hears = false;
		else if (op == WS_CLOSE)
			got_close(c, payload);
		else if (op == WS_PING)
			httpd_ws_send(&c->req, WS_PONG, payload);
		else if (op != WS_PONG && c->ws->message)
			c->ws->message(&c->req, op, payload);
	}
	if (got < 0)
		c->hears = false;
	if (got < 0 && c->state == H_WS) {
		c->ws_code = e.code;
		part(c, c->ws_code, "");
	}
}
