/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a thing is. Which kinds of key a route admits is said by the table in route.c; a client key
 * (the administrator) owns everything, and with --reference-keys every key does.
 */
#ifndef SERVER_ROLE_H
#define SERVER_ROLE_H

#include "server/srv.h"

/* What a route's path or query names. */
enum subject {
	NOTHING, /* nothing that is somebody's */
	MANY,    /* many, or one in the body: the handler asks role_owns of each */
	A_RUNNER,
	A_TARGET,
	A_WORKSPACE,
	ITSELF,     /* what the key was made for, by its id */
	A_GIT,      /* id of a git provider config */
	A_GIT_URL,  /* a repository, encoded once more */
	A_REGISTRY, /* ?workspaceId= */
};

/* What does not exist is anybody's for a runner, whose jobs outlive their resources, else nobody's. */
bool role_owns_subject(const struct call *c, enum subject of);
/* r: a runner, target, target config, workspace, job, build or git provider config. */
bool role_owns(const struct call *c, const struct rec *r);
/* As role_owns for the runner with that id, there or not. */
bool role_owns_runner(const struct call *c, const char *id);
/* A repository on a host from which the key's owner has one. */
bool role_owns_repository(const struct call *c, const char *url);
/* VIEW_HIDE where the caller may not see the variables and keys of a resource that it may read. */
unsigned role_hides(const struct call *c, enum kind kind);
/* VIEW_OPTIONS where the caller may see a target config's options: host names, passwords. */
unsigned role_options(const struct call *c);

#endif
