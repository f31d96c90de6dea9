/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a WebSocket (RFC 6455 4.1); see ws.h. */
#include "net/ws.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 16
#define CLOSE_WAIT_MS 2000
#define CONTROL_QUEUE_MAX 65536 /* a peer that pings and never reads */
#define READS_PER_STEP 4
#define READ_BYTES 8192

enum state { HANDSHAKE, OPEN, CLOSING, CLOSED };

struct ws_client {
	enum state state;
	struct http_client *http;
	struct http_request req; /* its fields are the caller's, good for one sending */
	char *target;
	struct http_field fields[FIELDS_MAX];
	struct http_reply reply;
	char key[25];
	struct conn *conn;
	struct ws_reader reader;
	struct buf out;
	size_t out_off;
	bool close_sent, more;
	int code;
	struct buf reason; /* of the peer's close */
	int64_t heard_ms;
	struct deadline closing;
	struct err err; /* why it is closed */
};

struct ws_client *ws_client_new(const struct conn_target *t, const char *target,
                                const struct http_field *fields, size_t n_fields, struct deadline d)
{
	struct ws_client *w = mem_alloc(sizeof(*w));
	struct conn_target tunnel = *t;
	unsigned char nonce[16];
	struct buf b = { 0 };
	size_t n = 0;

	if (n_fields > FIELDS_MAX - 3) {
		w->state = CLOSED;
		err_set(&w->err, ERR_USAGE, 0, "WebSocket: more than %d headers", FIELDS_MAX - 3);
		return w;
	}
	if (crypto_random(nonce, sizeof(nonce), &w->err) < 0) {
		w->state = CLOSED;
		return w;
	}
	buf_add_base64(&b, nonce, sizeof(nonce), false, true);
	memcpy(w->key, b.p, sizeof(w->key) - 1);
	buf_free(&b);
	for (; n < n_fields; n++)
		w->fields[n] = fields[n];
	w->fields[n++] = (struct http_field){ "Upgrade", "websocket" };
	w->fields[n++] = (struct http_field){ "Sec-WebSocket-Version", "13" };
	w->fields[n++] = (struct http_field){ "Sec-WebSocket-Key", w->key };
	w->req = (struct http_request){
		.method = "GET",
		.target = w->target = mem_dup(target),
		.fields = w->fields,
		.n_fields = n,
		.max_body = 65536,
		.upgrade = true,
	};
	w->closing = DEADLINE_NEVER;
	tunnel.tunnel = true; /* a proxy hands on no upgrade */
	w->http = http_client_new(&tunnel, NULL);
	http_start(w->http, &w->req, &w->reply, d);
	return w;
}

/* Drops what only an open connection needs. */
static void shut(struct ws_client *w)
{
	w->state = CLOSED;
	conn_free(w->conn);
	w->conn = NULL;
	http_client_free(w->http);
	w->http = NULL;
	http_reply_free(&w->reply);
	free(w->target);
	w->target = NULL;
	ws_reader_free(&w->reader);
	buf_wipe(&w->out);
	w->out_off = 0;
}

void ws_client_free(struct ws_client *w)
{
	if (!w)
		return;
	shut(w);
	buf_free(&w->reason);
	free(w);
}

static int refused(struct ws_client *w)
{
	struct err ignored = { 0 };
	struct json_doc *doc = json_parse(buf_str(&w->reply.body), 65536, &ignored);
	struct str location = http_head_get(&w->reply.h, "Location");
	struct buf said = { 0 }, shown = { 0 };

	/* The Server explains itself in JSON, whatever the content type (protocol 2). */
	if (doc && json_string(json_get(json_root(doc), "error"), &said))
		buf_add_printable(&shown, buf_str(&said), false);
	else
		buf_add_printable(&shown, location.p ? location : w->reply.h.reason, false);
	err_set(&w->err, ERR_HTTP, w->reply.status, "WebSocket handshake: HTTP %d%s%s",
	        w->reply.status, shown.n ? ": " : "", buf_cstr(&shown));
	json_doc_free(doc);
	buf_free(&said);
	buf_free(&shown);
	return -1;
}

