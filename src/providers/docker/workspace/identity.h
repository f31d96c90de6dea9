/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a container is. What the runner recorded says it: the id of the container, and a random label value that was in the
 * record before there was a container with it. Other labels say it only where nothing is recorded (a container of the
 * reference, or of a runner that lost its state), and only those that no image can have given: an engine copies the labels of
 * an image to its containers, so a label with the image's own value says nothing.
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_IDENTITY_H
#define PROVIDERS_DOCKER_WORKSPACE_IDENTITY_H

#include "providers/docker/engine/container.h"
#include "providers/docker/workspace/wsdir.h"

struct docker;

/* The labels of a container beside those of its image. */
struct identity {
	const struct kv *labels; /* borrowed */
	struct kv of_image;
	bool known; /* the image could be looked at */
};
/* An image that is gone leaves known false: then no label says anything. -1: the engine does not answer. */
int identity_read(struct docker *docker, const struct kv *labels, const char *image_id,
                  struct identity *out, struct deadline d, struct err *e);
void identity_free(struct identity *i);
/* The value that whoever created the container gave it; NULL: none, an empty one, or the image's. Borrowed from labels. */
const char *identity_label(const struct identity *i, const char *key);
/* The same for a container and one key, with its expected value. */
int identity_is(struct docker *docker, const struct kv *labels, const char *image_id,
                const char *key, const char *value, bool *is, struct deadline d, struct err *e);
/* Removes the containers that were given key=value. One whose image has it stays and is named in the log. */
int identity_remove_all(struct docker *docker, const char *key, const char *value,
                        struct deadline d, struct err *e);
/* Whether the runner's record of workspace id names this container. */
bool identity_recorded(const struct docker *docker, const char *id, const char *container);
/* Members of the Labels object of a commit: an image carries none of the labels that say whose a container is. */
void identity_clear(struct buf *json);

/* Finds the workspace's container; takes one over (and records it) where nothing is recorded. ERR_NOT_FOUND if there is none,
 * ERR_EXISTS if several could be it. dir: the workspace's, changed by a takeover. */
int ws_find(struct docker *docker, const struct workspace *ws, struct wsdir *dir,
            struct container *out, struct deadline d, struct err *e);
/* Whether c, which holds the workspace's name or was made by the dev container CLI, is the workspace's. */
int ws_owns(struct docker *docker, const struct workspace *ws, const struct wsdir *dir,
            const struct container *c, bool *owns, struct deadline d, struct err *e);

#endif
