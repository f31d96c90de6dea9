/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant data that the build packed (cmake/packer.py): long texts and the CA roots are kept
 * small in the executable and are only made whole when somebody asks.
 */
#ifndef BASE_UNPACK_H
#define BASE_UNPACK_H

#include "base/buf.h"

/* Appends what p was packed from. */
void unpack(struct buf *b, const unsigned char *p, size_t n);
/* The same to a place that holds unpack_size(p) bytes. */
void unpack_to(unsigned char *to, const unsigned char *p, size_t n);
size_t unpack_size(const unsigned char *p);

#endif
