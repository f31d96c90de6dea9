/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of conn.c: a Unix socket, and a proxy that is asked to CONNECT (RFC 9110 9.3.6). */
#ifndef NET_CONN_PARTS_H
#define NET_CONN_PARTS_H

#include "base/buf.h"
#include "base/err.h"
#include "net/url.h"

#include <stdbool.h>

#define UNIX_RETRY_MS 20

/* 1 connected, *fd set; 0 the listener's queue is full, try again after UNIX_RETRY_MS; -1 failed
 * and *fd is -1. What is wrong with the path is said: missing, no socket, permission with its owner (field case 66). */
int unix_connect(int *fd, const char *path, struct err *e);

struct proxy_hop {
	const struct url *proxy;
	const struct url *to;
	struct buf out;   /* the request, until it is sent */
	struct buf in;    /* the reply's head */
	struct buf early; /* what the peer said behind it */
};

void proxy_hop_start(struct proxy_hop *h, const struct url *proxy, const struct url *to);
int proxy_hop_step(struct proxy_hop *h, int fd, struct err *e); /* 1 open, 0 waits, -1 failed */
short proxy_hop_wants(const struct proxy_hop *h);
void proxy_hop_free(struct proxy_hop *h);
/* Appends "Basic …" for the user part of proxy; nothing without one. */
void proxy_authorization(const struct url *proxy, struct buf *b);

#endif
