/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 and WebSocket server, non-blocking, one thread, over a pollset (RFC 9112, RFC 6455).
 * The owner's loop: pollset_reset, httpd_poll, pollset_wait, httpd_step. Each request goes to one
 * callback, which answers at once, keeps the request and answers later (long poll), streams a
 * file, or turns the connection into a WebSocket.
 *
 *	struct httpd_settings s = { .request = on_request, .arg = me };
 *	struct httpd *h = httpd_new(&s);
 *	if (httpd_listen(h, "127.0.0.1", 3983, NULL, &e) < 0) …
 *	static void on_request(void *arg, struct httpd_req *r) {
 *		httpd_respond(r, 200, "application/json", NULL, STR_LIT("{\"status\":\"ok\"}"));
 *	}
 */
#ifndef NET_HTTPD_H
#define NET_HTTPD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/proc.h"
#include "net/addr.h"
#include "net/http_parse.h"
#include "net/pollset.h"
#include "net/tls.h"
#include "net/ws.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One request and its connection. From the callback until it is answered, or gone, or closed, the
 * handler may keep the pointer; what is marked "callback" must be copied to last longer. */
struct httpd_req {
	const struct http_head *head; /* callback */
	struct str method;            /* callback; "GET" … */
	struct str path;              /* callback; before '?', not decoded, starts with '/' */
	struct str query;             /* callback; after '?', not decoded; may be empty */
	struct str body;              /* callback; whole, de-chunked */
	size_t body_max;              /* bytes; admit may lower it */
	bool tls;
	void *user; /* the handler's; NULL at first */
	/* Set by a handler that answers later. Called once if the peer leaves before the answer, or
	 * the server is freed: the handler forgets the request and must not answer. */
	void (*gone)(struct httpd_req *r);
};

/* One request that has had its answer, or as much of it as the peer took. Borrowed. */
struct httpd_done {
	struct str method, path; /* as in the request; empty when it was malformed */
	struct str who;          /* by httpd_name */
	int status;
	uint64_t bytes; /* of the body */
	int64_t ms;     /* from the head's end */
};

/* Zero members take the defaults in brackets. Strings are borrowed for the server's life. */
struct httpd_settings {
	/* Must answer, or keep the request and set gone. */
	void (*request)(void *arg, struct httpd_req *r);
	/* Called when a head is complete and a body follows, before any of it is kept. It answers,
	 * which refuses: the body is thrown away as it comes and the connection ends. Or it
	 * returns. NULL: every body is read, and there is one budget, for all. */
	void (*admit)(void *arg, struct httpd_req *r);
	/* Called at the end of each request; a WebSocket's is that of the connection. May be NULL. */
	void (*done)(void *arg, const struct httpd_req *r, const struct httpd_done *d);
	void *arg;
	const char *
		ws_protocol; /* that a WebSocket gets when it offers it, or NULL (RFC 6455 4.2.2) */
	const char *fields;  /* sent with each answer of a handler: "Name: value\r\n"…, or NULL */
	size_t max_conns;    /* [128] beyond: idle ones make room, else new ones wait unaccepted */
	size_t max_unknown;  /* [max_conns] of these, nobody of whom has been vouched for */
	size_t max_ws;       /* [max_conns] WebSockets; beyond: 503 */
	size_t max_files;    /* [max_conns] files under way; beyond: 503 */
	size_t max_body;     /* [1 MiB] bytes; larger: 413 */
	size_t max_held;     /* [32 MiB] bytes of requests not yet whole, all peers together */
	size_t max_held_unknown; /* [4 MiB] the same, of the unknown */
	int64_t head_ms;         /* [10 s] for a whole head, TLS handshake included */
	int64_t body_ms;         /* [60 s] for a whole body */
	int64_t idle_ms;         /* [150 s] kept alive without a request */
	int64_t silent_ms;       /* [head_ms] for the first byte */
	int64_t unknown_idle_ms; /* [idle_ms] kept alive, nobody having vouched */
	int64_t stall_ms;        /* [30 s] a peer that takes no byte for that long is dropped */
	size_t ws_queue_max;     /* [256 KiB] bytes queued to one WebSocket peer */
	/* Sockets that listen already: the first calls of httpd_listen… take these, in that order. */
	const int *inherited;
	size_t n_inherited;
};

struct httpd;

struct httpd *httpd_new(const struct httpd_settings *s); /* copies s */
void httpd_free(struct httpd *h); /* NULL is fine; calls gone and closed of what is open */
/* addr: IPv4 or IPv6 literal, "" or "*" for all. Port 0: any free one. tls NULL: plain. May be
 * called several times. ERR_BUSY when the address is in use. */
int httpd_listen(struct httpd *h, const char *addr, uint16_t port, struct tls_ctx *tls,
                 struct err *e);
/* A Unix socket, mode 0600; a stale one in its place is removed. */
int httpd_listen_unix(struct httpd *h, const char *path, struct err *e);
uint16_t httpd_port(const struct httpd *h); /* of the first TCP listener; 0 if none */
void httpd_stop_listening(struct httpd *h);
/* Before the listening sockets go to another process: accepts nobody, ends connections that are idle, and all others after
 * the answer at hand. Returns how many have a request under way: call it after each step. */
