/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in CA roots (Mozilla's set as Debian ships it), generated at build by cmake/gen-ca-roots: of each
 * only what a trusted root is asked for, out of which src/net/tls_roots.c makes a certificate without a signature.
 */
#ifndef NET_CA_ROOTS_H
#define NET_CA_ROOTS_H

#include <stddef.h>

extern const size_t ca_roots_n;
/*
 * Packed in one piece (base/unpack.h). From its front a record for each root: the lengths of four pieces, two bytes
 * each, big endian, and the first three: what stands before the name (number, algorithm, issuer, dates), the head of
 * the public key up to its number, and the rest of key and certificate. From its end, backwards in the same
 * order: the number (modulus or point), and before it 32 bits of the name (name_hash). Text and noise pack best apart.
 */
extern const unsigned char ca_roots[];
extern const size_t ca_roots_size;

#endif
