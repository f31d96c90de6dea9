/* SPDX-License-Identifier: Apache-2.0 */
/* See http.h. The flow of bodies is in http_flow.c; request heads, dates and redirects in http_parts.c. */
#include "net/http_int.h"

#include "base/attr.h"
#include "base/mem.h"
#include "net/http_parts.h"

#include <string.h>

#define READ_BYTES 8192
#define READS_PER_STEP 64 /* then the other components have their turn */
#define INTERIM_MAX 5
#define REDIRECTS_MAX 3
#define JOIN_MAX 65536 /* a body up to this goes out in one write with its head */
#define OUT_KEPT 16384 /* memory that the next request has again */

void http_reply_free(struct http_reply *r)
{
	buf_free(&r->head);
	buf_wipe(&r->body);
	memset(r, 0, sizeof(*r));
}

struct http_client *http_client_new(const struct conn_target *t, const char *user_agent)
{
	struct http_client *c = mem_alloc(sizeof(*c));

	c->t = *t;
	c->user_agent = user_agent;
	return c;
}

static void http_client_disconnect(struct http_client *c)
{
	conn_free(c->conn);
	c->conn = NULL;
	c->upgraded = false;
	buf_free(&c->early);
}

/* The request held a key, anywhere in it. A heartbeat does not map its memory anew each time. */
static void wipe_out(struct http_client *c)
{
	if (c->out.cap > OUT_KEPT)
		buf_wipe(&c->out);
	mem_wipe(c->out.p, c->out.cap);
	c->out.n = 0;
}

/* What a finished exchange leaves is nothing but the connection. */
static void forget(struct http_client *c)
{
	c->state = HTTP_IDLE;
	wipe_out(c);
	buf_free(&c->target);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	http_client_disconnect(c);
	forget(c);
	buf_free(&c->out);
	free(c);
}

void http_abort(struct http_client *c)
{
	http_client_disconnect(c);
	forget(c);
}

bool http_request_sent(const struct http_client *c)
{
	return c->sent;
}

bool http_request_repeated(const struct http_client *c)
{
	return c->repeated;
}

struct http_stats http_client_stats(const struct http_client *c)
{
	return c->stats;
}

static const char *target_of(const struct http_client *c)
{
	return c->target.n ? buf_cstr(&c->target) : c->req->target;
}

static void clear_reply(struct http_client *c)
{
	http_reply_free(c->reply);
	c->reply->retry_after_ms = -1;
	c->chunked = (struct http_chunked){ 0 };
	c->left = c->body_bytes = 0;
	c->got_bytes = c->sent = c->more = false;
	c->interims = 0;
}

static void connect_fresh(struct http_client *c)
{
	http_client_disconnect(c);
	c->conn = conn_open(&c->t, c->d);
	c->reused = false;
	c->state = HTTP_CONNECTING;
	c->stats.connects++;
}

/* May it be sent again when it is not known what became of it? RFC 9110 9.2.2; a streamed body is gone then. */
static bool is_repeatable(const struct http_request *req)
{
	static const char *const idempotent[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };

	for (size_t i = 0; i < ARRAY_LEN(idempotent); i++)
		if (strcmp(req->method, idempotent[i]) == 0)
			return !req->body_source;
	return req->idempotent && !req->body_source;
}

/* Builds the request and begins to send it, on the kept connection if that is still good. */
static void begin(struct http_client *c)
{
	const struct http_request *req = c->req;

	clear_reply(c);
	wipe_out(c);
	c->out_off = c->body_off = 0;
	c->source_done = false;
	c->stats.requests++;
	c->state = HTTP_CONNECTING;
	if (http_request_head(&c->out, req, target_of(c), &c->t, c->user_agent, &c->err) < 0) {
		http_client_disconnect(c);
		return;
	}
	c->joined = !req->body_source && req->body.n <= JOIN_MAX;
	if (c->joined)
		buf_add_str(&c->out, req->body);
	if (c->conn && (c->upgraded || !is_repeatable(req) || conn_is_stale(c->conn)))
		http_client_disconnect(c);
	c->reused = c->conn != NULL;
	if (c->reused)
		c->state = HTTP_SENDING;
	else
		connect_fresh(c);
}

