/* SPDX-License-Identifier: Apache-2.0 */
/* The list of our children; for spawn.c alone. */
#ifndef BASE_SPAWN_REAP_H
#define BASE_SPAWN_REAP_H

#include "base/spawn.h"

/* leads: signals go to its group. */
struct spawned spawn_register(pid_t pid, bool leads);
void spawn_register_clear(void); /* in a child: none of them is its own */

#endif
