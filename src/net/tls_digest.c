/* SPDX-License-Identifier: Apache-2.0 */
/* Digests; see tls.h. */
#include "net/tls.h"

#include "base/mem.h"

#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

#include <stdlib.h>

struct sha256 {
	mbedtls_sha256_context c;
};

/* The software digests of the library cannot fail. */

void crypto_sha256(const void *p, size_t n, unsigned char out[32])
{
	struct sha256 *h = sha256_new();

	sha256_add(h, p, n);
	sha256_end(h, out);
}

void crypto_sha1(const void *p, size_t n, unsigned char out[20])
{
	(void)mbedtls_sha1(p, n, out);
}

struct sha256 *sha256_new(void)
{
	struct sha256 *h = mem_alloc(sizeof(*h));

	mbedtls_sha256_init(&h->c);
	(void)mbedtls_sha256_starts(&h->c, 0);
	return h;
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
	if (n)
		(void)mbedtls_sha256_update(&h->c, p, n);
}

void sha256_end(struct sha256 *h, unsigned char out[32])
{
	(void)mbedtls_sha256_finish(&h->c, out);
	mbedtls_sha256_free(&h->c);
	free(h);
}
