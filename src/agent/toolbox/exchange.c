/* SPDX-License-Identifier: Apache-2.0 */
/* See exchange.h. */
#include "agent/toolbox/exchange.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "net/httpd.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define IDLE_MS (10 * 60 * 1000) /* kept open without a request */
#define HEAD_MS 30000
#define STALL_MS 60000  /* a peer that gives or takes no byte for that long is dropped */
#define LINGER_MS 2000  /* for what it still sends when it has its last answer */
#define LINGER_MAX 4096 /* chunks of that */

#define TYPE_JSON "application/json; charset=utf-8"
#define TYPE_TEXT "text/plain; charset=utf-8"

static void used_up(struct exchange *exchange)
{
	buf_drop(&exchange->in, exchange->used);
	exchange->used = 0;
}

/* 1: more has come; 0: the end; -1: an error. */
static int receive(struct exchange *exchange, struct deadline d, struct err *e)
{
	for (;;) {
		ssize_t n;

		if (wait_fd(exchange->fd, POLLIN, d, e) < 0)
			return -1;
		n = read(exchange->fd, buf_reserve(&exchange->in, READ_CHUNK), READ_CHUNK);
		if (n >= 0) {
			exchange->in.n += (size_t)n;
			return n > 0;
		}
		if (errno != EINTR && errno != EAGAIN)
			return err_sys(e, errno, "read");
	}
}

bool exchange_write(struct exchange *exchange, struct str bytes)
{
	struct err e = { 0 };

	while (bytes.n && !exchange->broken) {
		ssize_t n = write(exchange->fd, bytes.p, bytes.n);

		if (n >= 0) {
			bytes.p += n;
			bytes.n -= (size_t)n;
		} else if (errno != EINTR &&
		           (errno != EAGAIN ||
		            wait_fd(exchange->fd, POLLOUT, deadline_in_ms(STALL_MS), &e) < 0)) {
			exchange->broken = true;
		}
	}
	return !exchange->broken;
}

/* Path and query of the target. False: no path that could be a route. */
static bool split_target(struct exchange *exchange)
{
	struct str target = exchange->head.target;
	const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
	struct str path = { target.p, mark ? (size_t)(mark - target.p) : target.n };

	exchange->query = (struct str){ mark ? mark + 1 : target.p,
		                        mark ? target.n - path.n - 1 : 0 };
	buf_reset(&exchange->path);
	if (!path.n || path.p[0] != '/' || !buf_add_urldec(&exchange->path, path, false) ||
	    memchr(exchange->path.p, '\0', exchange->path.n))
		return false;
	if (exchange->path.n > 1 && exchange->path.p[exchange->path.n - 1] == '/')
		buf_cut(&exchange->path, exchange->path.n - 1);
	return true;
}

static int refuse(struct exchange *exchange, int status, const char *why, struct err *e)
{
	exchange->keep = false;
	exchange->body_done = true; /* it is not read */
	exchange_fail(exchange, status, "%s", why);
	return err_set(e, ERR_PARSE, status, "%s", why);
}

/* A whole head of n bytes is at the front of in. */
static int head_done(struct exchange *exchange, size_t n, struct err *e)
{
	buf_reset(&exchange->head_text);
	buf_add(&exchange->head_text, exchange->in.p, n);
	exchange->used = n;
	used_up(exchange);
	if (http_parse_request(buf_str(&exchange->head_text), &exchange->head, e) <= 0)
		return refuse(exchange, 400, "this is no HTTP request", e);
	exchange->keep = exchange->head.keep_alive;
	exchange->left = exchange->head.length;
	exchange->chunked = (struct http_chunked){ 0 };
	exchange->body_done = exchange->head.framing == HTTP_NO_BODY ||
	                      (exchange->head.framing == HTTP_LENGTH && !exchange->left);
	exchange->waits = str_ieq(http_head_get(&exchange->head, "Expect"), "100-continue");
	if (!split_target(exchange))
		return refuse(exchange, 400, "the request names no path", e);
	return 1;
}

