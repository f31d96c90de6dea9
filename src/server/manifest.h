/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider manifest (protocol 3.20): providers/manifest.json in the store's directory, else one
 * that names what this executable has compiled in. It is also served, for runners that fetch it.
 */
#ifndef SERVER_MANIFEST_H
#define SERVER_MANIFEST_H

#include "server/srv.h"

/* The object of download URLs of that provider and version, or null, as JSON. */
void manifest_urls(const struct srv *s, const char *name, const char *version, struct buf *b);

#endif
