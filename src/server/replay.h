/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the log, read back into an index that is loading. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "server/disk.h"

/* False when the line, or an operation in it, is damaged; the others count. */
bool replay_line(struct store *s, struct str line, unsigned segment);
void replay_put(struct store *s, struct rec *draft, unsigned segment, uint32_t bytes);
/* Is the hash in front that of what follows? */
bool replay_is_whole(struct str line);

#endif
