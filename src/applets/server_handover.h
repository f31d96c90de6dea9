/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that another process of the same executable takes over from: under the same process id, so that whoever
 * supervises it sees none of it.
 */
#ifndef APPLETS_SERVER_HANDOVER_H
#define APPLETS_SERVER_HANDOVER_H

#include "server/srv.h"

struct handover {
	bool trial;                       /* the next process tries whether it can start */
	int fds[1 + HTTPD_LISTENERS_MAX]; /* the lock of the directory, what listens */
	size_t n;                         /* of these; 0: nobody was before us */
};

/* What the process before us left; false when that is none of ours. */
bool handover_take(struct handover *h);
/* The store of s is closed, its lock kept. argv: "server" and its options behind a place for the program. Returns only
 * when the new process cannot start. */
int handover_give(struct srv *s, int lock, const char **argv, struct err *e);

#endif
