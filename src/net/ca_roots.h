/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled-in CA roots (Mozilla's set as Debian ships it), generated at build by cmake/gen-ca-roots: of each
 * only what a trusted root is asked for, as a certificate without a signature.
 */
#ifndef NET_CA_ROOTS_H
#define NET_CA_ROOTS_H

#include <stddef.h>

extern const size_t ca_roots_n;
/* DER, one after another, packed in one piece (base/unpack.h). */
extern const unsigned char ca_roots[];
extern const size_t ca_roots_size;

#endif
