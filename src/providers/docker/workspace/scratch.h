/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner's own image: one layer with our static executable at PROGRAM_PATH and nothing else, so that what we do as root
 * runs no program of a workspace, a repository or a registry. It is made here, loaded into the engine, and known by the
 * digest of its layer, which we reckon ourselves; its name and labels say nothing.
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_SCRATCH_H
#define PROVIDERS_DOCKER_WORKSPACE_SCRATCH_H

#include "base/json.h"
#include "providers/docker/workspace/internal.h"

#define SCRATCH_NAME "daytona-runner/helper"
#define SCRATCH_DIR "/work" /* an empty directory in it */

/* Has it on the engine. *id (caller frees) names these very bytes. ERR_UNSUPPORTED: our executable does not run there, or
 * the engine takes no images. */
int scratch_image(struct docker *docker, char **id, struct deadline d, struct err *e);
/* Pure. Whether an inspected image is the layer "sha256:…" alone and brings no environment, labels or volumes along: those a
 * container takes from its image, whatever its maker says. */
bool scratch_is(struct json image, const char *layer);

#endif
