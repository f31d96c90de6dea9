/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which build this is. The version itself is the macro DR_VERSION ("1.2.3"), set by CMake from
 * project(VERSION); the id is apart so that a new commit recompiles one file.
 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/* Short commit hash, or "unknown". */
extern const char dr_build_id[];
/* "mbedtls 3.6.6, jsmn 1.1.0, …": what is compiled in. */
extern const char dr_libraries[];

/* Seconds since 1970 of the commit that this is built from: no correct clock shows less. */
extern const long long dr_build_epoch;

#endif
