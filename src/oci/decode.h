/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a layer as they come out of gzip (RFC 1952) or zstd (RFC 8878), or as they are: told by their first
 * bytes, since media types lie. Streaming, in bounded memory. A compressed stream may not grow beyond a limit, nor, past
 * its first part, by a factor that no honest one has.
 */
#ifndef OCI_DECODE_H
#define OCI_DECODE_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

/* Where bytes go next; -1 ends the stream. */
struct sink {
	int (*take)(void *arg, struct str bytes, struct err *e);
	void *arg;
};

/* Of a zstd stream: 128 MiB is what zstd's own program takes unasked and its highest level writes; podman, buildah and skopeo
 * write 16 and 32 MiB when a level is given. What tools write unless they are asked for more has 2 to 8 MiB. The memory is
 * only taken as far as the stream fills it. */
#define DECODE_WINDOW_LOG_MAX 27
#define DECODE_WINDOW_LOG_DEFAULT 23 /* 8 MiB, which RFC 8878 asks every decoder to take */
#define DECODE_WINDOW_LOG_USUAL 21
#define DECODE_FACTOR_MAX 200
#define DECODE_FACTOR_FREE \
	(1u << 30) /* bytes out before the factor counts: logs of zeros are common */

struct decode;

/* max: bytes out. */
struct decode *decode_new(struct sink to, uint64_t max);
void decode_free(struct decode *d); /* NULL is fine */
/* A window above that many bytes is an error, by its kind ERR_LIMIT and this code. Before anything is fed. */
#define DECODE_WINDOW_CODE 1
void decode_limit_window(struct decode *d, unsigned log);
/* What the first DECODE_HEAD bytes of a file ask for: 0 where it is no zstd stream. */
#define DECODE_HEAD 18
uint64_t decode_window(struct str in);
int decode_feed(struct decode *d, struct str in, struct err *e);
/* All was fed: ERR_CLOSED if the stream is cut. */
int decode_end(struct decode *d, struct err *e);
/* Both, of all that can be read from fd: ERR_TIMEOUT, and ERR_CANCELED when *stop is set. stop may be NULL. */
int decode_file(struct decode *d, int fd, struct deadline until, const volatile int *stop,
                struct err *e);

#endif
