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

static void used_up(struct exchange *x)
{
	buf_drop(&x->in, x->used);
	x->used = 0;
}

/* 1: more has come; 0: the end; -1: an error. */
static int receive(struct exchange *x, struct deadline d, struct err *e)
{
	for (;;) {
		ssize_t n;

		if (wait_fd(x->fd, POLLIN, d, e) < 0)
			return -1;
		n = read(x->fd, buf_reserve(&x->in, READ_CHUNK), READ_CHUNK);
		if (n >= 0) {
			x->in.n += (size_t)n;
			return n > 0;
		}
		if (errno != EINTR && errno != EAGAIN)
			return err_sys(e, errno, "read");
	}
}

bool exchange_write(struct exchange *x, struct str bytes)
{
	struct err e = { 0 };

	while (bytes.n && !x->broken) {
		ssize_t n = write(x->fd, bytes.p, bytes.n);

		if (n >= 0) {
			bytes.p += n;
			bytes.n -= (size_t)n;
		} else if (errno != EINTR &&
		           (errno != EAGAIN ||
		            wait_fd(x->fd, POLLOUT, deadline_in_ms(STALL_MS), &e) < 0)) {
			x->broken = true;
		}
	}
	return !x->broken;
}

/* Path and query of the target. False: no path that could be a route. */
static bool split_target(struct exchange *x)
{
	struct str target = x->head.target;
	const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
	struct str path = { target.p, mark ? (size_t)(mark - target.p) : target.n };

	x->query = (struct str){ mark ? mark + 1 : target.p, mark ? target.n - path.n - 1 : 0 };
	buf_reset(&x->path);
	if (!path.n || path.p[0] != '/' || !buf_add_urldec(&x->path, path, false) ||
	    memchr(x->path.p, '\0', x->path.n))
		return false;
	if (x->path.n > 1 && x->path.p[x->path.n - 1] == '/')
		buf_cut(&x->path, x->path.n - 1);
	return true;
}

static int refuse(struct exchange *x, int status, const char *why, struct err *e)
{
	x->keep = false;
	x->body_done = true; /* it is not read */
	exchange_fail(x, status, "%s", why);
	return err_set(e, ERR_PARSE, status, "%s", why);
}

/* A whole head of n bytes is at the front of in. */
static int head_done(struct exchange *x, size_t n, struct err *e)
{
	buf_reset(&x->head_text);
	buf_add(&x->head_text, x->in.p, n);
	x->used = n;
	used_up(x);
	if (http_parse_request(buf_str(&x->head_text), &x->head, e) <= 0)
		return refuse(x, 400, "this is no HTTP request", e);
	x->keep = x->head.keep_alive;
	x->left = x->head.length;
	x->chunked = (struct http_chunked){ 0 };
	x->body_done = x->head.framing == HTTP_NO_BODY ||
	               (x->head.framing == HTTP_LENGTH && !x->left);
	x->waits = str_ieq(http_head_get(&x->head, "Expect"), "100-continue");
	if (!split_target(x))
		return refuse(x, 400, "the request names no path", e);
	return 1;
}

