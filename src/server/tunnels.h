/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams into workspaces. A client opens a WebSocket, the workspace's agent is told in the
 * answer to a poll that it keeps open and opens one too, and messages go from each to the other. What
 * they say is theirs (api/tunnel.h); here they are counted, bounded and ended.
 */
#ifndef SERVER_TUNNELS_H
#define SERVER_TUNNELS_H

#include "server/srv.h"

struct tunnels *tunnels_new(struct srv *s);
void tunnels_free(struct tunnels *t); /* NULL is fine; after the connections */
void tunnels_part(
	struct tunnels *t); /* ends all but calls of the toolbox under way, and agents' polls */
void tunnels_poll(const struct tunnels *t, struct pollset *ps);
void tunnels_step(struct tunnels *t); /* pings, time limits */
/* As reply_empty(c, 200), and says that an agent may poll here. */
void tunnels_offer(struct call *c);

struct tunnels_figures {
	size_t open, waiting, agents; /* joined; not yet; polls of agents that wait */
	uint64_t opened, failed;      /* since the start: joined; ended before */
	uint64_t bytes;               /* of messages, since the start */
	size_t queued;                /* bytes that slow readers have not taken, about */
};
struct tunnels_figures tunnels_figures(const struct tunnels *t);

#endif
