/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of the workspace's loopback that lead to the client. A stream of kind listen waits for connections and writes a line
 * for each; the client answers each by a stream of kind accepted, whose process is handed the connection.
 */
#ifndef AGENT_LISTEN_H
#define AGENT_LISTEN_H

#include "agent/streams.h"

/* port=N, 0: any. Writes "PORT NAME\n", then "ID\n" for each connection; who is not fetched in 30 s is closed. */
stream_handler listen_serve;
/* name=NAME&id=ID */
int listen_fetch(const struct stream_request *q, int *fd, struct err *e);

#endif