void http_start(struct http_client *c, const struct http_request *req, struct http_reply *reply,
                struct deadline d)
{
	if (c->state != HTTP_IDLE)
		http_abort(c);
	c->req = req;
	c->reply = reply;
	c->d = d;
	c->stall = DEADLINE_NEVER;
	http_restart_stall(c);
	c->redirects = 0;
	c->retried = c->repeated = false;
	err_clear(&c->err);
	buf_free(&c->target);
	begin(c);
}

static int fail_at(struct http_client *c, enum err_kind kind, struct err *e, const char *what)
{
	const struct url *u = c->t.url;

	if (u->port)
		return err_set(e, kind, 0, "%s:%u: %s", u->host, u->port, what);
	return err_set(e, kind, 0, "%s: %s", u->path, what);
}

/* The connection broke before any byte of a reply. A kept one may have been closed by the peer as we
 * wrote, so the request is sent again, once; a fresh one's failure is an answer (field case 73). */
static bool try_again(struct http_client *c)
{
	if (!c->reused || c->got_bytes || c->retried)
		return false;
	c->retried = true;
	c->repeated = c->repeated || c->sent;
	c->out_off = c->body_off = 0;
	c->sent = false;
	err_clear(&c->err);
	connect_fresh(c);
	return true;
}

static enum http_progress finish(struct http_client *c, size_t surplus)
{
	struct http_reply *r = c->reply;

	r->retry_after_ms = http_retry_after(&r->h);
	if (!c->sent || surplus || !r->h.keep_alive || c->req->no_keep_alive)
		http_client_disconnect(c);
	forget(c);
	return HTTP_DONE;
}

static bool is_redirect(const struct http_reply *r)
{
	return (r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 ||
	        r->status == 308) &&
	       http_head_get(&r->h, "Location").n;
}

static enum http_progress complete(struct http_client *c, size_t surplus, struct err *e)
{
	struct buf next = { 0 };

	if (!c->req->follow || !is_redirect(c->reply))
		return finish(c, surplus);
	if (++c->redirects > REDIRECTS_MAX) {
		fail_at(c, ERR_HTTP, e, "more than 3 redirects");
		e->code = c->reply->status;
		return HTTP_FAILED;
	}
	if (http_redirect(&c->t, c->req->method, target_of(c), c->reply, &next, e) < 0)
		return HTTP_FAILED;
	if (c->req->body_source) {
		buf_free(&next);
		err_set(e, ERR_HTTP, c->reply->status,
		        "HTTP %d redirects a streamed body, which cannot be sent again",
		        c->reply->status);
		return HTTP_FAILED;
	}
	if (!c->sent || surplus || !c->reply->h.keep_alive)
		http_client_disconnect(c);
	buf_free(&c->target);
	c->target = next;
	c->retried = false;
	begin(c);
	return HTTP_PENDING;
}

static enum http_progress upgraded(struct http_client *c, size_t head_n)
{
	struct http_reply *r = c->reply;

	c->upgraded = true;
	buf_add(&c->early, r->head.p + head_n, r->head.n - head_n);
	r->head.n = head_n;
	forget(c);
	return HTTP_DONE;
}

static enum http_progress feed_body(struct http_client *c, struct str in, struct err *e)
{
	size_t used;
	int rc = http_take_body(c, in, &used, e);

	if (rc < 0)
		return HTTP_FAILED;
	return rc ? complete(c, in.n - used, e) : HTTP_PENDING;
}

/* The head is collected in reply->head; what came behind it is the body's beginning. */
static enum http_progress feed_head(struct http_client *c, struct str in, struct err *e)
{
	struct http_reply *r = c->reply;
	bool lf = in.n && memchr(in.p, '\n', in.n);
	long n;

