/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What BuildKit says of a build: the engine sends it as "moby.buildkit.trace" records, base64 of a StatusResponse in the
 * protocol buffers encoding (moby/buildkit api/services/control; protobuf.dev, "Encoding"). Names of steps are
 * lines, once each; output of commands is passed on as it is.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_BUILDTRACE_H
#define PROVIDERS_DOCKER_ENGINE_BUILDTRACE_H

#include "base/buf.h"

#define BUILDTRACE_STEPS 256

struct buildtrace {
	uint32_t seen[BUILDTRACE_STEPS]; /* hashes of steps that were named; more are named again */
	size_t n;
};

/* One record. Appends what there is to say to out; what is malformed ends it, no more. */
void buildtrace_feed(struct buildtrace *t, struct str base64, struct buf *out);

#endif
