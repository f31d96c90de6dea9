/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry asks for when it answers 401: the field WWW-Authenticate (RFC 9110 11.6.1). */
#ifndef OCI_CHALLENGE_H
#define OCI_CHALLENGE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_kind kind;
	char *realm, *service, *scope; /* of a bearer token; NULL if not given */
};

/* Takes the best that one field offers, if that is better than what c has: a token before a password. Unknown schemes are
 * passed over. ERR_PARSE: malformed. */
int challenge_add(struct challenge *c, struct str field, struct err *e);
void challenge_free(struct challenge *c);

#endif
