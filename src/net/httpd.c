/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server's loop: connections are read, requests cut out of the bytes and handed over,
 * peers that are slow, idle or gone are dropped. Answers are in httpd_answer.c, WebSockets in
 * httpd_ws.c, listening sockets in httpd_listen.c.
 */
#include "net/httpd.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/httpd_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 16384
#define READ_PER_STEP (256u << 10)
#define LINGER_MS 1000

struct httpd *httpd_new(const struct httpd_settings *s)
{
	struct httpd *h = mem_alloc(sizeof(*h));

	h->s = *s;
	h->s.max_conns = s->max_conns ? s->max_conns : 128;
	h->s.max_body = s->max_body ? s->max_body : 1u << 20;
	h->s.head_ms = s->head_ms ? s->head_ms : 10000;
	h->s.body_ms = s->body_ms ? s->body_ms : 60000;
	h->s.idle_ms = s->idle_ms ? s->idle_ms : 150000;
	h->s.stall_ms = s->stall_ms ? s->stall_ms : 30000;
	h->s.ws_queue_max = s->ws_queue_max ? s->ws_queue_max : 256u << 10;
	return h;
}

/* Tells the owner that a request or WebSocket is over, once, and frees the connection. */
static void conn_end(struct hconn *c)
{
	if (c->ws && c->ws->closed)
		c->ws->closed(&c->req, c->ws_code);
	else if (c->req.gone)
		c->req.gone(&c->req);
	conn_free(c->c);
	fd_close(&c->file_fd);
	ws_reader_free(&c->reader);
	buf_wipe(&c->head);
	buf_wipe(&c->in);
	buf_wipe(&c->body);
	buf_wipe(&c->out);
	free(c);
}

void httpd_free(struct httpd *h)
{
	if (!h)
		return;
	httpd_stop_listening(h);
	while (h->conns) {
		struct hconn *c = h->conns;

		h->conns = c->next;
		conn_end(c);
	}
	free(h);
}

static void reap(struct httpd *h)
{
	struct hconn **at = &h->conns;

	while (*at) {
		struct hconn *c = *at;

		if (c->state != H_DEAD) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		h->n_conns--;
		conn_end(c);
	}
}

/* Room for a newcomer: drops the connection that has been idle longest. */
static void evict_idle(struct httpd *h)
{
	struct hconn *oldest = NULL;

	for (struct hconn *c = h->conns; c; c = c->next) {
		bool idle = c->state == H_HEAD && c->kept && !c->in.n;

		if (idle && (!oldest || c->until.at_ms < oldest->until.at_ms))
			oldest = c;
	}
	if (oldest)
		oldest->state = H_DEAD;
	reap(h);
}

