/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workspace's data on the runner: <state_dir>/workspaces/<id>/ with the checkout <repo> and our notes
 * about it (.docker-notes). Never in a directory that belongs to the provider (protocol 12.19).
 */
#ifndef PROVIDERS_DOCKER_WORKSPACE_WSDIR_H
#define PROVIDERS_DOCKER_WORKSPACE_WSDIR_H

#include "providers/docker/engine/users.h"
#include "providers/provider.h"

#include <stdbool.h>

struct notes {
	char *container; /* id that the rest is about; "" if none */
	char *nonce;     /* value of LABEL_NONCE of what is created for it; "" if none */
	bool uploaded;   /* the checkout was copied into it */
	int64_t hooks;   /* lifecycle commands of creation done: see workspace start */
	char *image;     /* that we built for it; "" if none */
	char *user,
		*folder; /* who works in it, and where its checkout is in there; "" if not known */
	char *passwd; /* archive_mark of its /etc/passwd when account was read there; "" if it was not */
	char *account_of; /* the user of whom it is */
	struct account account;
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
/* Something is recorded about a container: it is there, or one was about to be created. */
bool wsdir_recorded(const struct wsdir *w);
/* Gives the notes a nonce unless they have one, and syncs them, so that a container which carries it is found after a crash
 * at any point. */
int wsdir_claim(struct wsdir *w, struct err *e);
/* Sets what the notes are about; forgets what belongs to another container. */
void wsdir_about(struct wsdir *w, const char *container);
/* Notes who works in it and where. */
int wsdir_inhabit(struct wsdir *w, const char *user, const char *folder, struct err *e);
/* What was read when /etc/passwd was so marked; false: it has to be read. Free out. */
bool wsdir_account(const struct wsdir *w, const char *container, const char *user, struct str mark,
                   struct account *out);
/* Notes it for the next start; nothing depends on it. */
void wsdir_note_account(struct wsdir *w, const char *container, const char *user, struct str mark,
                        const struct account *a);
/* Durable once it returns. */
int wsdir_save(const struct wsdir *w, struct err *e);

#endif
