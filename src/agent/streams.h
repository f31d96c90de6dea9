/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of byte streams into a workspace, one row each in streams.c. A client asks the Server for
 * one (`GET /workspace/ID/tunnel?kind=port&port=8080`), the Server tells the agent, and the agent joins
 * it with what the row names. Each stream has a process of its own, a child of the agent.
 */
#ifndef AGENT_STREAMS_H
#define AGENT_STREAMS_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct stream_request { /* borrowed for the stream's life */
	const char *kind;
	struct str
		query; /* of the client's request, as it was sent: use stream_param. At most 4 KiB */
	const char *dir; /* the checkout, may not exist; NULL: the workspace has none */
};

/* Appends a parameter of the query, decoded. False: it is missing or malformed. A client chose it:
 * check it as you would any peer's bytes. */
bool stream_param(const struct stream_request *q, const char *name, struct buf *out);

/*
 * Serves a stream of raw bytes. fd: blocking, one end of a socketpair, the callee's to close. An end
 * of file there is the client's half close; shutdown(fd, SHUT_WR) is ours. Returns when all is done:
 * 0, or -1 and a text for the client, who gets it as the reason of the close; bytes that were written
 * before still arrive.
 *
 * It runs in a process of its own that leads a session and does nothing else: it may block and fork
 * (base/spawn.h), and nobody minds what it leaves open. Its environment is the agent's, its directory q->dir where that
 * is there, else the agent's, its standard input and output are /dev/null, its standard error is the
 * agent's log. When the client or the agent goes, its session's process group gets SIGHUP and SIGTERM, two seconds later
 * SIGKILL, and with it the programs it left in that group.
 */
typedef int stream_handler(int fd, const struct stream_request *q, struct err *e);

struct stream_kind {
	const char *name;
	/* Either: a connected socket, which the agent joins with the client. *fd: the caller's. */
	int (*connect)(const struct stream_request *q, int *fd, struct err *e);
	/* Or: whoever serves raw bytes. */
	stream_handler *serve;
	bool ends_own; /* it ends what it has started, and what that left behind goes on */
	/* Or: a program that the client names, with a terminal or with pipes (program.h). */
	bool program, terminal;
};
/* NULL: there is none of that name. */
const struct stream_kind *stream_kind(const char *name);

#endif