static int check_handshake(struct ws_client *w)
{
	char want[29];
	const struct http_head *h = &w->reply.h;

	ws_accept_value(str_of(w->key), want);
	if (w->reply.status != 101)
		return refused(w);
	if (!h->upgrade || !str_ieq(http_head_get(h, "Upgrade"), "websocket") ||
	    !str_eq(http_head_get(h, "Sec-WebSocket-Accept"), want))
		return err_set(&w->err, ERR_PARSE, 0,
		               "WebSocket handshake: the reply does not answer our key");
	if (http_head_get(h, "Sec-WebSocket-Extensions").n ||
	    http_head_get(h, "Sec-WebSocket-Protocol").n)
		return err_set(
			&w->err, ERR_PARSE, 0,
			"WebSocket handshake: the server chose an extension or protocol we did not offer");
	return 0;
}

static int step_handshake(struct ws_client *w)
{
	struct buf early = { 0 };

	switch (http_step(w->http, &w->err)) {
	case HTTP_PENDING:
		return 0;
	case HTTP_FAILED:
		err_wrap(&w->err, "WebSocket handshake");
		return -1;
	case HTTP_DONE:
		break;
	}
	if (check_handshake(w) < 0)
		return -1;
	w->conn = http_take_conn(w->http, &early);
	ws_reader_feed(&w->reader, buf_str(&early));
	buf_free(&early);
	http_client_free(w->http);
	w->http = NULL;
	http_reply_free(&w->reply);
	w->state = OPEN;
	w->heard_ms = clock_mono_ms();
	return 0;
}

static int flush(struct ws_client *w)
{
	while (w->out_off < w->out.n) {
		long n = conn_write(w->conn, w->out.p + w->out_off, w->out.n - w->out_off, &w->err);

		if (n == CONN_AGAIN)
			return 0;
		if (n < 0)
			return -1;
		w->out_off += (size_t)n;
	}
	buf_free(&w->out);
	w->out_off = 0;
	return 0;
}

static void queue(struct ws_client *w, enum ws_opcode op, struct str payload)
{
	if (w->out_off) {
		buf_drop(&w->out, w->out_off);
		w->out_off = 0;
	}
	ws_frame_add(&w->out, op, payload, true);
}

