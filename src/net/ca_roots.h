/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in CA roots (Mozilla's set as Debian ships it), generated at build by
 * scripts/gen-ca-roots. All DER, one after another, with an index sorted by subject, so that only
 * the root a chain asks for is ever parsed.
 */
#ifndef NET_CA_ROOTS_H
#define NET_CA_ROOTS_H

#include <stddef.h>
#include <stdint.h>

/* subject_hash: the first 4 bytes, big endian, of SHA-256 over the raw DER of the subject Name. */
struct ca_root_ref {
	uint32_t subject_hash;
	uint32_t offset; /* into ca_roots_der */
	uint16_t len;
};

extern const unsigned char ca_roots_der[];
extern const struct ca_root_ref ca_roots[]; /* ascending subject_hash; equal ones are neighbours */
extern const size_t ca_roots_n;

#endif
