/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of one byte stream: the agent's end of it (api/tunnel.h), joined with what serves its kind. It dies with the
 * agent, and whatever it started ends with it.
 */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include "agent/streams.h"
#include "api/tunnel.h"
#include "base/spawn.h"

struct stream_order { /* as the Server gave it */
	const struct api_settings *settings;
	const char *workspace, *dir;
	char *id, *kind, *query;
};
/* Starts the process and forgets it: the agent reaps. Nothing is kept. */
int stream_start(const struct stream_order *o, struct err *e);

/* What the parts of that process share. */
struct stream {
	struct stream_request q;
	const struct stream_kind *kind;
	struct tunnel *t;
	struct spawned child; /* a handler or a program; none: not yet, or there is none */
	bool has_child, child_ended;
	int status;            /* of the child, as of wait(2) */
	int said;              /* pipe of a handler's error text; -1 */
	int terminal;          /* master of a program's terminal; -1 */
	struct deadline drain; /* after the child's end: for what its own children hold open */
	bool closing;
	struct deadline until; /* a program must have been named */
};
/* Closes with a text for the client. */
void stream_refuse(struct stream *s, const struct err *e);

#endif
