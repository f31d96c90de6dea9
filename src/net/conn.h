/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One non-blocking byte stream to a peer: Unix socket, TCP (every address of the name, families
 * alternating, a short limit for each: field case 82), optional proxy (CONNECT, basic auth),
 * optional TLS, or the standard streams of a child process (ssh). Names are resolved in a child
 * process, so a dead name server cannot block the caller; the last good address is remembered.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/deadline.h"
#include "base/err.h"
#include "net/pollset.h"
#include "net/tls.h"
#include "net/url.h"

#include <stdbool.h>
#include <stddef.h>

/* How to reach a peer. All borrowed for the life of the conn (or http client). */
struct conn_target {
	const struct url *url;   /* scheme decides: unix://, http(s)://, ws(s)://, tcp:// */
	struct tls_ctx *tls;     /* needed when the scheme is https or wss; also makes tcp:// TLS */
	const struct url *proxy; /* NULL: direct. http:// only; user part → Proxy-Authorization */
	/* Not NULL: an argv to run, whose standard input and output are the peer (ssh). */
	const char *const *command;
	bool tunnel; /* CONNECT for http and ws, too, where proxies get absolute targets otherwise */
};

struct conn;

enum conn_status { CONN_PENDING, CONN_READY, CONN_FAILED };

/* Begins. Never blocks. The deadline covers everything until CONN_READY. */
struct conn *conn_open(const struct conn_target *t, struct deadline d);
/* Adopts an accepted descriptor (server side); tls NULL for plain. */
struct conn *conn_accept(int fd, struct tls_ctx *tls, struct deadline d);
void conn_free(struct conn *c); /* NULL is fine */
/* Drives the set-up. On CONN_FAILED e lists each address tried with its cause. */
enum conn_status conn_step(struct conn *c, struct err *e);
/* Adds what the conn waits for. want: POLLIN and/or POLLOUT of the user's interest (ready state). */
void conn_poll(const struct conn *c, struct pollset *ps, short want);
/* The same of an accepted one, for owners of many: what its one descriptor is to be watched for, or
 * 0. It may have input that no descriptor announces, beside. */
short conn_events(const struct conn *c, short want);
bool conn_has_more(const struct conn *c);
int conn_fd(const struct conn *c);

#define CONN_AGAIN (-1)
#define CONN_ERROR (-2)
/* > 0 bytes, 0 end of stream (*truncated when TLS ended without close_notify), CONN_AGAIN, CONN_ERROR. */
long conn_read(struct conn *c, void *p, size_t n, bool *truncated, struct err *e);
/* > 0 bytes, CONN_AGAIN, CONN_ERROR. */
long conn_write(struct conn *c, const void *p, size_t n, struct err *e);
/* After a wait on ps, which conn_poll had filled: a read would bring nothing. */
bool conn_is_quiet(const struct conn *c, const struct pollset *ps);
int conn_shutdown_write(struct conn *c); /* half close, for hijacked streams; 0 or -1 */
int conn_unacked(
	const struct conn *c);      /* bytes written that the peer's machine has not acknowledged */
bool conn_is_stale(struct conn *c); /* readable or closed while it should be idle: do not reuse */
const char *conn_peer(const struct conn *c); /* "127.0.0.1:3986", for messages; borrowed */

/* The proxy that the environment or configuration gives for u: NULL = direct. proxy_url/no_proxy
 * from configuration win over http_proxy/https_proxy/no_proxy (and upper-case HTTPS_PROXY, NO_PROXY). no_proxy:
 * exact hosts, ".suffix" or "suffix", IPs, CIDR, host:port, "*". Loopback is always direct. Returned string borrowed. */
const char *proxy_for(const struct url *u, const char *proxy_url, const char *no_proxy);
/* Parses such a value for conn_target.proxy: "host:port" without a scheme is common and means http://. */
int proxy_parse(const char *text, struct url *u, struct err *e);

#endif
