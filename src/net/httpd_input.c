/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server's requests: heads and bodies cut out of the bytes that came, and handed over.
 * Each byte is looked at a bounded number of times, in whatever pieces it comes.
 */
#include "base/mem.h"
#include "net/httpd_int.h"

#include <string.h>

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

/* Shows the request to one of the owner's callbacks. */
static void show(struct hconn *c, const struct http_head *head,
                 void (*to)(void *arg, struct httpd_req *r))
{
	c->req.head = head;
	c->req.method = head->method;
	c->req.body = buf_str(&c->body);
	c->req.user = NULL;
	c->req.gone = NULL;
	if (c->h->s.done) {
		buf_reset(&c->method);
		buf_add_str(&c->method, head->method);
		buf_reset(&c->path);
		buf_add_str(&c->path, c->req.path);
	}
	c->no_body = str_eq(head->method, "HEAD");
	c->state = H_HANDLER;
	c->until = DEADLINE_NEVER;
	to(c->h->s.arg, &c->req);
	c->req.head = NULL;
	c->req.method = c->req.path = c->req.query = c->req.body = (struct str){ NULL, 0 };
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
	show(c, &head, c->h->s.request);
	buf_wipe(&c->head);
	buf_wipe(&c->body);
	if (c->state == H_HANDLER && !c->req.gone)
		hconn_refuse(c, 500, "500 Internal Server Error");
}

/* May its body be read? False: it has its answer. */
static bool admitted(struct hconn *c)
{
	struct http_head head;
	struct err e = { 0 };
	bool keep = c->keep;

	c->req.body_max = c->h->s.max_body;
	if (!c->h->s.admit)
		return true;
	if (http_parse_request(buf_str(&c->head), &head, &e) <= 0 ||
	    !split_target(head.target, &c->req.path, &c->req.query)) {
		hconn_refuse(c, 400, "400 Bad Request");
		return false;
	}
	c->keep =
		false; /* behind an answer that comes now, the body would be taken for a request */
	show(c, &head, c->h->s.admit);
	if (c->state != H_HANDLER) {
		buf_wipe(&c->head);
		return false;
	}
	c->keep = keep;
	return true;
}

static void body_begins(struct hconn *c, bool waits)
{
	if (!admitted(c))
		return;
	if (c->framing == HTTP_LENGTH && c->left > c->req.body_max) {
		hconn_refuse(c, 413, "413 Request Entity Too Large");
		return;
	}
	if (waits && !c->in.n)
		buf_adds(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	c->state = H_BODY;
	c->until = deadline_in_ms(c->h->s.body_ms);
}

/* Exactly one Host is to be there (RFC 9112 3.2): two that differ are two meanings. NULL: it is. */
static const char *host_fault(const struct http_head *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_headers; i++)
		n += str_ieq(h->headers[i].name, "Host");
	if (n > 1)
		return "400 Bad Request: more than one Host header";
	return n || h->minor == 0 ? NULL : "400 Bad Request: missing required Host header";
}

/* A whole head is at the front of in: n bytes. */
static void head_done(struct hconn *c, const struct http_head *h, size_t n)
{
	const char *fault = host_fault(h);
	bool waits = str_ieq(http_head_get(h, "Expect"), "100-continue");

	c->began_ms = clock_mono_ms();
	c->framing = h->framing;
	c->left = h->length;
	c->keep = h->keep_alive && !c->h->draining;
	c->minor0 = h->minor == 0;
	c->chunked = (struct http_chunked){ 0 };
	buf_add(&c->head, c->in.p, n);
	buf_drop(&c->in, n);
	if (fault)
		hconn_refuse(c, 400, fault);
	else if (c->framing == HTTP_NO_BODY || (c->framing == HTTP_LENGTH && !c->left))
		dispatch(c);
	else
		body_begins(c, waits);
}

/* Whether to look for a head again: its end has come, or a line end that no head has, or so much
 * that it may be found malformed. Each byte is thus parsed a bounded number of times, however
 * small the pieces. */
static bool worth_parsing(struct hconn *c)
{
	const char *p = c->in.p, *end = c->in.p + c->in.n, *from = p + c->seen_n;

	if (c->in.n >= 2 * c->parsed_n || c->in.n > HTTP_HEAD_MAX)
		return true;
	while ((from = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		if (from == p || from[-1] != '\r' || (from - p >= 3 && from[-2] == '\n'))
			return true;
		from++;
	}
	c->seen_n = c->in.n;
	return false;
}

/* Before a request they are to be ignored (RFC 9112 2.2). */
static void skip_empty_lines(struct hconn *c)
{
	size_t n = 0;

	while (c->in.n - n >= 2 && c->in.p[n] == '\r' && c->in.p[n + 1] == '\n')
		n += 2;
	if (!n)
		return;
	buf_drop(&c->in, n);
	c->parsed_n = c->seen_n = 0;
}

bool hconn_input_head(struct hconn *c)
{
	struct http_head h;
	struct err e = { 0 };

	skip_empty_lines(c);
	if (!c->in.n)
		return false;
	if (c->kept) {
		c->kept = false;
		c->until = deadline_in_ms(c->h->s.head_ms);
	}
	if (!worth_parsing(c))
		return false;
	long n = http_parse_request(buf_str(&c->in), &h, &e);

	c->parsed_n = c->seen_n = n == 0 ? c->in.n : 0;
	if (n > 0)
		head_done(c, &h, (size_t)n);
	else if (n < 0 && e.kind == ERR_LIMIT)
		hconn_refuse(c, 431, "431 Request Header Fields Too Large");
	else if (n < 0)
		hconn_refuse(c, 400, "400 Bad Request");
	return n != 0;
}

/* All the chunks that are there, then they are dropped at once: dropping each would move the rest
 * again and again. False: refused. */
static bool take_chunks(struct hconn *c)
{
	struct err e = { 0 };
	struct str data = { NULL, 0 };
	size_t used = 0;

	while (used < c->in.n && !c->chunked.done) {
		struct str rest = { c->in.p + used, c->in.n - used };
		long n = http_chunked_feed(&c->chunked, rest, &data, &e);

		if (n < 0) {
			hconn_refuse(c, 400, "400 Bad Request");
			return false;
		}
		if (buf_add_max(&c->body, data.p, data.n, c->req.body_max, &e) < 0) {
			hconn_refuse(c, 413, "413 Request Entity Too Large");
			return false;
		}
		used += (size_t)n;
	}
	buf_drop(&c->in, used);
	return true;
}

bool hconn_input_body(struct hconn *c)
{
	if (c->framing == HTTP_LENGTH) {
		size_t n = c->in.n < c->left ? c->in.n : (size_t)c->left;

		buf_add(&c->body, c->in.p, n);
		buf_drop(&c->in, n);
		c->left -= n;
		if (c->left)
			return false;
	} else {
		if (!take_chunks(c))
			return true;
		if (!c->chunked.done)
			return false;
	}
	dispatch(c);
	return true;
}
