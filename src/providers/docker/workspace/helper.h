/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that the runner makes for itself, for a moment. Such a one sees one directory of the engine's machine, has a read-only
 * root, no privileges but those asked for, no health check, and goes when it ends. It has a random name that was
 * recorded before it was made: by that alone it is found again, never by what a container says of itself.
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_HELPER_H
#define PROVIDERS_DOCKER_WORKSPACE_HELPER_H

#include "providers/docker/workspace/internal.h"

#define HELPER_DIR "/work" /* where the directory is */

struct helper_job {
	const char *records;  /* directory of the resource on the runner; made when it is missing */
	const char *resource; /* id, for the label */
	const char *dir;      /* on the engine's machine: the one thing that is mounted */
};
/* Created, not started. s has image, user and command, and what else the work needs. *id: caller frees. What an earlier job
 * left is removed first. */
int helper_create(struct docker *docker, const struct helper_job *h, struct spec *s, char **id,
                  struct deadline d, struct err *e);
/* Removes the container that is recorded in the directory, and the record; nothing recorded is success. */
int helper_end(struct docker *docker, const char *records, struct deadline d, struct err *e);

#endif
