/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masking of secrets in everything that leaves: log lines, job logs, error texts. A registered
 * secret is searched for as it is, percent-encoded, JSON-escaped and as base64 in its three
 * alignments; each line of a multi-line secret counts alone; pieces shorter than 6 bytes are not
 * masked (field case 45). The user part of every URL is masked as well. Process-wide, since every
 * text that leaves must pass it.
 */
#ifndef BASE_MASK_H
#define BASE_MASK_H

#include "base/buf.h"
#include "base/str.h"

/* Copies; duplicates are ignored. There is no limit to how many. */
void mask_add(struct str secret);
void mask_clear(void); /* wipes and forgets all */
/* Appends s to out with every secret replaced by "***", and the user part of URLs removed. */
void mask_text(struct buf *out, struct str s);

/* Streaming form: looks back over chunk edges. Zero is the valid start. */
struct mask_stream {
	struct buf held; /* the tail: maybe the beginning of a secret or of a URL's user part */
	size_t covered;  /* of held, what belongs to a secret that was replaced already */
};
void mask_stream_feed(struct mask_stream *m, struct buf *out, struct str s);
void mask_stream_end(struct mask_stream *m, struct buf *out); /* flushes what is held and frees */

#endif
