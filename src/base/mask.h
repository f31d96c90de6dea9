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
void mask_stream_feed(struct mask_stream *mask, struct buf *out, struct str s);
void mask_stream_end(struct mask_stream *mask,
                     struct buf *out); /* flushes what is held and frees */

/* The end of what a program said, for an error text: masked as it comes in, so that the cut leaves no part of a
 * secret. Zero but max is the valid start. */
struct mask_tail {
	size_t max;   /* bytes that are kept; at most four times as many are held */
	bool dropped; /* its beginning is gone */
	struct mask_stream stream;
	struct buf text;
};
void mask_tail_add(struct mask_tail *t, struct str s);
/* Without white space at its ends, and where it was cut from the beginning of a line on, if it has another; borrowed until
 * the next call. What is added later may lose its beginning's context. */
struct str mask_tail_text(struct mask_tail *t);
void mask_tail_free(struct mask_tail *t);

/* The beginning of it instead: what comes later is read and dropped. Zero but max is the valid start. */
struct mask_head {
	size_t max;
	struct mask_stream stream;
	struct buf text;
};
void mask_head_add(struct mask_head *h, struct str s);
void mask_head_output(void *head, struct str s); /* the same, as the output of struct proc_spawn */
/* As mask_tail_text. */
struct str mask_head_text(struct mask_head *h);
void mask_head_free(struct mask_head *h);

#endif
