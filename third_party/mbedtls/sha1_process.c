/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block of SHA-1 (FIPS 180-4 6.1.2), called by the library (MBEDTLS_SHA1_PROCESS_ALT). Only the WebSocket
 * handshake needs it, and the library's own is ten times the size.
 */
#include <mbedtls/sha1.h>

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

int mbedtls_internal_sha1_process(mbedtls_sha1_context *ctx, const unsigned char data[64])
{
	const unsigned char *p = data;
	static const uint32_t k[] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	uint32_t *h = ctx->MBEDTLS_PRIVATE(state);
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (size_t i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	for (size_t i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < 80; i++) {
		size_t round = i / 20;
		uint32_t f = round == 0   ? (b & c) | (~b & d)
		             : round == 2 ? (b & c) | (b & d) | (c & d)
		                          : b ^ c ^ d;
		uint32_t next = rotate(a, 5) + f + e + k[round] + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	return 0;
}
