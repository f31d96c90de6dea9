/* SPDX-License-Identifier: Apache-2.0 */
/* With a token (api/token.h) in place of an administrator's key: `create --join` and `configure TOKEN`. */
#ifndef APPLETS_JOIN_H
#define APPLETS_JOIN_H

#include "api/client.h"
#include "base/kv.h"

/* Takes out of a token's settings what is none: the secret (NULL: it has none; mem_free_secret it), and the CA, which is
 * kept in the configuration's directory and becomes server.ca_file. */
int join_take(struct kv *settings, const char *config_dir, char **secret, struct err *e);
/* What a runner without a name is called: its host. "" if that has none. Caller frees. */
char *join_host_name(void);
/* Registers a runner; api has the secret for key. */
int join_runner(struct api *api, const char *name, struct runner_info *made, struct err *e);

#endif
