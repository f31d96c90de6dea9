/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection to the first address of a list that accepts one. The next address is tried when
 * one fails, or has not answered for a moment, without giving up the earlier ones (RFC 8305).
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "base/err.h"
#include "net/pollset.h"
#include "net/resolve.h"

struct dial;

struct dial *dial_start(const struct addr_list *l, struct deadline d);
void dial_free(struct dial *dial); /* NULL is fine */
/* 1: *fd is the caller's, non-blocking and close-on-exec, *who its address. 0: not yet. -1: every
 * address failed, e (ERR_CONNECT, or ERR_TIMEOUT if none even refused) lists each with its cause. */
int dial_step(struct dial *dial, int *fd, union net_addr *who, struct err *e);
void dial_poll(const struct dial *dial, struct pollset *ps);

#endif
