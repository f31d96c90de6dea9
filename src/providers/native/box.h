/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workspaces with namespaces of their own (sandbox/sandbox.h): from an image, a tree, an archive, or the host's root. In
 * .runner/box, which nobody inside sees:
 *   upper work   what was changed of the root file system     tree flat   its files, of an archive or a copy
 *   tmp          /tmp, emptied at each start                   home        the home of one with the host's root
 *   volumes      directories that a dev container mounts, by name
 *   point        where it is mounted, in its own mount namespace alone
 *   created      how many of the dev container's commands of creation were run
 */
#ifndef PROVIDERS_NATIVE_BOX_H
#define PROVIDERS_NATIVE_BOX_H

#include "oci/images.h"
#include "providers/native/bounds.h"
#include "providers/native/call.h"
#include "sandbox/sandbox.h"

/* The checkout inside: BOX_DIR "/" its name. */
#define BOX_DIR "/workspaces"
#define BOX_CA_FILE "/run/daytona/ca.pem"

/* Brings and unpacks what the root is made of, and fills c->state.box. May be repeated. */
int native_box_make(struct native_call *c, struct deadline d, struct err *e);
/* box_owners.c: the root's files belong to whom the image says, as far as the workspace has ids. Twice is fine, before
 * anything has run. */
int native_box_give(struct native_call *c, struct deadline d, struct err *e);
/* Adds what of such a tree ("…/fs") is not root's in the image, as in UNPACK_OWNERS; more than 64 MiB is an error. */
int native_owners_add(const char *tree, struct buf *names, struct err *e);
/* That belongs to its owner from now on, where s is written to, with all its rights; what has none of the ids stays root's.
 * Cut off, a second call does the rest. For MAP_TOOLS. */
int native_owners_give(const struct sandbox *s, const struct buf *names, struct deadline d,
                       struct err *e);
/* An image into r, held by the workspace; box->manifest and source say which. Pulled unless it is here. */
struct unpack_owner native_box_owner(const struct native_box *box); /* of unpacked layers */
int native_box_pull(struct native_call *c, struct native_box *box, struct deadline d,
                    struct rootfs *r, struct err *e);

/* To the registry of its name, which the image has here too. */
int native_box_push(struct native_call *c, const char *name, struct deadline d, struct err *e);

/* One that is about to start. */
struct native_boxed {
	struct native_call *c;
	struct sandbox s;
	struct rootfs rootfs;
	char *checkout, *inside; /* its path on the host, and inside */
	char *upper, *work, *point, *tmp, *home, *tree, *flat;
	const char *lower; /* the tree's */
	struct sandbox_bind binds[2];
	char **hide;
	struct native_agent agent;
	struct native_bounds bounds;
};
/* All but the root file system, then with it. */
void native_boxed_init(struct native_boxed *b, struct native_call *c);
int native_boxed_open(struct native_boxed *b, struct native_call *c, struct deadline d,
                      struct err *e);
void native_boxed_close(struct native_boxed *b);
/* argv: of our program. b->agent is the record, written before anything runs. */
int native_boxed_start(struct native_boxed *b, const char *const *argv, const struct kv *vars,
                       int output, struct deadline d, struct err *e);

const char *native_box_level(const struct native_box *box); /* "none", "best-effort", "strict" */
/* Its files, the image and the range of ids. Twice is fine. */
int native_box_remove(const struct native_paths *p, const struct native_state *s, struct deadline d,
                      struct err *e);
/* What is there can then be removed by our user without further ado. */
int native_box_prepare_removal(const struct native_paths *p, struct deadline d, struct err *e);
/* Lines for `provider check`. -1: these options ask for what cannot be had. */
int native_box_check(const struct provider_env *env, const struct native_options *o,
                     struct buf *report, struct deadline d, struct err *e);

#endif
