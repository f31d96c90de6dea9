/* SPDX-License-Identifier: Apache-2.0 */
/* Dev containers of the image kind, made without an engine: the repository's file names image, user, variables, commands. */
#ifndef PROVIDERS_NATIVE_BOX_DEV_H
#define PROVIDERS_NATIVE_BOX_DEV_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/native/box.h"

/* The value of the option Image that says so. */
#define NATIVE_DEV_IMAGE "devcontainer"

/* Puts the image that the checkout's file names in the place of the option, or builds it: then the box has its digest. What
 * needs an engine is an error that says so. Nothing is done unless the option asks for it. */
int native_dev_image(struct native_call *c, struct deadline d, struct err *e);

/* For a start. Zero: there is none. */
struct native_dev {
	struct devcontainer dc;
	bool any;
	char *user; /* remoteUser */
	struct kv container_env, remote_env;
};
/* After native_boxed_open: sets the user. A file that cannot be read any more is said, and the image stands alone. */
void native_dev_open(struct native_dev *v, struct native_boxed *b);
void native_dev_close(struct native_dev *v);
/* The commands that are due, in the workspace that has just started: see dchooks.h. */
int native_dev_commands(const struct native_dev *v, struct native_call *c, struct deadline d,
                        struct err *e);
/* Those of the creation that are for every workspace, on the box's image: *manifest is of what comes of it. */
int native_dev_prebuild(struct native_call *c, struct digest *manifest, struct deadline d,
                        struct err *e);

#endif
