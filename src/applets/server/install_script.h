/* SPDX-License-Identifier: Apache-2.0 */
/* scripts/install.sh as text, put in at build (scripts/gen-install-script). */
#ifndef APPLETS_SERVER_INSTALL_SCRIPT_H
#define APPLETS_SERVER_INSTALL_SCRIPT_H

extern const char dr_install_script[]; /* "" when the build had none */

#endif
