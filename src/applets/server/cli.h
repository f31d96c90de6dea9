/* SPDX-License-Identifier: Apache-2.0 */
/* `server key`: another client API key, whether the server runs or not. */
#ifndef APPLETS_SERVER_CLI_H
#define APPLETS_SERVER_CLI_H

/* The first client key, in the store's directory. */
#define CLIENT_KEY_FILE "client.key"

struct err;
char *server_default_data(struct err *e); /* caller frees; NULL when no home directory is known */
int server_cli(int argc, char **argv);    /* argv[0] is "key"; exit status */

#endif