size_t httpd_drain(struct httpd *h);
/* Drops every connection but that one (may be NULL). */
void httpd_drop_others(struct httpd *h, const struct httpd_req *r);
void httpd_resume(struct httpd *h); /* the other process did not come */
#define HTTPD_LISTENERS_MAX 8
size_t httpd_listeners(const struct httpd *h, int fds[HTTPD_LISTENERS_MAX]);
/* What new connections of the listeners with TLS get, in place of what httpd_listen was given; those
 * that are open keep theirs alive. */
void httpd_set_tls(struct httpd *h, struct tls_ctx *tls);

void httpd_poll(struct httpd *h, struct pollset *ps);
/* ps as filled by httpd_poll and waited for; NULL steps everything. */
void httpd_step(struct httpd *h, const struct pollset *ps);
size_t httpd_conns(const struct httpd *h);

#define HTTPD_CLASSES 5 /* of statuses: 1xx … 5xx */
struct httpd_stats {
	size_t known, unknown; /* connections; each is one of these */
	size_t websockets, files;
	uint64_t answers[HTTPD_CLASSES]; /* since the start, by class of status */
};
struct httpd_stats httpd_stats(const struct httpd *h);
/* The handler knows who asks, by a key: the connection moves from the unknown to the known. What is
 * dropped for want of room is by address (IPv6: /64): of the unknown, then of idle known ones, each
 * time the oldest of the address that has most. */
void httpd_vouch(struct httpd_req *r);
/* Who asks, for done. */
void httpd_name(struct httpd_req *r, struct str who);
/* From where: "127.0.0.1:4242", "unix". */
void httpd_from(const struct httpd_req *r, char out[NET_ADDR_TEXT]);
/* Which process (pid 0: of an outer name space) of which user connected to a Unix socket. It may be gone, and its pid
 * another's (proc_alive). False where that is not known. */
bool httpd_peer(const struct httpd_req *r, struct proc_id *peer, uid_t *uid);
/* That process has ended: for certain, where the kernel tells; proc_alive takes one with its pid for it that began in the
 * same hundredth of a second. */
bool httpd_peer_ended(const struct httpd_req *r);

/* Each answers once. content_type NULL: none. fields: more header lines "Name: value\r\n"… or NULL.
 * Texts are copied. The connection stays open if the client wants that. 204 and 304: no body. */
void httpd_respond(struct httpd_req *r, int status, const char *content_type, const char *fields,
                   struct str body);
/* Streams size bytes from fd, which now belongs to the connection. */
void httpd_respond_file(struct httpd_req *r, int status, const char *content_type,
                        const char *fields, int fd, uint64_t size);

struct httpd_ws {
	/* One whole data message (WS_TEXT or WS_BINARY); pings are answered here. May be NULL. */
	void (*message)(struct httpd_req *r, enum ws_opcode op, struct str payload);
	/* The queue has become empty. May be NULL. */
	void (*drained)(struct httpd_req *r);
	/* Last, once. code: the peer's close code, 1005 without one, 1006 when it just left. */
	void (*closed)(struct httpd_req *r, int code);
	int eof_code;       /* close code sent to a peer that leaves without one; 0: none */
	size_t max_message; /* bytes; 0: WS_FRAME_MAX */
	/* Set for httpd_take_over alone, and then in place of message: how many of the bytes it took. */
	size_t (*bytes)(struct httpd_req *r, struct str bytes);
};
/* Answers 101 and returns 0; or answers 400, with fields (may be NULL), and returns -1 when it is
 * no WebSocket handshake. ws is borrowed for the connection's life. */
int httpd_upgrade(struct httpd_req *r, const struct httpd_ws *ws, const char *fields);
/* Without an answer of ours: the rest of the connection is bytes both ways, the request's body first. ws as above, with
 * bytes. Also from admit. It answers 503 and returns -1 when there are too many. */
int httpd_take_over(struct httpd_req *r, const struct httpd_ws *ws);
void httpd_more(struct httpd_req *r); /* asks bytes again, for what it left */
void httpd_answered(struct httpd_req *r,
                    int status); /* for done: what the bytes that were sent say */
/* Queues a frame, or the bytes; false (nothing queued) when the queue would pass its limit or is closing. */
bool httpd_ws_send(struct httpd_req *r, enum ws_opcode op, struct str payload);
size_t httpd_ws_queued(const struct httpd_req *r);
void httpd_ws_close(struct httpd_req *r, int code); /* after what is queued; closed follows */
/* The same, but messages that the peer sent before it learns of it are still taken. */
void httpd_ws_close_hearing(struct httpd_req *r, int code);
void httpd_ws_close_with(struct httpd_req *r, int code, const char *reason);
struct str
httpd_ws_reason(const struct httpd_req *r); /* of the peer's close, printable; in closed */
/* When a byte last came from the peer, or its machine was last seen to take one that had waited:
 * ask now and then. */
int64_t httpd_ws_alive_ms(struct httpd_req *r);

/* Appends the value of the first query parameter of that name, decoded (plus is space). False: it
 * is missing or malformed. */
bool httpd_query_get(struct str query, const char *name, struct buf *out);

/* For who writes an answer's head by himself. */
const char *httpd_reason(int status);
void httpd_add_date(struct buf *b); /* appends the line "Date: …" */

#endif
