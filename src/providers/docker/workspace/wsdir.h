/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workspace's data on the runner: <state_dir>/workspaces/<id>/ with the checkout <repo> and our notes
 * about it (.docker-notes). Never in a directory that belongs to the provider (protocol 12.19).
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_WSDIR_H
#define PROVIDERS_DOCKER_WORKSPACE_WSDIR_H

#include "providers/provider.h"

#include <stdbool.h>

struct notes {
	char *container; /* id that the rest is about; "" if none */
	bool uploaded;   /* the checkout was copied into it */
	int64_t hooks;   /* lifecycle commands of creation done: see workspace start */
	char *image;     /* that we built for it; "" if none */
};

struct wsdir {
	char *dir;      /* <state_dir>/workspaces/<id> */
	char *repo;     /* name of the checkout's directory */
	char *checkout; /* dir/repo */
	struct notes notes;
};

/* Checks the ids (ERR_PARSE); reads the notes. Makes no directory. */
int wsdir_open(struct wsdir *w, const struct provider_env *env, const struct workspace *ws,
               struct err *e);
void wsdir_free(struct wsdir *w);
/* Sets what the notes are about; forgets what belongs to another container. */
void wsdir_about(struct wsdir *w, const char *container);
int wsdir_save(const struct wsdir *w, struct err *e);

#endif
