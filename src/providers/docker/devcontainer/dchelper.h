/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of dev containers we cannot do ourselves ("features", "dockerComposeFile") is done by the dev container CLI in
 * a container of the builder image (protocol 10.8). It is root and gets the engine's socket, so it gets nothing else of the
 * repository's than it needs: for features it builds an image from a configuration that names nothing but them, and the
 * container is ours to create; compose files may ask for anything, so they are for privileged targets alone.
 */
#ifndef PROVIDERS_DOCKER_DEVCONTAINER_DCHELPER_H
#define PROVIDERS_DOCKER_DEVCONTAINER_DCHELPER_H

#include "providers/docker/devcontainer/devcontainer.h"
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
/* Whether the dev container CLI can be had for key, "features" or "dockerComposeFile": ERR_UNSUPPORTED with the reason. */
int dc_helper_check(struct docker *k, const struct devcontainer *dc, const char *key,
                    const char *image, const struct registries *regs, struct deadline d,
                    struct err *e);
/* Runs "devcontainer build", where dc_helper_check was fine: p->tag is image with the features of dc. */
int dc_helper_features(struct docker *k, const struct devcontainer *dc, const struct dc_plan *p,
                       const char *image, struct deadline d, struct err *e);
/* Runs "devcontainer up" for a compose file. ERR_UNSUPPORTED unless the target is privileged. *container and *user (of the result, may be "") are the caller's to free. */
int dc_helper_up(struct docker *k, const struct devcontainer *dc, const struct dc_up *u,
                 char **container, char **user, struct deadline d, struct err *e);
/* Pure: the result object that ends the CLI's output. */
int dc_helper_result(struct str output, char **container, char **user, struct err *e);

#endif
