/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way out for a network namespace: a helper of the host (pasta or slirp4netns) carries its connections as sockets of
 * ours. The host's loopback is not reached from inside, nor anything inside from the host; the host's other addresses are.
 */
#ifndef SANDBOX_NETWORK_H
#define SANDBOX_NETWORK_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/proc.h"

enum network_how { NETWORK_MISSING, NETWORK_PASTA, NETWORK_SLIRP };

/* Text of /etc/resolv.conf inside: the helper hands queries on to the host's resolver, though that be on its loopback. */
#define NETWORK_RESOLV "nameserver 10.0.2.3\n"

/* Which helper there is in PATH that can do its work here. */
enum network_how network_find(void);
/* What to do about NETWORK_MISSING. */
const char *network_remedy(void);
/* "ok: …" or "missing: …, do …", for provider check. */
void network_describe(enum network_how how, struct buf *b);

/*
 * Connects the network namespace of init, which is in a user namespace of its own or of ours, and waits until that works.
 * *helper is to be recorded: it is killed when init ends, and network_end does it where its watch was ended first.
 */
int network_start(enum network_how how, struct proc_id init, struct deadline d,
                  struct proc_id *helper, struct err *e);
void network_end(struct proc_id helper); /* none, or gone: fine */

#endif
