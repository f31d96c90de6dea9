/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts that the Server hands out, put in at build (scripts/gen-scripts), packed (base/unpack.h). */
#ifndef APPLETS_SERVER_SCRIPTS_H
#define APPLETS_SERVER_SCRIPTS_H

#include <stddef.h>

/* scripts/install.sh: installs this program. */
extern const unsigned char script_install[];
extern const size_t script_install_n;
/* scripts/get-daytona.sh: installs the daytona command. */
extern const unsigned char script_get_daytona[];
extern const size_t script_get_daytona_n;

#endif
