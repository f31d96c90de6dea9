/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a process that works on hostile bytes (git, a repository's own commands) from looking into
 * other processes: Landlock's rules for ptrace, /proc/PID/mem and environ, signals and abstract
 * sockets, for itself and all that it starts; and of root's capabilities only those for files survive
 * the next exec. Files are not restricted.
 */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include <stdbool.h>

/* Sets no_new_privs as well. False where the kernel has no Landlock of version 2 (Linux 5.19). Safe between fork and exec. */
bool confine_self(void);

#endif
