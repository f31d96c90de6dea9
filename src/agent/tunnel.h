/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's part of byte streams into its workspace: where the Server says in its answers that it can, a long poll is kept
 * open, whose answer names streams; each gets a process (stream.h). Never blocks.
 */
#ifndef AGENT_TUNNEL_H
#define AGENT_TUNNEL_H

#include "api/client.h"

#define TUNNEL_OFFER "X-Daytona-Runner-Tunnel" /* header of the Server's answer to metadata */

struct agent_tunnel {
	/* Set before the start; borrowed. */
	const struct api_settings *settings;
	const char *id;  /* of the workspace; NULL: no streams */
	const char *dir; /* the checkout; NULL: none */

	/* Own. */
	struct api *api;
	struct api_request request;
	struct http_reply reply;
	bool polling;
	int64_t began_ms;
	struct deadline not_before;
	unsigned failures, idle; /* in a row */
};

/* offered: by the last answer to metadata, if it came. */
void tunnel_watch_poll(const struct agent_tunnel *t, bool offered, struct pollset *ps);
void tunnel_watch_step(struct agent_tunnel *t, bool offered);
void tunnel_watch_free(struct agent_tunnel *t);

#endif
