/* SPDX-License-Identifier: Apache-2.0 */
/* Address literals and names of hosts, as text. */
#ifndef NET_IP_H
#define NET_IP_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define IP_MAX_BYTES 16

/* How many bytes an address literal has, 4 or 16 in network order, without brackets; 0 if text is none. */
size_t ip_parse(struct str text, unsigned char out[IP_MAX_BYTES]);
/* host is domain or a name below it, in any letter case. An empty domain has no hosts. */
bool host_is_within(struct str host, struct str domain);
/* localhost and names below it (RFC 6761 6.3), also with a final dot. */
bool host_is_localhost(struct str host);

#endif
