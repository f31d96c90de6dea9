/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output of containers and execs as the engine sends it: raw with a TTY, else frames of an 8-byte
 * header (stream, 0, 0, 0, length big endian) and payload (protocol 10.3). Payload is passed on as it comes,
 * so a frame's length is only ever a count.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_FRAMES_H
#define PROVIDERS_DOCKER_ENGINE_FRAMES_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct frames { /* zero to start; raw is set by who knows */
	bool raw;
	unsigned char head[8];
	unsigned n_head;
	uint32_t left;
	uint64_t count; /* frames begun: tells where one starts */
	char system_error[200];
	size_t n_error;
};

/* stream: 1 stdout (also raw), 2 stderr. */
typedef void frames_out(void *arg, int stream, struct str bytes);

/* -1: unknown stream type (ERR_PARSE), or the engine's own error, stream 3 (ERR_OTHER). */
int frames_feed(struct frames *f, struct str in, frames_out *out, void *arg, struct err *e);
/* At end of stream: -1 when it was cut inside a frame (ERR_CLOSED). */
int frames_end(const struct frames *f, struct err *e);

#endif
