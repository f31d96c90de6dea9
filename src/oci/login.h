/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose name a registry is asked in: what the caller gives for its host, else what Docker's command line keeps
 * (~/.docker/config.json, or config.json in DOCKER_CONFIG), there or in one of its credential helpers. For that host alone.
 */
#ifndef OCI_LOGIN_H
#define OCI_LOGIN_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

#define LOGIN_CONFIG_MAX (1u << 20)

struct login {
	char *user, *password; /* both or none */
	char *identity_token;  /* exchanged for a token; NULL if none */
};

void login_free(struct login *l); /* wipes */

/* What a config.json says of host ("docker.io", "host:5000"): *l, or the name of the helper that knows; neither if
 * nothing. The caller frees *helper. */
int login_parse(struct str config, const char *host, struct login *l, char **helper, struct err *e);
/* What a helper answered. */
int login_parse_helper(struct str answer, struct login *l, struct err *e);
/* From the files of this user; nothing is no error. */
int login_find(const char *host, struct login *l, struct deadline d, struct err *e);

#endif
