/* SPDX-License-Identifier: Apache-2.0 */
/* See provider.h: workspace_exec and workspace_usage. */
#ifndef PROVIDERS_DOCKER_WORKSPACE_WSEXEC_H
#define PROVIDERS_DOCKER_WORKSPACE_WSEXEC_H

#include "providers/docker/workspace/internal.h"

int ws_exec(struct docker *docker, const struct workspace_exec *exec, int *status,
            struct deadline d, struct err *e);
int ws_usage(struct docker *docker, const struct workspace *ws, struct provider_usage *u,
             struct deadline d, struct err *e);

#endif
