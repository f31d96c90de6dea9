/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins into a workspace: an ssh server for one connection, without a port of its own. Whoever opened the connection
 * names the one public key that may log in on it. Built without it (-DDR_SSH=OFF) it says so.
 */
#ifndef AGENT_SSH_H
#define AGENT_SSH_H

#include "agent/streams.h"

/* "ssh-ed25519 AAAA…", as in a .pub file; its comment is left out of what is longer. */
#define SSH_PUBLIC_KEY_MAX 80

/*
 * Serves the connection fd, a socket, > 2, in a process that does nothing else, and ends that process with it; returns -1
 * only when there cannot be a connection. All names log in as this process's user. dir: where commands start, NULL: at
 * home. $HOME, $PATH and the rest of the environment are the commands'. The host's key is made at the first use, in
 * $HOME/.daytona-agent. DAYTONA_AGENT_SSH_FORWARD=1 lets a client offer its own ssh agent.
 */
int ssh_serve(int fd, struct str key, const char *dir, struct err *e);
stream_handler ssh_stream; /* the same; the client's key is the query's parameter key */

/* Appends the public key, as ssh_serve takes it, of the key file at path (OpenSSH's format, without a pass phrase). It is
 * made, mode 0600, where there is none: of two that make it at once both have the same. */
int ssh_client_key(const char *path, struct buf *line, struct err *e);

#endif
