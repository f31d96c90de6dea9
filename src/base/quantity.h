/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts as people write them. */
#ifndef BASE_QUANTITY_H
#define BASE_QUANTITY_H

#include "base/str.h"

/* "512m", "2g", "1.5GiB", "1073741824" to bytes, more than none; a unit is a power of 1024. False if malformed. */
bool quantity_bytes(struct str s, int64_t *out);
/* Processors: "1.5" to 1,500,000,000; at least a thousandth. */
bool quantity_cpus(struct str s, int64_t *nano);

#endif
