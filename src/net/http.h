/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 client: one origin, one connection at a time, kept alive. One state machine serves both
 * the supervisor (http_start, http_poll, http_step: never blocks) and a job's process (http_do:
 * waits up to the deadline).
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/buf.h"
#include "base/deadline.h"
#include "net/conn.h"
#include "net/http_parse.h"

#include <stdbool.h>
#include <stdint.h>

struct http_field {
	const char *name;
	const char *value; /* a control byte in it fails the request */
};

struct http_request {
	const char *method;
	const char *target; /* path and query, encoded; the origin's path prefix is NOT added */
	const struct http_field
		*fields; /* besides Host, Content-Length, Transfer-Encoding, Connection */
	size_t n_fields;
	struct str body; /* sent with Content-Length if method is POST/PUT/PATCH or body.n > 0 */
	const char *content_type; /* NULL: none */
	/* Streamed body instead (chunked coding): appends up to some KB to b; returns 1 more to come, 0 last,
	 * -1 failed. Not repeated on a stale connection: a fresh connection is used. */
	int (*body_source)(void *arg, struct buf *b, struct err *e);
	void *body_arg;
	/* Streamed reply instead of reply->body, called for 2xx only (other bodies are collected): -1 aborts. */
	int (*sink)(void *arg, struct str bytes, struct err *e);
	void *sink_arg;
	size_t max_body; /* collected bytes; 0 means HTTP_BODY_MAX */
	int64_t stall_ms; /* with sink: no byte for that long, also while connecting, is ERR_TIMEOUT; 0: the deadline alone */
	bool upgrade; /* expects 101 (or 200 for a hijacked Docker stream): the caller takes the conn with http_take_conn */
	bool follow; /* redirects: at most 3; GET/HEAD any same-origin 3xx; other methods only 307/308; credentials
	                       * never leave the origin; never https → http. Otherwise an error that names the Location. */
	bool no_keep_alive;
	/* Of POST and PATCH, and methods that we do not know: twice is as good as once, by the protocol of whom is asked. */
	bool idempotent;
};

#define HTTP_BODY_MAX (8u << 20)

struct http_reply {
	int status;
	struct buf head; /* raw head; h borrows from it */
	struct http_head h;
	struct buf body;
	int64_t retry_after_ms; /* Retry-After in seconds or as a date, at most ten minutes; -1 if none */
};
void http_reply_free(struct http_reply *r);

struct http_client;

/* Copies nothing: target's parts are borrowed. user_agent may be NULL. */
struct http_client *http_client_new(const struct conn_target *t, const char *user_agent);
void http_client_free(struct http_client *c);

enum http_progress { HTTP_PENDING, HTTP_DONE, HTTP_FAILED };

/* Starts an exchange; req and its strings, and reply, are borrowed until it is done or aborted. A reused connection
 * that fails before the first byte of the reply is replaced once and the request sent again whole (field case 73). What
 * may have been done, and may not be done twice, is never sent again (RFC 9110 9.2.2): it gets a connection of its own,
 * which cannot be stale. */
void http_start(struct http_client *c, const struct http_request *req, struct http_reply *reply,
                struct deadline d);
void http_poll(const struct http_client *c, struct pollset *ps);
enum http_progress http_step(struct http_client *c, struct err *e);
/* After a wait on ps, which http_poll had filled: a step would find nothing. */
bool http_is_quiet(const struct http_client *c, const struct pollset *ps);
void http_abort(struct http_client *c); /* forgets the exchange and drops the connection */
/* The request has been written whole (so its effect may have happened). Valid until the next start. */
bool http_request_sent(const struct http_client *c);
/* It was written whole on a kept connection that broke, and then sent again: the answer may be about its second
 * coming. Valid until the next start. */
bool http_request_repeated(const struct http_client *c);

/* All of it: 0 with any status; -1 if there is no complete reply. */
int http_do(struct http_client *c, const struct http_request *req, struct http_reply *reply,
            struct deadline d, struct err *e);
/* After an upgrade: the connection, and bytes that came behind the head (appended to early). The client forgets it. */
struct conn *http_take_conn(struct http_client *c, struct buf *early);

/* For pictures of health: connections made and requests sent since the start. */
struct http_stats {
	uint64_t connects, requests, bytes_in, bytes_out;
};
struct http_stats http_client_stats(const struct http_client *c);

#endif
