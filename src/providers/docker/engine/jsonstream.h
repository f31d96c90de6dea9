/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splits a stream of JSON objects (progress of pull, push, build) whatever the chunk edges and the
 * white space between them (field case 54).
 */
#ifndef PROVIDERS_DOCKER_ENGINE_JSONSTREAM_H
#define PROVIDERS_DOCKER_ENGINE_JSONSTREAM_H

#include "base/buf.h"
#include "base/json.h"

#define JSONSTREAM_OBJECT_MAX (1u << 20)

struct jsonstream { /* zero to start */
	struct buf object;
	int depth;
	bool in_string, escaped;
};

/* each: -1 ends with its error. ERR_PARSE for bytes that are no object, ERR_LIMIT for a huge one. */
int jsonstream_feed(struct jsonstream *s, struct str in,
                    int (*each)(void *arg, struct json object, struct err *e), void *arg,
                    struct err *e);
/* Frees; -1 (ERR_CLOSED) when the stream ended inside an object. */
int jsonstream_end(struct jsonstream *s, struct err *e);

#endif
