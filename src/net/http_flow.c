/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies on their way out and in; see http_int.h. */
#include "net/http_int.h"

/* 1 out was filled, 0 there is no more. */
static int next_piece(struct http_client *c, struct err *e)
{
	struct buf piece = { 0 };
	int rc;

	if (c->source_done)
		return 0;
	do
		rc = c->req->body_source(c->req->body_arg, &piece, e);
	while (rc > 0 && piece.n == 0);
	if (rc >= 0) {
		buf_reset(&c->out);
		c->out_off = 0;
		if (piece.n) {
			buf_addf(&c->out, "%zx\r\n", piece.n);
			buf_add_str(&c->out, buf_str(&piece));
			buf_adds(&c->out, "\r\n");
		}
		if (rc == 0)
			buf_adds(&c->out, "0\r\n\r\n");
		c->source_done = rc == 0;
	}
	buf_free(&piece);
	return rc < 0 ? -1 : 1;
}

/* The bytes to write next; empty when the request is out. -1: the source failed. */
static int pending(struct http_client *c, struct str *s, struct err *e)
{
	const struct str body = c->req->body;

	if (c->out_off == c->out.n && c->req->body_source && next_piece(c, e) < 0)
		return -1;
	if (c->out_off < c->out.n)
		*s = (struct str){ c->out.p + c->out_off, c->out.n - c->out_off };
	else if (!c->joined && !c->req->body_source && c->body_off < body.n)
		*s = (struct str){ body.p + c->body_off, body.n - c->body_off };
	else
		*s = (struct str){ 0 };
	return 0;
}

int http_send_request(struct http_client *c, struct err *e)
{
	struct str s;
	long n;

	for (;;) {
		if (pending(c, &s, e) < 0)
			return -1;
		if (s.n == 0)
			return 1;
		n = conn_write(c->conn, s.p, s.n, &c->err);
		if (n == CONN_AGAIN)
			return 0;
		if (n < 0)
			return -2;
		c->stats.bytes_out += (uint64_t)n;
		http_restart_stall(c);
		if (c->out_off < c->out.n)
			c->out_off += (size_t)n;
		else
			c->body_off += (size_t)n;
	}
}

void http_restart_stall(struct http_client *c)
{
	if (c->req->sink && c->req->stall_ms > 0)
		c->stall = deadline_in_ms(c->req->stall_ms);
}

static int deliver(struct http_client *c, struct str s, struct err *e)
{
	const struct http_request *req = c->req;

	if (s.n == 0)
		return 0;
	c->body_bytes += s.n;
	http_restart_stall(c);
	if (req->sink && c->reply->status / 100 == 2)
		return req->sink(req->sink_arg, s, e);
	if (buf_add_max(&c->reply->body, s.p, s.n, req->max_body ? req->max_body : HTTP_BODY_MAX,
	                e) < 0)
		return err_wrap(e, "reply of HTTP %d to %s %s", c->reply->status, req->method,
		                c->req->target);
	return 0;
}

int http_take_body(struct http_client *c, struct str in, size_t *used, struct err *e)
{
	struct str data;
	long n;

	*used = 0;
	switch (c->reply->h.framing) {
	case HTTP_NO_BODY:
		return 1;
	case HTTP_LENGTH:
		*used = in.n < c->left ? in.n : (size_t)c->left;
		c->left -= *used;
		if (deliver(c, (struct str){ in.p, *used }, e) < 0)
			return -1;
		return c->left == 0;
	case HTTP_UNTIL_CLOSE:
		*used = in.n;
		return deliver(c, in, e);
	case HTTP_CHUNKED:
		break;
	}
	while (!c->chunked.done && *used < in.n) {
		n = http_chunked_feed(&c->chunked, (struct str){ in.p + *used, in.n - *used },
		                      &data, e);
		if (n < 0 || deliver(c, data, e) < 0)
			return -1;
		*used += (size_t)n;
	}
	return c->chunked.done;
}
