/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers being unpacked in processes of their own, a few at a time, while the next ones arrive. What their decoders take of
 * memory is one budget: those that need more are fewer at a time.
 */
#ifndef OCI_UNPACKERS_H
#define OCI_UNPACKERS_H

#include "base/spawn.h"
#include "oci/imgstore.h"

#define UNPACKERS_MAX 4

struct unpackers {
	struct imgstore *s;
	struct deadline until;
	struct unpacker {
		struct spawned process;
		int said; /* what it says when it fails */
		struct digest blob, diff_id;
		bool prove;
		unsigned window_log;
	} run[UNPACKERS_MAX]; /* in the order in which they were started */
	size_t n_run, n;      /* at once: as many as there are processors */
	bool ending;
};

/* Zero but s and until is the valid start. Waits for a place; -1 if one before it failed. */
int unpackers_add(struct unpackers *u, const struct digest *blob, const struct digest *diff_id,
                  bool prove, struct err *e);
/* Waits for all; -1 with the first one's error. */
int unpackers_wait(struct unpackers *u, struct err *e);
/* Ends what still runs. */
void unpackers_end(struct unpackers *u);

#endif
