/* SPDX-License-Identifier: Apache-2.0 */
/* Lifecycle commands of a dev container, run in its container through the engine; see devcontainer/dclife.h. */
#ifndef PROVIDERS_DOCKER_WORKSPACE_DCRUN_H
#define PROVIDERS_DOCKER_WORKSPACE_DCRUN_H

#include "providers/devcontainer/dclife.h"
#include "providers/docker/engine/exec.h"

/* Runs hook ("onCreateCommand" …) of every layer in the workspace folder as user, with what the user's shell sets
 * ("userEnvProbe", asked once) below env. -1 at the first that fails; members of an object run side by side and all must
 * succeed. */
int dc_run_hook(struct devcontainer *dc, const char *hook, struct engine *engine,
                const char *container, const char *user, const struct kv *env, struct deadline d,
                struct err *e);

#endif
