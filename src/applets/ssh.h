/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ssh client of this machine is told about a workspace, by ssh on its command line and by ssh-config in a file:
 * one list of settings. Key, known hosts and that file are in DIR/ssh, DIR being the configuration directory.
 */
#ifndef APPLETS_SSH_H
#define APPLETS_SSH_H

#include "applets/verbs.h"

struct ssh_client {
	const struct cli_admin *admin;
	char *dir, *key, *known_hosts, *config;
	struct buf public_key; /* one line without its end */
	struct buf proxy;      /* ProxyCommand but for the workspace */
};

/* Makes the directory and the key where there is none. */
int ssh_client_open(struct ssh_client *c, const struct cli_admin *admin, struct err *e);
void ssh_client_close(struct ssh_client *c);
/* Each setting of the workspace with this id, as it stands in a configuration of ssh. */
void ssh_client_settings(const struct ssh_client *c, const char *id,
                         void (*each)(void *arg, const char *name, const char *value), void *arg);
/* "NAME.daytona", or "ID.daytona" where the name is none for ssh. */
void ssh_client_host(struct json workspace, struct buf *b);

#endif
