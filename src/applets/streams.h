/* SPDX-License-Identifier: Apache-2.0 */
/* What the applets exec, shell, tunnel, forward and cp share: streams into a workspace, through the Server. */
#ifndef APPLETS_STREAMS_H
#define APPLETS_STREAMS_H

#include "api/tunnel.h"
#include "applets/cli.h"

#define STREAM_FAILED 255 /* exit status when the program's own cannot be said, as of ssh */
#define STREAM_OPEN_MS 15000

struct exec_call {
	const struct cli_admin *admin; /* opened */
	const char *workspace;         /* id or name */
	char *const *args;
	int n_args;          /* 0: the user's shell */
	struct opt_list env; /* "K=V", or "K" for our own value */
	const char *cwd;     /* NULL: the checkout */
	bool input, terminal;
};
/* Runs it with our standard streams; with terminal, if these are one. Returns the exit status: the program's, 128 and
 * the signal's number, 127 if it cannot be started, or STREAM_FAILED; the last two after a message. */
int stream_exec(const char *applet, const struct exec_call *call);

/* After a stream that failed: what a person can do. Returns -1. */
int stream_explain(const struct cli_admin *a, struct err *e);
/* Steps a stream of raw bytes to its end; a break of our own output ends it. */
int stream_run(struct tunnel *t, struct err *e);
/* A descriptor of our own for a tunnel to have; -1 if fd is closed. */
int stream_dup(int fd);
/* The same, and fd is /dev/null from now on: whoever is behind it learns of the end at once. */
int stream_take(int fd);

#endif
