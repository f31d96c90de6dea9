/* SPDX-License-Identifier: Apache-2.0 */
/* --install: one link in a directory for each applet. */
#ifndef APPLETS_INSTALL_H
#define APPLETS_INSTALL_H

#include "base/err.h"

#include <stdbool.h>

/* Makes dir/daytona-runner and dir/daytona-runner-<applet>: hard links, or symbolic ones. Links
 * of ours that are there are replaced; anything else is refused before a single link is made. */
int install_links(const char *dir, bool symbolic, struct err *e);

#endif
