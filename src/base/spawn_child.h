/* SPDX-License-Identifier: Apache-2.0 */
/* What spawn.c does in a fresh child; for base/ and for a child that becomes a program. */
#ifndef BASE_SPAWN_CHILD_H
#define BASE_SPAWN_CHILD_H

#include <stddef.h>

#define SPAWN_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Default signals, empty mask, no inherited handlers. */
void spawn_reset_signals(void);
/* Closes every descriptor >= 3 but those in keep. */
void spawn_close_fds(const int *keep, size_t n_keep);
/* execve of path (NULL: argv[0], searched in PATH of env). Returns only on failure: the errno of the attempt that
 * says most. No shell is tried for a file without a header. */
int spawn_exec(const char *path, const char *const *argv, const char *const *env);

#endif
