/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of content: "sha256:" and 64 hexadecimal digits. No other algorithm is taken. */
#ifndef OCI_DIGEST_H
#define OCI_DIGEST_H

#include "base/str.h"
#include "net/tls.h"

#include <stdbool.h>

#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX 64

struct digest {
	char text[sizeof(DIGEST_PREFIX) + DIGEST_HEX]; /* "" is none */
};

bool digest_parse(struct str s, struct digest *d);
bool digest_eq(const struct digest *a, const struct digest *b);
const char *digest_hex(const struct digest *d); /* behind the prefix; d is not empty */
void digest_of(struct str bytes, struct digest *d);
void digest_end(struct sha256 *h, struct digest *d); /* frees h */

#endif
