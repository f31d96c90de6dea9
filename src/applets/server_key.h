/* SPDX-License-Identifier: Apache-2.0 */
/* `server key`: makes, lists and deletes client API keys, whether the server runs or not. `server restart`: has the one that
 * runs hand on. */
#ifndef APPLETS_SERVER_KEY_H
#define APPLETS_SERVER_KEY_H

int server_key(int argc, char **argv); /* argv[0] is "key"; exit status */
int server_restart(int argc, char **argv);

#endif
