/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts inside a container, read from its own /etc/passwd: no shell or tool of the image is needed. */
#ifndef PROVIDERS_DOCKER_ENGINE_USERS_H
#define PROVIDERS_DOCKER_ENGINE_USERS_H

#include "providers/docker/engine/engine.h"

struct account {
	char *name, *home;
	unsigned uid, gid;
	bool known;     /* false: the image does not say; home is a guess */
	bool no_passwd; /* the image has no such file at all */
};
void account_free(struct account *a);
void account_copy(struct account *to, const struct account *from);

/* user: "", name or number, with ":group" ignored but for a number. An unknown name is no error here: the engine says it
 * when the user is needed. */
int account_find(struct engine *engine, const char *container, const char *user,
                 struct account *out, struct deadline d, struct err *e);
/* An image without /etc/passwd cannot even start as "root": appends the archive entries of one with root and the user, which
 * a is then. Nothing to do when the user is a number or none. */
void account_provide(const char *user, struct account *a, struct buf *tar);
/* Gives the account (and its group of the same id) new ids in /etc/passwd and /etc/group. ERR_EXISTS when
 * another account has the uid; a gid that is taken keeps the old one. */
int account_renumber(struct engine *engine, const char *container, struct account *a, unsigned uid,
                     unsigned gid, struct deadline d, struct err *e);

/* The engine finds no user of a container whose list it has shown us with it: it could not read that for a moment (seen with
 * fuse-overlayfs on a loaded machine), and began nothing. True after a pause, for two times. */
#define ACCOUNT_TRIES 2
bool account_overlooked(struct engine *engine, const struct account *a, unsigned *tries,
                        struct deadline d, const struct err *e);

/* Pure parts, for tests. */
bool passwd_find(struct str text, const char *user, struct account *out);
int passwd_renumber(struct str passwd, struct str group, const struct account *a, unsigned uid,
                    unsigned *gid, struct buf *new_passwd, struct buf *new_group, struct err *e);

#endif