int exchange_next(struct exchange *x, struct err *e)
{
	struct deadline d = deadline_in_ms(x->in.n ? HEAD_MS : IDLE_MS);

	used_up(x);
	json_doc_free(x->doc);
	x->doc = NULL;
	if (x->broken || (x->answered && !x->keep))
		return 0;
	x->answered = false;
	for (;;) {
		long n = x->in.n ? http_parse_request(buf_str(&x->in), &x->head, e) : 0;
		bool first = !x->in.n;
		int got;

		if (n > 0)
			return head_done(x, (size_t)n, e);
		x->head = (struct http_head){ 0 };
		if (n < 0)
			return refuse(x, e->kind == ERR_LIMIT ? 431 : 400,
			              "this is no HTTP request", e);
		got = receive(x, d, e);
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
static void linger(struct exchange *x)
{
	struct deadline d = deadline_in_ms(LINGER_MS);
	struct err e = { 0 };

	if (x->broken || !x->answered || shutdown(x->fd, SHUT_WR) < 0)
		return;
	for (int i = 0; i < LINGER_MAX; i++) {
		buf_reset(&x->in);
		if (receive(x, d, &e) <= 0)
			return;
	}
}

void exchange_free(struct exchange *x)
{
	linger(x);
	json_doc_free(x->doc);
	buf_free(&x->in);
	buf_free(&x->head_text);
	buf_free(&x->path);
	*x = (struct exchange){ .fd = x->fd };
}

/* What is in x->in, of the body. 1, 0 (none yet), -1. */
static int cut_body(struct exchange *x, struct str *data, struct err *e)
{
	long n = (long)x->in.n;

	if (!x->in.n)
		return 0;
	if (x->head.framing == HTTP_LENGTH) {
		n = x->in.n < x->left ? n : (long)x->left;
		*data = (struct str){ x->in.p, (size_t)n };
		x->left -= (uint64_t)n;
		x->body_done = !x->left;
	} else {
		*data = (struct str){ NULL, 0 };
		n = http_chunked_feed(&x->chunked, buf_str(&x->in), data, e);
		if (n < 0)
			return -1;
		x->body_done = x->chunked.done;
	}
	x->used = (size_t)n;
	return data->n > 0;
}

int exchange_read(struct exchange *x, struct str *data, struct err *e)
{
	used_up(x);
	while (!x->body_done) {
		int got = cut_body(x, data, e);

		if (got)
			return got;
		if (x->used || x->body_done) {
			used_up(x);
			continue;
		}
		if (x->waits && !exchange_write(x, STR_LIT("HTTP/1.1 100 Continue\r\n\r\n")))
			return err_set(e, ERR_CLOSED, 0, "the peer has gone");
		x->waits = false;
		got = receive(x, deadline_in_ms(STALL_MS), e);
		if (got <= 0) {
			x->broken = got < 0; /* half closed, maybe: it may hear the answer */
			return got < 0 ? -1 : err_set(e, ERR_CLOSED, 0, "the body broke off");
		}
	}
	return 0;
}

bool exchange_body(struct exchange *x, struct buf *body)
{
	struct err e = { 0 };
	struct str data;
	int got;

	while ((got = exchange_read(x, &data, &e)) > 0) {
		if (buf_add_max(body, data.p, data.n, EXCHANGE_BODY_MAX, &e) < 0) {
			exchange_fail(x, 413, "the body is larger than %u bytes",
			              EXCHANGE_BODY_MAX);
			return false;
		}
	}
	if (got < 0)
		exchange_fail(x, 400, "%s", e.msg);
	return got == 0;
}

bool exchange_object(struct exchange *x, struct json *root)
{
	struct buf body = { 0 };
	struct err e = { 0 };
	bool ok = exchange_body(x, &body);

	if (ok) {
		x->doc = json_parse(buf_str(&body), EXCHANGE_BODY_MAX, &e);
		*root = json_root(x->doc);
		ok = x->doc && json_is_object(*root);
		if (!ok)
			exchange_fail(x, 400, "the body is no JSON object%s%s",
			              e.msg[0] ? ": " : "", e.msg);
	}
	buf_wipe(&body);
	return ok;
}

char *exchange_member(struct exchange *x, struct json root, const char *name, bool must)
{
	struct json v = json_get(root, name);
	char *text = json_dup(v);

	if (!text && !json_is_null(v) && must)
		exchange_fail(x, 400, "%s is no text", name);
	else if (must && (!text || !text[0]))
		exchange_fail(x, 400, "%s is required", name);
	if (text && must && !text[0]) {
		free(text);
		text = NULL;
	}
	return text;
}

bool exchange_query_maybe(struct exchange *x, const char *name, struct buf *out)
{
	return httpd_query_get(x->query, name, out) && out->n && !memchr(out->p, '\0', out->n);
}

bool exchange_query(struct exchange *x, const char *name, struct buf *out)
{
	if (exchange_query_maybe(x, name, out) && out->n < PATH_MAX)
		return true;
	exchange_fail(x, 400, out->n < PATH_MAX ? "%s is required" : "%s is too long", name);
	return false;
}

void exchange_begin(struct exchange *x, int status, const char *type, const char *fields,
                    uint64_t length)
{
	struct buf b = { 0 };

	if (x->answered) {
		x->broken = true; /* two answers would be read as one and the next one's */
		return;
	}
	x->answered = true;
	/* What is left of a body would be taken for the next request. */
	if (!x->body_done)
		x->keep = false;
	buf_addf(&b, "HTTP/1.1 %d %s\r\n", status, httpd_reason(status));
	if (type)
		buf_addf(&b, "Content-Type: %s\r\n", type);
	buf_adds(&b, fields ? fields : "");
	httpd_add_date(&b);
	if (status != 204)
		buf_addf(&b, "Content-Length: %llu\r\n", (unsigned long long)length);
	buf_addf(&b, "Connection: %s\r\n\r\n", x->keep ? "keep-alive" : "close");
	exchange_write(x, buf_str(&b));
	buf_free(&b);
}

void exchange_reply(struct exchange *x, int status, const char *type, const char *fields,
                    struct str body)
{
	exchange_begin(x, status, type, fields, body.n);
	if (!str_eq(x->head.method, "HEAD"))
		exchange_write(x, body);
}

void exchange_json(struct exchange *x, int status, struct buf *json)
{
	exchange_reply(x, status, TYPE_JSON, NULL, buf_str(json));
	buf_free(json);
}

void exchange_empty(struct exchange *x, int status)
{
	exchange_reply(x, status, NULL, NULL, (struct str){ NULL, 0 });
}

/* In the form of the Server's errors (server/call.c). */
void exchange_fail(struct exchange *x, int status, const char *fmt, ...)
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
	exchange_reply(x, status, TYPE_TEXT, NULL, buf_str(&body));
	buf_free(&body);
	buf_free(&text);
}

void exchange_fail_err(struct exchange *x, const struct err *e)
{
	int status = e->kind == ERR_NOT_FOUND ? 404 : e->kind == ERR_TIMEOUT ? 408 : 400;

	exchange_fail(x, status, "%s", e->msg);
}