	buf_add_str(&r->head, in);
	while (lf || r->head.n >= HTTP_HEAD_MAX) {
		n = http_parse_response(buf_str(&r->head), c->req->method, &r->h, e);
		if (n < 0) {
			err_wrap(e, "%s: not understood", conn_peer(c->conn));
			return HTTP_FAILED;
		}
		if (n == 0)
			return HTTP_PENDING;
		r->status = r->h.status;
		if (c->req->upgrade &&
		    (r->status == 101 || (r->status == 200 && r->h.framing == HTTP_UNTIL_CLOSE)))
			return upgraded(c, (size_t)n);
		if (r->status >= 200) {
			struct str rest = { r->head.p + n, r->head.n - (size_t)n };

			r->head.n = (size_t)n;
			c->left = r->h.framing == HTTP_LENGTH ? r->h.length : 0;
			c->state = HTTP_BODY;
			return feed_body(c, rest, e);
		}
		if (r->status == 101 || ++c->interims > INTERIM_MAX) {
			fail_at(c, ERR_PARSE, e,
			        r->status == 101 ? "HTTP 101 without having asked for it"
			                         : "too many interim replies (HTTP 1xx)");
			return HTTP_FAILED;
		}
		buf_drop(&r->head, (size_t)n);
	}
	return HTTP_PENDING;
}

static enum http_progress at_end(struct http_client *c, bool truncated, struct err *e)
{
	struct buf b = { 0 };

	if (c->state == HTTP_BODY && c->reply->h.framing == HTTP_UNTIL_CLOSE && !truncated)
		return complete(c, 0, e);
	if (c->state != HTTP_BODY && try_again(c))
		return HTTP_PENDING;
	if (c->err.kind) {
		*e = c->err;
		err_wrap(e, "%s", conn_peer(c->conn));
		return HTTP_FAILED;
	}
	if (c->state != HTTP_BODY) {
		fail_at(c, ERR_CLOSED, e,
		        c->got_bytes ? "the connection was closed inside the reply's head"
		                     : "the connection was closed without a reply");
		return HTTP_FAILED;
	}
	buf_addf(&b, "the reply was cut after %llu", (unsigned long long)c->body_bytes);
	if (c->reply->h.framing == HTTP_LENGTH)
		buf_addf(&b, " of %llu", (unsigned long long)c->reply->h.length);
	buf_adds(&b, " bytes");
	fail_at(c, ERR_CLOSED, e, buf_cstr(&b));
	buf_free(&b);
	return HTTP_FAILED;
}

static enum http_progress receive(struct http_client *c, struct err *e)
{
	enum http_progress p = HTTP_PENDING;
	char piece[READ_BYTES];

	for (int i = 0; i < READS_PER_STEP; i++) {
		bool truncated;
		struct err why = { 0 };
		long n = conn_read(c->conn, piece, sizeof(piece), &truncated, &why);

		if (n == CONN_AGAIN)
			return HTTP_PENDING;
		if (n == CONN_ERROR)
			c->err = why;
		if (n <= 0)
			return at_end(c, truncated || n < 0, e);
		c->stats.bytes_in += (uint64_t)n;
		c->got_bytes = true;
		if (c->state == HTTP_BODY)
			p = feed_body(c, (struct str){ piece, (size_t)n }, e);
		else
			p = feed_head(c, (struct str){ piece, (size_t)n }, e);
		if (p != HTTP_PENDING || c->state < HTTP_SENDING || !c->got_bytes)
			return p; /* done, failed, or begun anew by a redirect */
	}
	c->more = true;
	return HTTP_PENDING;
}

static enum http_progress step_sending(struct http_client *c, struct err *e)
{
	int rc = http_send_request(c, e);

