/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share: the state of one connection. See httpd.h. */
#ifndef NET_HTTPD_INT_H
#define NET_HTTPD_INT_H

#include "net/conn.h"
#include "net/httpd.h"

#include <sys/socket.h>

/* Bytes of later requests that may wait while one is being answered. */
#define HTTPD_AHEAD_MAX 65536
/* Requests of one connection that are answered before the others have their turn. */
#define HTTPD_REQUESTS_PER_STEP 16
/* What is read and thrown away of a peer that has had its last answer. */
#define HTTPD_DRAIN_MAX (2u << 20)

enum hkind { H_UNKNOWN, H_KNOWN, H_KINDS };

/* One address, or one /64 of IPv6, and what it has. All Unix sockets are one. */
struct peer {
	struct peer *next;
	unsigned char addr[16];
	size_t conns[H_KINDS];
	size_t held[H_KINDS]; /* bytes */
};

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
	struct hconn *prev, *next;
	struct hconn *touched_prev, *touched_next;
	struct conn *c;
	struct deadline until;
	enum hstate state;
	short watched; /* what the kernel has been told to wait for; 0: it does not know it */
	bool touched;  /* see hconn_touch */
	bool eof;
	uint64_t file_left;
	struct buf in, out;
	struct httpd *h;
	struct tls_ctx *tls; /* a reference */
	struct peer *peer;
	enum hkind kind;
	size_t held; /* bytes of requests not yet whole, as counted */
	struct buf head, body;
	enum http_framing framing;
	uint64_t left; /* of a body with a length */
	struct http_chunked chunked;
	bool keep;       /* the connection outlives this request */
	bool minor0;     /* HTTP/1.0 */
	bool no_body;    /* HEAD */
	bool silent;     /* no byte has come yet */
	bool kept;       /* no head timeout yet: idle between requests */
	bool hears;      /* a WebSocket that we close, whose messages count to its end */
	size_t again_n;  /* length of a write that has to be repeated */
	size_t parsed_n; /* bytes of in when they were last parsed for a head */
	size_t seen_n;   /* bytes of in that were searched for the end of one */
	size_t drained;
	int file_fd;
	const struct httpd_ws *ws;
	struct ws_reader reader;
	int ws_code;
	struct buf ws_reason;
	int64_t alive_ms; /* of a WebSocket */
	int unacked;      /* bytes, when last asked */
	union net_addr from;
	struct proc_id process; /* of a Unix socket: who connected; pid 0: of an outer name space */
	uid_t uid;              /* -1: not known */
	int peer_fd;            /* a pidfd of that process, or -1 */
	struct buf method, path, who; /* of the request at hand, when done wants them */
	int64_t began_ms;
	int status; /* of the answer that has begun; 0: none */
	uint64_t length;
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
	struct hconn *conns; /* newest first */
	/* A turn costs what has work, not what is there: the kernel remembers what each connection waits
	 * for (epoll(7)), those with work are in a list, and no deadline of the others is before this. */
	int epoll;
	size_t ps_at; /* its entry in the pollset */
	struct hconn *touched, *touched_last;
	size_t n_touched;
	struct deadline earliest;
	size_t n_conns, n_ws, n_files;
	struct peer *peers;
	size_t kinds[H_KINDS]; /* connections of each */
	size_t held[H_KINDS];  /* bytes */
	uint64_t answers[HTTPD_CLASSES];
	struct deadline accept_after; /* descriptors ran out: pause */
	const struct hconn *stepping; /* the one at hand */
	bool draining;
};

/* The part of a connection behind the public face. */
static inline struct hconn *hconn_of(struct httpd_req *r)
{
	return (struct hconn *)(void *)r;
}

/* It has work that no descriptor announces: it is stepped, or freed when it is dead, without a wait. */
void hconn_touch(struct hconn *c);
/* It is over with it. The only way to H_DEAD. */
void hconn_drop(struct hconn *c);

/* httpd_budget.c */
/* Takes a new connection into the books; who: of AF_INET, AF_INET6 or AF_UNIX. */
void hconn_enter(struct hconn *c, const struct sockaddr *who);
void hconn_leave(struct hconn *c);
/* Counts what it holds now; drops whoever holds most when that is too much. */
void hconn_count_held(struct hconn *c);
bool httpd_is_open(const struct httpd *h);
/* Whether a newcomer may be accepted, if need be in another's place. */
bool httpd_has_room(const struct httpd *h);
/* Makes that place. The connections dropped are H_DEAD, for the caller to reap. */
void httpd_make_room(struct httpd *h);
/* After a newcomer: its address keeps to its share. */
void hconn_keep_share(struct hconn *c);

/* httpd_input.c: each takes from in; true when it got further. */
bool hconn_input_head(struct hconn *c);
bool hconn_input_body(struct hconn *c);

/* An answer begins, whose body has so many bytes. */
void hconn_answers(struct hconn *c, int status, uint64_t length);
/* It is over. */
void hconn_done(struct hconn *c);
/* An answer of the server itself, after which the connection ends. */
void hconn_refuse(struct hconn *c, int status, const char *text);
void hconn_flush(struct hconn *c);
void hconn_file_end(struct hconn *c);
/* Feeds what was read to the WebSocket reader and acts on it. */
void hconn_ws_input(struct hconn *c);
void hconn_ws_eof(struct hconn *c);

#endif
