/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Literals and tables are packed in the file of the release executable (cmake/pack-constants): a tenth of it. Each
 * start puts them in their place, which takes half a millisecond, and from then on they cannot be written to.
 */
#ifndef BASE_CONSTANTS_H
#define BASE_CONSTANTS_H

/* First of all in main: until then every constant is 0. Does nothing where nothing was packed. */
void constants_unpack(void);

#endif
