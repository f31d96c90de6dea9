/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of dev containers we cannot do ourselves ("dockerComposeFile") is done by the dev container CLI in a container of the
 * builder image (protocol 10.8). It is root and gets the engine's socket, and compose files may ask for anything: so it is for
 * privileged targets alone.
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_DCHELPER_H
#define PROVIDERS_DOCKER_WORKSPACE_DCHELPER_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/workspace/internal.h"

struct dc_up {
	const char *builder_image;
	const struct registries *registries;
	const char *resource_id; /* for the helper's name and label */
	const char *work_dir;    /* a directory of ours for the override file */
	const char *checkout;
	const char *const *labels; /* "key=value" of the container, NULL-terminated */
	const struct kv *env;      /* for containerEnv */
	const char *cache_from;    /* or NULL */
	bool prebuild;
};
/* Runs "devcontainer up" for a compose file. ERR_UNSUPPORTED unless the target is privileged. *container and *user (of the result, may be "") are the caller's to free. */
int dc_helper_up(struct docker *docker, const struct devcontainer *dc, const struct dc_up *u,
                 char **container, char **user, struct deadline d, struct err *e);
/* Pure: the result object that ends the CLI's output. */
int dc_helper_result(struct str output, char **container, char **user, struct err *e);

#endif
