/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of pull, push and build as lines for a log: one for each thing that ended, and a sum of what
 * flows every few seconds, never one a redraw. An object with "error" fails the operation, whatever
 * the HTTP status was (field case 52).
 */
#ifndef PROVIDERS_DOCKER_ENGINE_PROGRESS_H
#define PROVIDERS_DOCKER_ENGINE_PROGRESS_H

#include "base/deadline.h"
#include "providers/docker/engine/buildtrace.h"
#include "providers/docker/engine/jsonstream.h"
#include "providers/provider.h"

#define PROGRESS_LAYERS 64

struct progress {
	const struct provider_env *env;
	struct jsonstream js;
	struct {
		char id[13];
		int64_t now, total;
	} layers[PROGRESS_LAYERS]; /* those in flight; more are not summed */
	size_t n_layers;
	int64_t said_ms;
	bool failed;
	char error[400];
	char image_id[80]; /* last "aux" id: of a build or commit */
	char last[80];     /* last status said, to drop repeats */
	struct buildtrace trace;
};

void progress_start(struct progress *p, const struct provider_env *env);
/* For http_request.sink with arg = the progress. */
int progress_sink(void *progress, struct str bytes, struct err *e);
/* At the end of a complete reply: -1 if an error object was in the stream, or it was cut inside an object. Frees. */
int progress_end(struct progress *p, struct err *e);

#endif
