/* SPDX-License-Identifier: Apache-2.0 */
/* See relay.h. */
#include "server/relay.h"

#include "api/tunnel.h"
#include "base/jsonw.h"
#include "base/mem.h"

#define PIECE (32u << 10)

struct relay {
	struct buf head;
	const char *version;
	size_t may_send; /* bytes to the agent */
	size_t taken;    /* of the agent's, since the last grant */
	bool answered;   /* some of the answer has come */
};

/* Between the client and us, or what lets it in. */
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
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_ieq(name, names[i]))
			return true;
	return false;
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
	buf_addc(b, TUNNEL_IN);
	buf_addf(b, "%.*s ", STR_ARG(c->r->method));
	add_path(b, c->param[1]);
	if (c->r->query.n)
		buf_addf(b, "?%.*s", STR_ARG(c->r->query));
	buf_adds(b, " HTTP/1.1\r\n");
	for (size_t i = 0; i < h->n_headers; i++)
		if (!is_ours(h->headers[i].name))
			buf_addf(b, "%.*s: %.*s\r\n", STR_ARG(h->headers[i].name),
			         STR_ARG(h->headers[i].value));
	if (http_head_websocket(h))
		buf_adds(b, "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
	else
		buf_adds(b, "Connection: close\r\n\r\n");
	/* There is room: encoding makes at most three bytes of one, and a head has HTTP_HEAD_MAX. */
	y->may_send = TUNNEL_WINDOW - (b->n - 1);
	return y;
}

void relay_free(struct relay *y)
{
	if (y)
		buf_wipe(&y->head);
	free(y);
}

struct str relay_head(const struct relay *y)
{
	return buf_str(&y->head);
}

size_t relay_bytes(struct relay *y, struct str bytes, struct buf *message)
{
	size_t n = bytes.n < PIECE ? bytes.n : PIECE;

	n = n < y->may_send ? n : y->may_send;
	if (!n)
		return 0;
	y->may_send -= n;
	buf_addc(message, TUNNEL_IN);
	buf_add(message, bytes.p, n);
	return n;
}

/* "HTTP/1.1 200 …", for the access log: behind those that are only on the way. */
static void note_status(struct relay *y, struct httpd_req *r, struct str answer)
{
	const char *end;
	int64_t status;

	while (str_starts(answer, "HTTP/1.1 100") && (end = str_find(answer, "\r\n\r\n")) != NULL)
		answer = (struct str){ end + 4, answer.n - (size_t)(end + 4 - answer.p) };
	if (!answer.n)
		return;
	y->answered = true;
	if (answer.n > 12 && str_to_i64((struct str){ answer.p + 9, 3 }, 100, 599, &status))
		httpd_answered(r, (int)status);
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
	if (!y->answered)
		note_status(y, r, s);
	return httpd_ws_send(r, WS_BINARY, s);
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
