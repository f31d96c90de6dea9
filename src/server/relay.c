/* SPDX-License-Identifier: Apache-2.0 */
/* See relay.h. */
#include "server/relay.h"

#include "api/tunnel.h"
#include "base/jsonw.h"
#include "base/mem.h"

#define PIECE (32u << 10)
#define CRLF "\r\n"
#define UPGRADE "Upgrade: websocket" CRLF "Connection: upgrade" CRLF
#define CLOSE "Connection: close" CRLF

struct relay {
	struct buf head;
	const char *version;
	enum http_framing framing; /* of the request's body */
	uint64_t left;
	struct http_chunked chunked;
	bool websocket, open; /* one was asked for; the agent agreed */
	size_t may_send;      /* bytes to the agent */
	size_t taken;         /* of the agent's, since the last grant */
	struct buf answer;    /* its head, until it is whole */
	bool answered;
};

/* Between the client and us, or what lets it in, or what only we say of our address. */
static bool is_ours(struct str name)
{
	static const char *const names[] = {
		"Authorization",
		"Connection",
		"Keep-Alive",
		"Proxy-Connection",
		"Proxy-Authorization",
		"Cookie",
		"TE",
		"Trailer",
		"Upgrade",
		"Sec-WebSocket-Protocol",
		"Set-Cookie",
		"Clear-Site-Data",
		"Strict-Transport-Security",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
}

static void add_fields(struct buf *b, const struct http_head *h)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (!is_ours(h->headers[i].name))
			buf_addf(b, "%.*s: %.*s\r\n", STR_ARG(h->headers[i].name),
			         STR_ARG(h->headers[i].value));
}

/* Segments were decoded for the routes. */
static void add_path(struct buf *b, const char *rest)
{
	struct str left = str_of(rest), segment;

	while (str_next(&left, '/', &segment)) {
		buf_addc(b, '/');
		buf_add_urlenc(b, segment);
	}
}

struct relay *relay_new(const struct call *c)
{
	struct relay *y = mem_alloc(sizeof(*y));
	const struct http_head *h = c->r->head;
	struct buf *b = &y->head;

	y->version = c->s->opt.version;
	y->framing = h->framing;
	y->left = h->length;
	y->websocket = http_head_websocket(h);
	buf_addc(b, TUNNEL_IN);
	buf_addf(b, "%.*s ", STR_ARG(c->r->method));
	add_path(b, c->param[1]);
	if (c->r->query.n)
		buf_addf(b, "?%.*s", STR_ARG(c->r->query));
	buf_adds(b, " HTTP/1.1\r\n");
	add_fields(b, h);
	buf_adds(b, y->websocket ? UPGRADE CRLF : CLOSE CRLF);
	/* There is room: encoding makes at most three bytes of one, and a head has HTTP_HEAD_MAX. */
	y->may_send = TUNNEL_WINDOW - (b->n - 1);
	return y;
}

void relay_free(struct relay *y)
{
	if (y) {
		buf_wipe(&y->head);
		buf_free(&y->answer);
	}
	free(y);
}

struct str relay_head(const struct relay *y)
{
	return buf_str(&y->head);
}

/* How many of the bytes belong to the request. -1: they are no body. */
static long of_request(struct relay *y, struct str s)
{
	struct str data;
	struct err e = { 0 };
	size_t used = y->open ? s.n : 0;
	long n = 1;

	if (!y->open && y->framing == HTTP_LENGTH) {
		used = s.n < y->left ? s.n : (size_t)y->left;
		y->left -= used;
	}
	while (y->framing == HTTP_CHUNKED && n > 0 && used < s.n && !y->chunked.done) {
		struct str rest = { s.p + used, s.n - used };

		n = http_chunked_feed(&y->chunked, rest, &data, &e);
		used += n > 0 ? (size_t)n : 0;
	}
	return n < 0 ? -1 : (long)used;
}

long relay_bytes(struct relay *y, struct str bytes, struct buf *message)
{
	size_t n = bytes.n < PIECE ? bytes.n : PIECE;
	long used;

	n = n < y->may_send ? n : y->may_send;
	if (!n || (y->websocket && !y->answered))
		return 0;
	used = of_request(y, (struct str){ bytes.p, n });
	if (used ==
	    0) /* another request, with somebody's key maybe: for nobody, least of all the agent */
		return (long)bytes.n;
	if (used < 0)
		return -1;
	y->may_send -= (size_t)used;
	buf_addc(message, TUNNEL_IN);
	buf_add(message, bytes.p, (size_t)used);
	return used;
}

