/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in CA roots (Mozilla's set as Debian ships it), generated at build by
 * scripts/gen-ca-roots: of each only what a trusted root is asked for, packed (base/unpack.h) behind
 * a text that all share, with an index sorted by subject. Only the root a chain asks for is unpacked.
 */
#ifndef NET_CA_ROOTS_H
#define NET_CA_ROOTS_H

#include <stddef.h>
#include <stdint.h>

/* subject_hash: the first 4 bytes, big endian, of SHA-256 over the raw DER of the subject Name. */
struct ca_root_ref {
	uint32_t subject_hash;
	uint32_t offset; /* into ca_roots_packed; it ends where the next begins */
};

/* Each root unpacks to the DER of validity, subject and subjectPublicKeyInfo (RFC 5280 4.1), or, if
 * it has extensions that limit what it may sign, to a certificate without a signature. */
extern const unsigned char ca_roots_packed[];
extern const struct ca_root_ref ca_roots[]; /* ascending subject_hash; one more than ca_roots_n */
extern const size_t ca_roots_n, ca_roots_packed_n;
extern const unsigned char ca_roots_common[]; /* itself packed */
extern const size_t ca_roots_common_n;

#endif