int exchange_next(struct exchange *exchange, struct err *e)
{
	struct deadline d = deadline_in_ms(exchange->in.n ? HEAD_MS : IDLE_MS);

	used_up(exchange);
	json_doc_free(exchange->doc);
	exchange->doc = NULL;
	if (exchange->broken || (exchange->answered && !exchange->keep))
		return 0;
	exchange->answered = false;
	for (;;) {
		long n = exchange->in.n
		                 ? http_parse_request(buf_str(&exchange->in), &exchange->head, e)
		                 : 0;
		bool first = !exchange->in.n;
		int got;

		if (n > 0)
			return head_done(exchange, (size_t)n, e);
		exchange->head = (struct http_head){ 0 };
		if (n < 0)
			return refuse(exchange, e->kind == ERR_LIMIT ? 431 : 400,
			              "this is no HTTP request", e);
		got = receive(exchange, d, e);
		if (got <= 0 && first)
			return 0; /* between two requests that is an end like any other */
		if (got == 0)
			return err_set(e, ERR_CLOSED, 0, "the request broke off");
		if (got < 0)
			return -1;
		if (first)
			d = deadline_in_ms(HEAD_MS);
	}
}

/* The peer may still send: closing at once would throw the answer away that it has not yet read. */
static void linger(struct exchange *exchange)
{
	struct deadline d = deadline_in_ms(LINGER_MS);
	struct err e = { 0 };

	if (exchange->broken || !exchange->answered || shutdown(exchange->fd, SHUT_WR) < 0)
		return;
	for (int i = 0; i < LINGER_MAX; i++) {
		buf_reset(&exchange->in);
		if (receive(exchange, d, &e) <= 0)
			return;
	}
}

void exchange_free(struct exchange *exchange)
{
	linger(exchange);
	json_doc_free(exchange->doc);
	buf_free(&exchange->in);
	buf_free(&exchange->head_text);
	buf_free(&exchange->path);
	*exchange = (struct exchange){ .fd = exchange->fd };
}

/* What is in exchange->in, of the body. 1, 0 (none yet), -1. */
static int cut_body(struct exchange *exchange, struct str *data, struct err *e)
{
	long n = (long)exchange->in.n;

	if (!exchange->in.n)
		return 0;
	if (exchange->head.framing == HTTP_LENGTH) {
		n = exchange->in.n < exchange->left ? n : (long)exchange->left;
		*data = (struct str){ exchange->in.p, (size_t)n };
		exchange->left -= (uint64_t)n;
		exchange->body_done = !exchange->left;
	} else {
		*data = (struct str){ NULL, 0 };
		n = http_chunked_feed(&exchange->chunked, buf_str(&exchange->in), data, e);
		if (n < 0)
			return -1;
		exchange->body_done = exchange->chunked.done;
	}
	exchange->used = (size_t)n;
	return data->n > 0;
}

int exchange_read(struct exchange *exchange, struct str *data, struct err *e)
{
	used_up(exchange);
	while (!exchange->body_done) {
		int got = cut_body(exchange, data, e);

		if (got)
			return got;
		if (exchange->used || exchange->body_done) {
			used_up(exchange);
			continue;
		}
		if (exchange->waits &&
		    !exchange_write(exchange, STR_LIT("HTTP/1.1 100 Continue\r\n\r\n")))
			return err_set(e, ERR_CLOSED, 0, "the peer has gone");
		exchange->waits = false;
		got = receive(exchange, deadline_in_ms(STALL_MS), e);
		if (got <= 0) {
			exchange->broken = got < 0; /* half closed, maybe: it may hear the answer */
			return got < 0 ? -1 : err_set(e, ERR_CLOSED, 0, "the body broke off");
		}
	}
	return 0;
}

bool exchange_body(struct exchange *exchange, struct buf *body)
{
	struct err e = { 0 };
	struct str data;
	int got;

	while ((got = exchange_read(exchange, &data, &e)) > 0) {
		if (buf_add_max(body, data.p, data.n, EXCHANGE_BODY_MAX, &e) < 0) {
			exchange_fail(exchange, 413, "the body is larger than %u bytes",
			              EXCHANGE_BODY_MAX);
			return false;
		}
	}
	if (got < 0)
		exchange_fail(exchange, 400, "%s", e.msg);
	return got == 0;
}

