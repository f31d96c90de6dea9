/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a workspace, shared by its parts wsstart.c and wsdc.c. */
#ifndef PROVIDERS_DOCKER_WORKSPACE_WSSTART_H
#define PROVIDERS_DOCKER_WORKSPACE_WSSTART_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/docker/workspace/internal.h"

struct starting {
	struct docker *docker;
	const struct workspace_job *w;
	struct wsdir dir;
	struct container c;
	struct account account;
	struct devcontainer dc;    /* doc NULL: no dev container */
	const char *delivered;     /* the agent's program, put before the start; NULL: none */
	char *user;                /* the agent's and the commands' */
	struct kv env;             /* remoteEnv and the like, for both */
	bool was_running, started; /* before this job; by it */
};

/* Takes a fresh look at the container. */
int starting_reinspect(struct starting *s, const char *id, struct deadline d, struct err *e);

/* wsdc.c: dev containers. A configuration that cannot be read any more is a warning: the container is there. */
int starting_load(struct starting *s, struct deadline d, struct err *e);
/* A dev container that the reference made, whose checkout is not here: its label says who works in it. */
void starting_label_user(struct starting *s);
/* Compose: the CLI starts what it made, and runs the commands. */
int starting_compose(struct starting *s, struct deadline d, struct err *e);
/* Lifecycle commands: those of creation run once for a container. */
int starting_hooks(struct starting *s, struct deadline d, struct err *e);

#endif
