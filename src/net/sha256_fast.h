/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by the processor's own instructions, for the many bytes of images. tls_digest.c uses it where there are any. */
#ifndef NET_SHA256_FAST_H
#define NET_SHA256_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The processor is asked once. */
bool sha256_fast(void);
/* n blocks of 64 bytes (FIPS 180-4 6.2.2). Only if sha256_fast(). */
void sha256_fast_blocks(uint32_t state[8], const unsigned char *p, size_t n);

#endif