/* Passes a whole head on, n bytes. Whatever the agent says, the connection is not used again: a proxy might use it for
 * somebody else. False: it is none. */
static bool pass_head(struct relay *y, struct httpd_req *r, size_t n)
{
	struct http_head h;
	struct err e = { 0 };
	struct buf b = { 0 };
	bool ok = http_parse_response((struct str){ y->answer.p, n }, "GET", &h, &e) > 0 &&
	          (h.status != 101 || y->websocket);

	if (ok) {
		y->open = h.status == 101;
		y->answered = y->open || h.status >= 200;
		buf_addf(&b, "HTTP/1.1 %d %.*s" CRLF, h.status, STR_ARG(h.reason));
		add_fields(&b, &h);
		buf_adds(&b, y->open ? UPGRADE CRLF : y->answered ? CLOSE CRLF : CRLF);
		if (y->answered)
			httpd_answered(r, h.status);
		ok = httpd_ws_send(r, WS_BINARY, buf_str(&b));
		httpd_more(r);
	}
	buf_drop(&y->answer, n);
	buf_free(&b);
	return ok;
}

/* More of an answer that has not begun. Each byte is looked at once, however small the pieces. */
static bool take_head(struct relay *y, struct httpd_req *r, struct str s)
{
	size_t from = y->answer.n > 3 ? y->answer.n - 3 : 0;
	const char *end;
	bool ok = true;

	buf_add_str(&y->answer, s);
	while (ok && !y->answered &&
	       (end = str_find((struct str){ buf_cstr(&y->answer) + from, y->answer.n - from },
	                       CRLF CRLF)) != NULL) {
		ok = pass_head(y, r, (size_t)(end - y->answer.p) + 4);
		from = 0;
	}
	if (!ok || !y->answered)
		return ok && y->answer.n <= HTTP_HEAD_MAX;
	ok = !y->answer.n || httpd_ws_send(r, WS_BINARY, buf_str(&y->answer));
	buf_free(&y->answer);
	return ok;
}

static bool granted(struct relay *y, struct httpd_req *r, struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && i < 4; i++)
		n = n << 8 | (unsigned char)s.p[i];
	if (s.n != 4 || n > TUNNEL_WINDOW - y->may_send)
		return false;
	y->may_send += n;
	httpd_more(r);
	return true;
}

bool relay_message(struct relay *y, struct httpd_req *r, struct str message)
{
	int channel = message.n ? (unsigned char)message.p[0] : TUNNEL_NOTE;
	struct str s = { message.p + 1, message.n ? message.n - 1 : 0 };

	if (channel == TUNNEL_GRANT)
		return granted(y, r, s);
	if (channel != TUNNEL_OUT)
		return true;
	y->taken += s.n;
	if (y->taken > TUNNEL_WINDOW)
		return false;
	return y->answered ? httpd_ws_send(r, WS_BINARY, s) : take_head(y, r, s);
}

bool relay_drained(struct relay *y, char message[RELAY_GRANT])
{
	size_t n = y->taken;

	if (!n)
		return false;
	y->taken = 0;
	message[0] = TUNNEL_GRANT;
	for (int i = 0; i < 4; i++)
		message[1 + i] = (char)(n >> (24 - 8 * i));
	return true;
}

static void answer(const struct relay *y, struct httpd_req *r, int status, const char *reason)
{
	struct buf body = { 0 }, b = { 0 };

	jw_obj(&body);
	jw_kstr(&body, "error", reason[0] ? reason : "the workspace's agent gave no answer");
	jw_obj_end(&body);
	buf_addf(&b, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n", status,
	         httpd_reason(status));
	buf_addf(&b, "X-Server-Version: %s\r\n", y->version);
	httpd_add_date(&b);
	buf_addf(&b, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body.n);
	buf_add_str(&b, buf_str(&body));
	httpd_answered(r, status);
	httpd_ws_send(r, WS_BINARY, buf_str(&b));
	buf_free(&body);
	buf_free(&b);
}

void relay_close(struct relay *y, struct httpd_req *r, int code, const char *reason)
{
	if (!y->answered)
		answer(y, r, code == WS_CLOSE_AGAIN_LATER ? 503 : 500, reason);
	y->answered = true;
	httpd_ws_close(r, code);
}
