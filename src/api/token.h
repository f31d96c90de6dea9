/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token: what a runner needs to know of its Server, as one word to paste. Inside are a mark and, in base64url, a JSON
 * object of settings ("server.url", "server.key", "server.pin_sha256", "server.allow_http", "runner.id", "runner.name"),
 * TOKEN_JOIN in place of key and id, and TOKEN_CA.
 */
#ifndef API_TOKEN_H
#define API_TOKEN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/kv.h"

#include <stdbool.h>

#define TOKEN_MARK "dr1_" /* a token begins with it */
#define TOKEN_JOIN "join" /* the secret that registers one runner */
#define TOKEN_CA "ca"     /* PEM */

bool token_is(struct str text);
/* ERR_USAGE for what is damaged, and for settings that no token may set. Wipe out with kv_free. */
int token_read(struct str text, struct kv *out, struct err *e);
/* Appends it. What is of no use in a token is left out. */
void token_write(const struct kv *settings, struct buf *out);

#endif
