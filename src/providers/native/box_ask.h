/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dev container asks for beside its image and user, be it the repository's file, its features, or what the image's
 * metadata says: mounts, privileges, settings of `docker run`. All of it is collected as it is for a container
 * (dc_fill_spec), and native_ask alone decides:
 *
 *   bind mounts   of what lies in the checkout, no link on the way; looked at again where it is mounted
 *   volumes       directories of the workspace's own, box/volumes, which stay until its delete
 *   tmpfs         anywhere a mount may be
 *   where         nothing that the sandbox has mounted or written itself is covered, nor is anything put below /proc, /sys, /dev,
 *                 or where our program is
 *   variables     are taken over
 *   all else      is named in the log and not done
 */
#ifndef PROVIDERS_NATIVE_BOX_ASK_H
#define PROVIDERS_NATIVE_BOX_ASK_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/native/box.h"

struct native_asked {
	struct sandbox_mount *mounts;
	size_t n;
	char **owned; /* n * 2 texts of theirs */
	struct kv env;
};
/* b: where it goes. Volumes are made. */
int native_ask(const struct devcontainer *dc, struct native_boxed *b, struct native_asked *asked,
               struct err *e);
void native_asked_free(struct native_asked *asked);

#endif
