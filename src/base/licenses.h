/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that the licences of what is compiled in ask for; generated at build from the sources'
 * own licence files (scripts/gen-licenses).
 */
#ifndef BASE_LICENSES_H
#define BASE_LICENSES_H

extern const char dr_licenses[];

#endif
