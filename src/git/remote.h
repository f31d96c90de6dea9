/* SPDX-License-Identifier: Apache-2.0 */
/* What git says of a repository elsewhere, and where a checkout here came from. */
#ifndef GIT_REMOTE_H
#define GIT_REMOTE_H

#include "base/deadline.h"

#include <stdbool.h>

/* Which branch of the repository at url to take: branch if it is there, else the one that its HEAD names. NULL: nobody
 * said (no git here, a password, no way there), and branch is as good as any. The caller frees it. */
char *git_branch_there(const char *url, const char *branch, struct deadline d);
/* The address of the checkout in the current directory: of its origin, else of itself as file://. NULL: it is none. */
char *git_address_here(struct deadline d);

#endif
