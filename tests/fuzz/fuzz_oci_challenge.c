/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate of a registry. */
#include "oci/challenge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct challenge c = { 0 };
	struct err e = { 0 };
	int rc = challenge_add(&c, (struct str){ (const char *)data, size }, &e);

	if (rc < 0 && !*e.msg)
		abort();
	if (c.kind == CHALLENGE_BEARER && !c.realm)
		abort();
	if ((c.realm && strlen(c.realm) > size) || (c.scope && strlen(c.scope) > size))
		abort();
	challenge_free(&c);
	return 0;
}
