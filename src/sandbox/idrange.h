/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of ids that root gives to sandboxes, one each: in a directory, one link a range, whose name is its number and
 * whose target the owner. A range is there as long as its link, so it is nobody else's after a crash either.
 */
#ifndef SANDBOX_IDRANGE_H
#define SANDBOX_IDRANGE_H

#include "base/err.h"

#include <stdint.h>

/* Above the ids of people, of /etc/subuid as it is usual, and of systemd. */
#define IDRANGE_FIRST 0x70000000u
#define IDRANGE_N 4000u

/* The first of USERNS_RANGE ids; the same again for the same owner (an id, str_is_id). Makes the directory. */
int idrange_take(const char *dir, const char *owner, uint32_t *first, struct err *e);
int idrange_free(const char *dir, const char *owner, struct err *e); /* none: fine */

#endif
