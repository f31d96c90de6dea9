/* SPDX-License-Identifier: Apache-2.0 */
/* What http.c and http_flow.c share: the client, and the flow of its bodies. */
#ifndef NET_HTTP_INT_H
#define NET_HTTP_INT_H

#include "net/http.h"

enum http_state { HTTP_IDLE, HTTP_CONNECTING, HTTP_SENDING, HTTP_HEAD, HTTP_BODY };

struct http_client {
	struct conn_target t;
	const char *user_agent;
	struct conn *conn;
	enum http_state state;
	/* The exchange. */
	const struct http_request *req;
	struct http_reply *reply;
	struct deadline d, stall;
	struct buf target; /* after a redirect; empty: req->target */
	struct buf out;    /* head, and body or the piece of it being sent */
	size_t out_off;
	size_t body_off; /* of a large body, sent from where it is */
	bool joined;     /* the body is in out */
	bool source_done;
	bool reused, retried, repeated, got_bytes, sent;
	bool upgraded, more;
	int interims, redirects;
	uint64_t left, body_bytes;
	struct http_chunked chunked;
	struct buf early;
	struct err err; /* found before the first step, or of a failed write */
	struct http_stats stats;
};

/* 1 all is out, 0 the socket is full, -1 the source failed, -2 the connection broke (c->err). */
int http_send_request(struct http_client *c, struct err *e);
/* 1 the body is complete, 0 more is to come, -1 failed. *used counts what belonged to it. */
int http_take_body(struct http_client *c, struct str in, size_t *used, struct err *e);
/* The limit for silence begins anew. */
void http_restart_stall(struct http_client *c);

#endif