static void conn_add(struct httpd *h, int fd, const struct listener *l)
{
	struct hconn *c = mem_alloc(sizeof(*c));
	int on = 1, idle_s = 60, interval_s = 15, count = 4;

	if (l->tcp) {
		/* A peer that vanished without a word must not hold a long poll for ever. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	}
	c->h = h;
	c->file_fd = -1;
	c->ws_code = 1006;
	c->req.tls = l->tls != NULL;
	c->until = deadline_in_ms(h->s.head_ms);
	c->c = conn_accept(fd, l->tls, c->until);
	c->touched = true;
	c->next = h->conns;
	h->conns = c;
	h->n_conns++;
}

static void accept_all(struct httpd *h, struct listener *l)
{
	for (int i = 0; i < 32; i++) {
		/* One is sure to be waiting; whether more are, the next poll tells. */
		if (h->n_conns >= h->s.max_conns && i == 0)
			evict_idle(h);
		if (h->n_conns >= h->s.max_conns)
			return;
		struct sockaddr_storage who;
		socklen_t len = sizeof(who);
		int fd = accept4(l->fd, (struct sockaddr *)(void *)&who, &len,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_add(h, fd, l);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		           errno == ENOBUFS) {
			h->accept_after = deadline_in_ms(200);
			evict_idle(h);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

/* Path and query of the request target, absolute form included (RFC 9112 3.2). */
static bool split_target(struct str t, struct str *path, struct str *query)
{
	if (str_starts(t, "http://") || str_starts(t, "https://")) {
		size_t skip = str_starts(t, "http://") ? 7 : 8;

		t.p += skip;
		t.n -= skip;
		const char *slash = memchr(t.p, '/', t.n);

		if (!slash)
			return false;
		t.n -= (size_t)(slash - t.p);
		t.p = slash;
	}
	if (!t.n || t.p[0] != '/')
		return false;
	const char *q = memchr(t.p, '?', t.n);

	*path = t;
	*query = (struct str){ t.p + t.n, 0 };
	if (q) {
		path->n = (size_t)(q - t.p);
		*query = (struct str){ q + 1, t.n - path->n - 1 };
	}
	return true;
}

static void dispatch(struct hconn *c)
{
	struct http_head head;
	struct err e = { 0 };

	if (http_parse_request(buf_str(&c->head), &head, &e) <= 0 ||
	    !split_target(head.target, &c->req.path, &c->req.query)) {
		hconn_refuse(c, 400, "400 Bad Request");
		return;
	}
	c->req.head = &head;
	c->req.method = head.method;
	c->req.body = buf_str(&c->body);
	c->req.user = NULL;
	c->req.gone = NULL;
	c->no_body = str_eq(head.method, "HEAD");
	c->state = H_HANDLER;
	c->until = DEADLINE_NEVER;
	c->h->s.request(c->h->s.arg, &c->req);
	c->req.head = NULL;
	c->req.method = c->req.path = c->req.query = c->req.body = (struct str){ NULL, 0 };
	buf_wipe(&c->head);
	buf_wipe(&c->body);
	if (c->state == H_HANDLER && !c->req.gone)
		hconn_refuse(c, 500, "500 Internal Server Error");
}

/* A whole head is at the front of in: n bytes. */
static void head_done(struct hconn *c, const struct http_head *h, size_t n)
{
	bool host = http_head_get(h, "Host").p != NULL || h->minor == 0;
	bool waits = str_ieq(http_head_get(h, "Expect"), "100-continue");

	c->framing = h->framing;
	c->left = h->length;
	c->keep = h->keep_alive;
	c->minor0 = h->minor == 0;
	c->chunked = (struct http_chunked){ 0 };
	buf_add(&c->head, c->in.p, n);
	buf_drop(&c->in, n);
	if (!host) {
		hconn_refuse(c, 400, "400 Bad Request: missing required Host header");
	} else if (c->framing == HTTP_LENGTH && c->left > c->h->s.max_body) {
		hconn_refuse(c, 413, "413 Request Entity Too Large");
	} else if (c->framing == HTTP_NO_BODY || (c->framing == HTTP_LENGTH && !c->left)) {
		dispatch(c);
	} else {
		if (waits && !c->in.n)
			buf_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		c->state = H_BODY;
		c->until = deadline_in_ms(c->h->s.body_ms);
	}
}

/* True when it got further. */
static bool input_head(struct hconn *c)
{
	struct http_head h;
	struct err e = { 0 };

	/* Empty lines before a request are to be ignored (RFC 9112 2.2). */
	while (c->in.n >= 2 && c->in.p[0] == '\r' && c->in.p[1] == '\n')
		buf_drop(&c->in, 2);
	if (!c->in.n)
		return false;
	if (c->kept) {
		c->kept = false;
		c->until = deadline_in_ms(c->h->s.head_ms);
	}
	long n = http_parse_request(buf_str(&c->in), &h, &e);

	if (n > 0)
		head_done(c, &h, (size_t)n);
	else if (n < 0 && e.kind == ERR_LIMIT)
		hconn_refuse(c, 431, "431 Request Header Fields Too Large");
	else if (n < 0)
		hconn_refuse(c, 400, "400 Bad Request");
	return n != 0;
}

static bool input_body(struct hconn *c)
{
	struct err e = { 0 };
	struct str data = { NULL, 0 };

	if (c->framing == HTTP_LENGTH) {
		size_t n = c->in.n < c->left ? c->in.n : (size_t)c->left;

		buf_add(&c->body, c->in.p, n);
		buf_drop(&c->in, n);
		c->left -= n;
		if (c->left)
			return false;
		dispatch(c);
		return true;
	}
	long n = http_chunked_feed(&c->chunked, buf_str(&c->in), &data, &e);

	if (n < 0) {
		hconn_refuse(c, 400, "400 Bad Request");
		return true;
	}
	if (buf_add_max(&c->body, data.p, data.n, c->h->s.max_body, &e) < 0) {
		hconn_refuse(c, 413, "413 Request Entity Too Large");
		return true;
	}
	buf_drop(&c->in, (size_t)n);
	if (c->chunked.done)
		dispatch(c);
	return n > 0 || c->chunked.done;
}

static void peer_left(struct hconn *c)
{
	void (*gone)(struct httpd_req * r) = c->req.gone;

	switch (c->state) {
	case H_HANDLER:
		/* Half closed, maybe: an answer can do no harm, and shows in a proxy's log. */
		c->req.gone = NULL;
		if (gone)
			gone(&c->req);
		c->keep = false;
		httpd_respond(&c->req, 408, NULL, NULL, (struct str){ NULL, 0 });
		break;
	case H_WS:
		hconn_ws_eof(c);
		break;
	case H_ANSWER:
	case H_WS_END:
		break;
	default:
		c->state = H_DEAD;
		break;
	}
}

static bool wants_input(const struct hconn *c)
{
	return !c->eof && c->state != H_DEAD && c->in.n < HTTP_HEAD_MAX + HTTPD_AHEAD_MAX;
}

/* Reads what there is. False at the end of the stream. */
static void read_all(struct hconn *c)
{
	char chunk[READ_CHUNK];
	struct err e = { 0 };
	size_t total = 0;

	while (wants_input(c)) {
		bool truncated = false;
		long n = conn_read(c->c, chunk, sizeof(chunk), &truncated, &e);

		if (n == CONN_AGAIN)
			return;
		if (n == CONN_ERROR) {
			c->state = H_DEAD;
			return;
		}
		if (n == 0) {
			c->eof = true;
			return;
		}
		if (c->state != H_LINGER && c->state != H_WS_END)
			buf_add(&c->in, chunk, (size_t)n);
		total += (size_t)n;
		if (total >= READ_PER_STEP) {
			c->touched = true; /* others have their turn first */
			return;
		}
	}
}

/* The answer is out: next request, or the end. */
static void answered(struct hconn *c)
{
	if (c->keep && (!c->eof || c->in.n)) {
		c->state = H_HEAD;
		c->kept = true;
		c->until = deadline_in_ms(c->h->s.idle_ms);
		buf_free(&c->out);
		if (!c->in.n)
			buf_free(&c->in);
		return;
	}
	if (c->eof || conn_shutdown_write(c->c) < 0) {
		c->state = H_DEAD;
		return;
	}
	buf_reset(&c->in);
	c->state = H_LINGER;
	c->until = deadline_in_ms(LINGER_MS);
}

static void step_conn(struct hconn *c, bool readable)
{
	struct err e = { 0 };

	if (deadline_passed(c->until)) {
		c->state = H_DEAD;
		return;
	}
	if (c->state == H_SETUP) {
		enum conn_status s = conn_step(c->c, &e);

		if (s == CONN_FAILED)
			c->state = H_DEAD;
		if (s != CONN_READY)
			return;
		c->state = H_HEAD;
		readable = true;
	}
	bool was_full = !wants_input(c);

	if (readable)
		read_all(c);
	for (bool more = true; more && c->state != H_DEAD;) {
		more = false;
		if (c->state == H_HEAD)
			more = input_head(c);
		else if (c->state == H_BODY)
			more = input_body(c);
		else if (c->state == H_WS)
			hconn_ws_input(c);
		hconn_flush(c);
		if ((c->state == H_ANSWER || c->state == H_WS_END) && !c->out.n && !c->file_left) {
			answered(c);
			more = c->state == H_HEAD && c->in.n > 0;
		}
	}
	if (c->eof && c->state != H_DEAD)
		peer_left(c);
	if (was_full && wants_input(c))
		c->touched = true; /* bytes may wait inside TLS, where poll does not see them */
}

void httpd_poll(struct httpd *h, struct pollset *ps)
{
	bool room = h->n_conns < h->s.max_conns;

	for (struct hconn *c = h->conns; c; c = c->next)
		if (c->state == H_HEAD && c->kept)
			room = true; /* it can be evicted */
	for (size_t i = 0; i < h->n_listeners; i++) {
		h->listeners[i].ps_at = ps->n;
		if (!room)
			h->listeners[i].ps_at = SIZE_MAX;
		else if (!deadline_passed(h->accept_after))
			pollset_until(ps, h->accept_after), h->listeners[i].ps_at = SIZE_MAX;
		else
			pollset_add(ps, h->listeners[i].fd, POLLIN);
	}
	for (struct hconn *c = h->conns; c; c = c->next) {
		bool writes = c->out.n || c->file_left;

		c->ps_from = ps->n;
		conn_poll(c->c, ps,
		          (short)((wants_input(c) ? POLLIN : 0) | (writes ? POLLOUT : 0)));
		c->ps_to = ps->n;
		if (c->touched)
			pollset_until(ps, deadline_in_ms(0));
		else
			pollset_until(ps, c->until);
	}
}

static bool has_events(const struct pollset *ps, size_t from, size_t to)
{
	if (!ps)
		return true;
	for (size_t i = from; i < to && i < ps->n; i++)
		if (ps->fds[i].revents)
			return true;
	return false;
}

void httpd_step(struct httpd *h, const struct pollset *ps)
{
	/* Handlers may answer other requests than their own: a few rounds write these out, too. */
	for (int round = 0; round < 4; round++) {
		bool again = false;

		for (struct hconn *c = h->conns; c; c = c->next) {
			bool event = round == 0 && has_events(ps, c->ps_from, c->ps_to);

			if (!event && !c->touched && !deadline_passed(c->until))
				continue;
			c->touched = false;
			step_conn(c, true);
		}
		for (struct hconn *c = h->conns; c; c = c->next)
			again = again || (c->touched && c->state != H_DEAD);
		if (!again)
			break;
	}
	for (size_t i = 0; i < h->n_listeners; i++) {
		size_t at = h->listeners[i].ps_at;

		if (at != SIZE_MAX && has_events(ps, at, at + 1))
			accept_all(h, &h->listeners[i]);
	}
	reap(h);
}

size_t httpd_conns(const struct httpd *h)
{
	return h->n_conns;
}
