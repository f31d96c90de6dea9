/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses without blocking: getaddrinfo(3) runs in two child processes, one for each
 * family, that write what they found into a pipe. A name server that fails for one family (AAAA
 * refused, or never answered) takes nothing from the other. Literals and localhost need no child. The last address that accepted a
 * connection is remembered for a few hosts, goes first the next time, and stands in when the name
 * servers do not answer (field cases 105, 106).
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/deadline.h"
#include "base/err.h"
#include "net/addr.h"
#include "net/pollset.h"

#include <stdint.h>

#define RESOLVE_ADDRS_MAX 16

struct addr_list {
	union net_addr a[RESOLVE_ADDRS_MAX]; /* families alternate */
	size_t n;
};

struct resolver; /* one question */

enum resolve_status { RESOLVE_PENDING, RESOLVE_DONE, RESOLVE_FAILED };

/* host is borrowed until it is freed. Never NULL: a failed start shows in the first step. */
struct resolver *resolve_start(const char *host, uint16_t port, struct deadline d);
/* RESOLVE_FAILED: ERR_RESOLVE with the name as asked and the name servers, or ERR_TIMEOUT. */
enum resolve_status resolve_step(struct resolver *r, struct addr_list *out, struct err *e);
void resolve_poll(const struct resolver *r, struct pollset *ps);
void resolve_free(struct resolver *r); /* ends the child; NULL is fine */
/* host accepted a connection at a: remembered. */
void resolve_remember(const char *host, const union net_addr *a);
/* No address of host accepts a connection now. */
void resolve_doubt(const char *host);

#endif
