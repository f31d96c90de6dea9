/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a workspace `started`: its metadata, posted every few seconds (protocol 1.2, 11.3), with
 * the checkout's state. Never blocks; a Server that is away or refuses is tried again for ever.
 */
#ifndef AGENT_BEAT_H
#define AGENT_BEAT_H

#include "agent/helper.h"
#include "api/client.h"

struct agent_beat {
	/* Set before the start; borrowed. */
	struct api *api; /* NULL: no heartbeats */
	const char *id;
	bool is_target;  /* has no checkout */
	const char *dir; /* the checkout; NULL: none */
	int64_t interval_ms;

	/* Own. */
	int64_t started_ms;
	struct agent_helper status; /* git status */
	struct buf git;             /* its last answer: a JSON object */
	int64_t status_at_ms, status_every_ms, status_began_ms;
	int64_t seen_change; /* of .git/index and .git/HEAD */
	bool git_failed;     /* said already */
	struct api_request request;
	struct http_reply reply;
	struct buf body;
	bool posting, posted;
	bool streams; /* the last answer came and says that the Server passes streams on */
	int64_t post_at_ms;
	unsigned failures;
};

void beat_start(struct agent_beat *b);                          /* the first is due at once */
void beat_poll(const struct agent_beat *b, struct pollset *ps); /* adds what it waits for */
void beat_step(struct agent_beat *b);                           /* does what can be done now */
void beat_free(struct agent_beat *b);

#endif
