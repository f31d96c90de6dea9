/* SPDX-License-Identifier: Apache-2.0 */
/* docker-provider: workspaces as containers of a Docker or Podman engine (protocol 10, design 5). */
#ifndef PROVIDERS_DOCKER_DOCKER_H
#define PROVIDERS_DOCKER_DOCKER_H

#include "providers/provider.h"

extern const struct provider docker_provider;

#endif
