/* SPDX-License-Identifier: Apache-2.0 */
/* Digests; see tls.h. */
#include "net/tls.h"

#include "base/mem.h"
#include "net/sha256_fast.h"

#include <mbedtls/sha1.h>
#include <mbedtls/sha256.h>

#include <stdlib.h>
#include <string.h>

struct sha256 {
	bool fast; /* the processor's own instructions; else the library's way */
	uint32_t state[8];
	uint64_t n;              /* bytes so far */
	unsigned char block[64]; /* the last n % 64 of them */
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
	static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	struct sha256 *h = mem_alloc(sizeof(*h));

	h->fast = sha256_fast();
	memcpy(h->state, start, sizeof(start));
	mbedtls_sha256_init(&h->c);
	(void)mbedtls_sha256_starts(&h->c, 0);
	return h;
}

static void add_fast(struct sha256 *h, const unsigned char *p, size_t n)
{
	size_t have = (size_t)(h->n % sizeof(h->block));

	h->n += n;
	if (have) {
		size_t room = sizeof(h->block) - have, some = n < room ? n : room;

		memcpy(h->block + have, p, some);
		if (some < room)
			return;
		sha256_fast_blocks(h->state, h->block, 1);
		p += some;
		n -= some;
	}
	sha256_fast_blocks(h->state, p, n / sizeof(h->block));
	memcpy(h->block, p + n / sizeof(h->block) * sizeof(h->block), n % sizeof(h->block));
}

void sha256_add(struct sha256 *h, const void *p, size_t n)
{
	if (n && h->fast)
		add_fast(h, p, n);
	else if (n)
		(void)mbedtls_sha256_update(&h->c, p, n);
}

/* One bit, zeros, and the length in bits (FIPS 180-4 5.1.1). */
static void end_fast(struct sha256 *h, unsigned char out[32])
{
	uint64_t bits = h->n * 8;
	unsigned char pad[72] = { 0x80 };
	size_t zeros = (size_t)((119 - h->n % 64) % 64);

	for (int i = 0; i < 8; i++)
		pad[1 + zeros + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
	add_fast(h, pad, 1 + zeros + 8);
	for (int i = 0; i < 32; i++)
		out[i] = (unsigned char)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_end(struct sha256 *h, unsigned char out[32])
{
	if (h->fast)
		end_fast(h, out);
	else
		(void)mbedtls_sha256_finish(&h->c, out);
	mbedtls_sha256_free(&h->c);
	mem_wipe(h, sizeof(*h));
	free(h);
}
