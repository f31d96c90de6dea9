/* SPDX-License-Identifier: Apache-2.0 */
/* `server key`, `server join`: make, list and delete client API keys and join tokens, whether the server runs or not.
 * `server restart`: has the one that runs hand on. */
#ifndef APPLETS_SERVER_KEY_H
#define APPLETS_SERVER_KEY_H

int server_key(int argc, char **argv); /* argv[0] is "key" or "join"; exit status */
int server_restart(int argc, char **argv);

#endif