static int closed_by_peer(struct ws_client *w, struct str payload)
{
	struct err fault = { 0 };
	int code = ws_close_parse(payload, &fault), reply = code < 0 ? fault.code : code;
	char bytes[2] = { (char)(reply >> 8), (char)(reply & 0xff) };

	if (payload.n >= 2) {
		w->code = (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
		buf_add_printable(&w->reason, (struct str){ payload.p + 2, payload.n - 2 }, false);
	}
	if (!w->close_sent) {
		queue(w, WS_CLOSE, (struct str){ bytes, code == WS_CLOSE_NONE ? 0 : 2 });
		(void)flush(w);
	}
	err_set(&w->err, ERR_CLOSED, w->code, "WebSocket closed by the peer (%d%s%s)", w->code,
	        w->reason.n ? " " : "", buf_cstr(&w->reason));
	return -1;
}

static int take_messages(struct ws_client *w, void (*on_message)(void *arg, struct str payload),
                         void *arg)
{
	enum ws_opcode op;
	struct str payload;
	int rc;

	while ((rc = ws_reader_next(&w->reader, &op, &payload, &w->err)) > 0) {
		if (op == WS_CLOSE)
			return closed_by_peer(w, payload);
		if (op == WS_PING && w->out.n - w->out_off < CONTROL_QUEUE_MAX && !w->close_sent)
			queue(w, WS_PONG, payload);
		else if ((op == WS_TEXT || op == WS_BINARY) && on_message)
			on_message(arg, payload);
	}
	return rc;
}

static int receive(struct ws_client *w, void (*on_message)(void *arg, struct str payload),
                   void *arg)
{
	char piece[READ_BYTES];

	for (int i = 0; i < READS_PER_STEP; i++) {
		bool truncated;
		long n;

		if (take_messages(w, on_message, arg) < 0)
			return -1;
		n = conn_read(w->conn, piece, sizeof(piece), &truncated, &w->err);
		if (n == CONN_AGAIN)
			return 0;
		if (n == 0)
			return err_set(&w->err, ERR_CLOSED, 0,
			               "WebSocket: the connection was closed");
		if (n < 0)
			return err_wrap(&w->err, "WebSocket");
		w->heard_ms = clock_mono_ms();
		ws_reader_feed(&w->reader, (struct str){ piece, (size_t)n });
	}
	w->more = true;
	return 0;
}

enum ws_status ws_client_step(struct ws_client *w,
                              void (*on_message)(void *arg, struct str payload), void *arg,
                              struct err *e)
{
	int rc = 0;

	w->more = false;
	if (w->state == HANDSHAKE)
		rc = step_handshake(w);
	if (rc == 0 && w->state != HANDSHAKE && w->state != CLOSED)
		rc = receive(w, on_message, arg);
	if (rc == 0 && w->state != HANDSHAKE && w->state != CLOSED)
		rc = flush(w);
	if (rc == 0 && w->state == CLOSING && deadline_passed(w->closing))
		rc = err_set(&w->err, ERR_CLOSED, 0, "WebSocket: closed by us");
	if (rc < 0)
		shut(w);
	if (w->state == CLOSED) {
		*e = w->err;
		return WS_CLOSED;
	}
	return w->state == HANDSHAKE ? WS_CONNECTING : WS_OPEN;
}

bool ws_client_is_quiet(const struct ws_client *w, const struct pollset *ps)
{
	return w->state != HANDSHAKE && w->state != CLOSED && !w->more &&
	       ws_client_queued(w) == 0 && !deadline_passed(w->closing) &&
	       conn_is_quiet(w->conn, ps);
}

void ws_client_poll(const struct ws_client *w, struct pollset *ps)
{
	if (w->state == HANDSHAKE)
		http_poll(w->http, ps);
	if (w->state == HANDSHAKE || w->state == CLOSED)
		return;
	conn_poll(w->conn, ps, w->out_off < w->out.n ? POLLIN | POLLOUT : POLLIN);
	pollset_until(ps, w->more ? DEADLINE_PAST : w->closing);
}

static bool send_as(struct ws_client *w, enum ws_opcode op, struct str payload, size_t max_queued)
{
	if (w->state >= CLOSING || ws_client_queued(w) + payload.n > max_queued)
		return false;
	queue(w, op, payload);
	return true;
}

bool ws_client_send(struct ws_client *w, struct str payload, size_t max_queued)
{
	return send_as(w, WS_TEXT, payload, max_queued);
}

bool ws_client_send_binary(struct ws_client *w, struct str payload, size_t max_queued)
{
	return send_as(w, WS_BINARY, payload, max_queued);
}

size_t ws_client_queued(const struct ws_client *w)
{
	return w->out.n - w->out_off;
}

void ws_client_close(struct ws_client *w)
{
	ws_client_close_with(w, WS_CLOSE_NORMAL, "", CLOSE_WAIT_MS);
}

int64_t ws_client_heard_ms(const struct ws_client *w)
{
	return w->heard_ms;
}

void ws_client_close_with(struct ws_client *w, int code, const char *reason, int64_t wait_ms)
{
	struct buf payload = { 0 };

	if (w->state >= CLOSING)
		return;
	if (w->state == HANDSHAKE) {
		err_set(&w->err, ERR_CLOSED, 0, "WebSocket: closed by us before it was open");
		shut(w);
		return;
	}
	ws_close_payload(&payload, code, reason);
	queue(w, WS_CLOSE, buf_str(&payload));
	buf_free(&payload);
	w->close_sent = true;
	w->state = CLOSING;
	w->closing = deadline_in_ms(wait_ms);
}

int ws_client_close_code(const struct ws_client *w)
{
	return w->code;
}

const char *ws_client_close_reason(const struct ws_client *w)
{
	return buf_cstr(&w->reason);
}
