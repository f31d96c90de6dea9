/* SPDX-License-Identifier: Apache-2.0 */
/* Layers being unpacked in processes of their own, a few at a time, while the next ones arrive. */
#ifndef OCI_UNPACKERS_H
#define OCI_UNPACKERS_H

#include "base/spawn.h"
#include "oci/imgstore.h"

#define UNPACKERS_MAX 4

struct unpackers {
	struct imgstore *s;
	struct deadline until;
	struct unpacker {
		bool busy;
		struct spawned process;
		int said; /* what it says when it fails */
	} run[UNPACKERS_MAX];
	size_t n; /* at once: as many as there are processors */
};

/* Zero but s and until is the valid start. Waits for a place; -1 if one before it failed. */
int unpackers_add(struct unpackers *u, const struct digest *blob, const struct digest *diff_id,
                  bool prove, struct err *e);
/* Waits for all; -1 with the first one's error. */
int unpackers_wait(struct unpackers *u, struct err *e);
/* Ends what still runs. */
void unpackers_end(struct unpackers *u);

#endif
