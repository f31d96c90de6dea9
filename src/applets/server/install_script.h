/* SPDX-License-Identifier: Apache-2.0 */
/* scripts/install.sh as text, put in at build (scripts/gen-install-script). */
#ifndef APPLETS_SERVER_INSTALL_SCRIPT_H
#define APPLETS_SERVER_INSTALL_SCRIPT_H

#include <stddef.h>

/* Packed, see base/unpack.h. */
extern const unsigned char dr_install_script[];
extern const size_t dr_install_script_n; /* 0: the build had none */

#endif
