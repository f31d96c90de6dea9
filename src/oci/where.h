/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where registries are in truth, by the word of this host's operator: for all of this process, like what is allowed
 * (base/allow.h). What a caller says in its registry_options comes first.
 */
#ifndef OCI_WHERE_H
#define OCI_WHERE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* mirrors: "HOST=MIRROR[:PORT], …", asked in this order before HOST itself; plain_http: "HOST[:PORT], …", spoken to without TLS.
 * NULL or "": none. Borrowed. */
void where_set(const char *mirrors, const char *plain_http);
/* ERR_CONFIG names the first part of mirrors that is none. */
int where_check(const char *mirrors, struct err *e);
/* The mirror of host with number i, from 0 on, is appended; false: there are fewer. */
bool where_mirror(const char *host, size_t i, struct buf *mirror);
bool where_is_plain(const char *host);

#endif
