/* SPDX-License-Identifier: Apache-2.0 */
/* Which name servers a failed look-up was asked of, for its error text. */
#ifndef NET_NAMESERVERS_H
#define NET_NAMESERVERS_H

#include "base/buf.h"

/* Adds " (name servers: 192.0.2.1, 192.0.2.2)" as path has them, or that there are none. */
void nameservers_add(struct buf *b, const char *path);

#endif
