/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in CA roots (Mozilla's set as Debian ships it), generated at build by
 * cmake/gen-ca-roots: of each only what a trusted root is asked for. What repeats from root to root is
 * packed in one piece (base/unpack.h); the bits of the keys repeat nowhere and are kept as they are.
 */
#ifndef NET_CA_ROOTS_H
#define NET_CA_ROOTS_H

#include <stddef.h>

extern const size_t ca_roots_n;
/* For each root three lengths of two bytes, big endian, then what stands before the bits of its key and what
 * behind; the second length is that of the bits. Put together it is the DER of validity, subject and
 * subjectPublicKeyInfo (RFC 5280 4.1), or, if the root has extensions that limit what it may sign, a
 * certificate without a signature. */
extern const unsigned char ca_roots_texts[];
extern const size_t ca_roots_texts_n;
/* The bits of all keys, in the order of the texts. */
extern const unsigned char ca_roots_keys[];
extern const size_t ca_roots_keys_n;

#endif
