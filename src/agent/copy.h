/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and trees as a tar stream on a descriptor, both ways: the workspace's side of `cp`, and the client's. What arrives may
 * be hostile: nothing is touched but what is named, or below it, and no link is followed there.
 */
#ifndef AGENT_COPY_H
#define AGENT_COPY_H

#include "agent/streams.h"

#include <stdint.h>

struct copy {
	uint64_t bytes, files; /* so far: of content; of files and links */
	/* Now and then; may be NULL. */
	void (*progress)(void *arg, const struct copy *c);
	void *arg;
};

/* Sends path, a file or a tree; links in it stay links, sockets, pipes and devices are left out. */
int copy_send(int fd, const char *path, struct copy *c, struct err *e);
/* What arrives becomes path; if that is a directory, it goes into it under its own name, as with cp -r. Files that are there
 * are replaced, directories filled; owners are ours, modes without set-id bits. */
int copy_receive(int fd, const char *path, struct copy *c, struct err *e);

/* Kinds get and put; path=… in the query, relative to the checkout. */
stream_handler copy_get, copy_put;

#endif
