/* SPDX-License-Identifier: Apache-2.0 */
/* What targets and workspaces have in common. */
#ifndef SERVER_RESOURCES_H
#define SERVER_RESOURCES_H

#include "server/srv.h"

/* Names of targets and workspaces: [A-Za-z0-9._-]+, not ".". */
bool resource_name_ok(const char *name);
/* Appends the server's variables for a resource, then the user's own, as one JSON object, keys
 * sorted. workspace_id and repo_url are NULL for a target. */
void resource_env(struct call *c, struct buf *b, const char *target_id, const char *workspace_id,
                  const char *repo_url, const char *api_key, struct json own);
/* The target config of r, which is not NULL; NULL if gone. */
const struct rec *resource_config(const struct srv *s, const struct rec *r);
/* start, stop, restart. */
void resource_act(struct call *c, enum kind kind, const char *action);
void resource_delete(struct call *c, enum kind kind);
void resource_state(struct call *c, enum kind kind);
void resource_provider_metadata(struct call *c, enum kind kind);
/* The agent's heartbeat. */
void resource_metadata(struct call *c, enum kind kind);

#endif
