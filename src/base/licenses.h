/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that the licences of what is compiled in ask for; generated at build from the sources'
 * own licence files (cmake/gen-licenses).
 */
#ifndef BASE_LICENSES_H
#define BASE_LICENSES_H

#include <stddef.h>

extern const unsigned char dr_licenses[]; /* packed, see base/unpack.h */
extern const size_t dr_licenses_n;

#endif
