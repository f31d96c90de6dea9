/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share: the state of one connection. See httpd.h. */
#ifndef NET_HTTPD_INT_H
#define NET_HTTPD_INT_H

#include "net/conn.h"
#include "net/httpd.h"

#define HTTPD_LISTENERS_MAX 8
/* Bytes of later requests that may wait while one is being answered. */
#define HTTPD_AHEAD_MAX 65536

enum hstate {
	H_SETUP, /* TLS handshake */
	H_HEAD,  /* waiting for a head, or idle */
	H_BODY,
	H_HANDLER, /* the handler keeps the request */
	H_ANSWER,  /* the answer is being written */
	H_WS,
	H_WS_END, /* close frame queued: nothing more is sent */
	H_LINGER, /* written and half closed: read until the peer has read it */
	H_DEAD,
};

struct hconn {
	struct httpd_req req; /* first: the public face of this */
	struct httpd *h;
	struct hconn *next;
	struct conn *c;
	enum hstate state;
	struct deadline until;
	struct buf in, out, head, body;
	enum http_framing framing;
	uint64_t left; /* of a body with a length */
	struct http_chunked chunked;
	bool keep;    /* the connection outlives this request */
	bool minor0;  /* HTTP/1.0 */
	bool no_body; /* HEAD */
	bool eof;
	bool kept;      /* no head timeout yet: idle between requests */
	bool touched;   /* has work that no descriptor announces */
	size_t again_n; /* length of a write that has to be repeated */
	int file_fd;
	uint64_t file_left;
	const struct httpd_ws *ws;
	struct ws_reader reader;
	int ws_code;
	size_t ps_from, ps_to; /* its entries in the pollset */
};

struct listener {
	int fd;
	struct tls_ctx *tls;
	size_t ps_at;
	bool tcp;
	char *unix_path;
};

struct httpd {
	struct httpd_settings s;
	struct listener listeners[HTTPD_LISTENERS_MAX];
	size_t n_listeners;
	struct hconn *conns;
	size_t n_conns;
	struct deadline accept_after; /* descriptors ran out: pause */
};

/* The part of a connection behind the public face. */
static inline struct hconn *hconn_of(struct httpd_req *r)
{
	return (struct hconn *)(void *)r;
}

/* An answer of the server itself, after which the connection ends. */
void hconn_refuse(struct hconn *c, int status, const char *text);
void hconn_flush(struct hconn *c);
/* Feeds what was read to the WebSocket reader and acts on it. */
void hconn_ws_input(struct hconn *c);
void hconn_ws_eof(struct hconn *c);

#endif