	if (rc == 1) {
		c->sent = true;
		c->state = HTTP_HEAD;
		http_restart_stall(c);
		return HTTP_PENDING;
	}
	if (rc == -1)
		return HTTP_FAILED;
	/* A peer that refuses a body may answer before it has read it, and may close then. */
	if (rc == -2)
		c->state = HTTP_HEAD;
	return receive(c, e);
}

static enum http_progress step(struct http_client *c, struct err *e)
{
	enum conn_status s;

	c->more = false;
	if (c->state == HTTP_CONNECTING) {
		if (c->err.kind) {
			*e = c->err;
			return HTTP_FAILED;
		}
		s = conn_step(c->conn, e);
		if (s != CONN_READY)
			return s == CONN_FAILED ? HTTP_FAILED : HTTP_PENDING;
		c->state = HTTP_SENDING;
	}
	if (c->state == HTTP_SENDING)
		return step_sending(c, e);
	return receive(c, e);
}

static void timed_out(struct http_client *c, struct err *e)
{
	struct buf b = { 0 };

	if (deadline_passed(c->stall))
		buf_addf(&b, "stalled: nothing came for %lld s",
		         (long long)c->req->stall_ms / 1000);
	else if (c->state == HTTP_BODY)
		buf_addf(&b, "timed out inside the reply, after %llu bytes",
		         (unsigned long long)c->body_bytes);
	else if (c->state == HTTP_HEAD)
		buf_adds(&b, "timed out: no reply");
	else if (c->state == HTTP_SENDING)
		buf_adds(&b, "timed out: it does not take the request");
	else
		buf_adds(&b, "timed out: no connection");
	fail_at(c, ERR_TIMEOUT, e, buf_cstr(&b));
	buf_free(&b);
}

enum http_progress http_step(struct http_client *c, struct err *e)
{
	enum http_progress p;

	if (c->state == HTTP_IDLE) {
		err_set(e, ERR_OTHER, 0, "no HTTP exchange was started");
		return HTTP_FAILED;
	}
	p = step(c, e);
	if (p == HTTP_PENDING && !c->more && (deadline_passed(c->d) || deadline_passed(c->stall))) {
		timed_out(c, e);
		p = HTTP_FAILED;
	}
	if (p == HTTP_FAILED)
		http_abort(c);
	return p;
}

void http_poll(const struct http_client *c, struct pollset *ps)
{
	if (c->state == HTTP_IDLE)
		return;
	pollset_until(ps, c->more || !c->conn ? DEADLINE_PAST : deadline_min(c->d, c->stall));
	if (c->conn)
		conn_poll(c->conn, ps,
		          c->state == HTTP_SENDING  ? POLLIN | POLLOUT
		          : c->state > HTTP_SENDING ? POLLIN
		                                    : 0);
}

bool http_is_quiet(const struct http_client *c, const struct pollset *ps)
{
	return c->state > HTTP_SENDING && c->conn && !c->more && !deadline_passed(c->d) &&
	       !deadline_passed(c->stall) && conn_is_quiet(c->conn, ps);
}

int http_do(struct http_client *c, const struct http_request *req, struct http_reply *reply,
            struct deadline d, struct err *e)
{
	struct pollset ps = { 0 };
	enum http_progress p;

	http_start(c, req, reply, d);
	while ((p = http_step(c, e)) == HTTP_PENDING) {
		pollset_reset(&ps);
		http_poll(c, &ps);
		if (pollset_wait(&ps, e) < 0) {
			http_abort(c);
			p = HTTP_FAILED;
			break;
		}
	}
	pollset_free(&ps);
	return p == HTTP_DONE ? 0 : -1;
}

struct conn *http_take_conn(struct http_client *c, struct buf *early)
{
	struct conn *conn = c->upgraded ? c->conn : NULL;

	if (!conn)
		return NULL;
	buf_add_str(early, buf_str(&c->early));
	c->conn = NULL;
	http_client_disconnect(c);
	return conn;
}