bool exchange_object(struct exchange *exchange, struct json *root)
{
	struct buf body = { 0 };
	struct err e = { 0 };
	bool ok = exchange_body(exchange, &body);

	if (ok) {
		exchange->doc = json_parse(buf_str(&body), EXCHANGE_BODY_MAX, &e);
		*root = json_root(exchange->doc);
		ok = exchange->doc && json_is_object(*root);
		if (!ok)
			exchange_fail(exchange, 400, "the body is no JSON object%s%s",
			              e.msg[0] ? ": " : "", e.msg);
	}
	buf_wipe(&body);
	return ok;
}

char *exchange_member(struct exchange *exchange, struct json root, const char *name, bool must)
{
	struct json v = json_get(root, name);
	char *text = json_dup(v);

	if (!text && !json_is_null(v) && must)
		exchange_fail(exchange, 400, "%s is no text", name);
	else if (must && (!text || !text[0]))
		exchange_fail(exchange, 400, "%s is required", name);
	if (text && must && !text[0]) {
		free(text);
		text = NULL;
	}
	return text;
}

bool exchange_query_maybe(struct exchange *exchange, const char *name, struct buf *out)
{
	return httpd_query_get(exchange->query, name, out) && out->n &&
	       !memchr(out->p, '\0', out->n);
}

bool exchange_query(struct exchange *exchange, const char *name, struct buf *out)
{
	if (exchange_query_maybe(exchange, name, out) && out->n < PATH_MAX)
		return true;
	exchange_fail(exchange, 400, out->n < PATH_MAX ? "%s is required" : "%s is too long", name);
	return false;
}

void exchange_begin(struct exchange *exchange, int status, const char *type, const char *fields,
                    uint64_t length)
{
	struct buf b = { 0 };

	if (exchange->answered) {
		exchange->broken = true; /* two answers would be read as one and the next one's */
		return;
	}
	exchange->answered = true;
	/* What is left of a body would be taken for the next request. */
	if (!exchange->body_done)
		exchange->keep = false;
	buf_addf(&b, "HTTP/1.1 %d %s\r\n", status, httpd_reason(status));
	if (type)
		buf_addf(&b, "Content-Type: %s\r\n", type);
	buf_adds(&b, fields ? fields : "");
	httpd_add_date(&b);
	if (status != 204)
		buf_addf(&b, "Content-Length: %llu\r\n", (unsigned long long)length);
	buf_addf(&b, "Connection: %s\r\n\r\n", exchange->keep ? "keep-alive" : "close");
	exchange_write(exchange, buf_str(&b));
	buf_free(&b);
}

void exchange_reply(struct exchange *exchange, int status, const char *type, const char *fields,
                    struct str body)
{
	exchange_begin(exchange, status, type, fields, body.n);
	if (!str_eq(exchange->head.method, "HEAD"))
		exchange_write(exchange, body);
}

void exchange_json(struct exchange *exchange, int status, struct buf *json)
{
	exchange_reply(exchange, status, TYPE_JSON, NULL, buf_str(json));
	buf_free(json);
}

void exchange_empty(struct exchange *exchange, int status)
{
	exchange_reply(exchange, status, NULL, NULL, (struct str){ NULL, 0 });
}

/* In the form of the Server's errors (server/call.c). */
void exchange_fail(struct exchange *exchange, int status, const char *fmt, ...)
{
	struct buf body = { 0 }, text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	jw_obj(&body);
	jw_key(&body, "error");
	jw_str(&body, buf_str(&text));
	jw_obj_end(&body);
	exchange_reply(exchange, status, TYPE_TEXT, NULL, buf_str(&body));
	buf_free(&body);
	buf_free(&text);
}

void exchange_fail_err(struct exchange *exchange, const struct err *e)
{
	int status = e->kind == ERR_NOT_FOUND ? 404 : e->kind == ERR_TIMEOUT ? 408 : 400;

	exchange_fail(exchange, status, "%s", e->msg);
}
