/* SPDX-License-Identifier: Apache-2.0 */
/*
 * newuidmap and newgidmap for processes that gain no privileges, as the jobs of an ordinary user's runner: a process that
 * was started before waits on a socket for what to map and runs the two, nothing else. They see themselves to it that the process is
 * this user's and the ids are his in /etc/subuid and /etc/subgid, so whoever has the socket gets no more than this user may.
 */
#ifndef SANDBOX_IDHELPER_H
#define SANDBOX_IDHELPER_H

#include "sandbox/userns.h"

#include <sys/types.h>

/* Where this user has ranges and tools, and we may still gain privileges: the helper of this process and of what it starts
 * with the descriptor kept. It ends with us. Elsewhere nothing is done. */
void idhelper_start(void);
/* Its socket, or -1: there is none. */
int idhelper_socket(void);
/* Writes the maps (MAP_TOOLS) of pid's namespace, by the helper if there is one. */
int idhelper_map(pid_t pid, const struct userns_map *map, struct deadline d, struct err *e);

#endif
