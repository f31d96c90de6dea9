/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images out of Dockerfiles, without a container engine: each RUN in a sandbox of its own, with the target's network and
 * limits; its layer is what the overlay has written. Layers are known again by what went into them.
 *
 * What a Dockerfile copies lies in its context, a directory of the checkout, whatever links lead out of it; it reaches
 * nothing else of the host. Each image it names goes through oci/image_ref.h, and so through what this runner allows.
 */
#ifndef PROVIDERS_NATIVE_BUILD_H
#define PROVIDERS_NATIVE_BUILD_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/native/box.h"

#ifdef DR_BUILDER
#define NATIVE_BUILDER true
#else
#define NATIVE_BUILDER false /* nothing calls it then, and the linker leaves it out */
#endif

/* c->state.box has the ids, and learns whether they can be shifted. The image is in the store under its id. base: what the
 * file calls NATIVE_BASE; or NULL. */
#define NATIVE_BASE "base"
int native_build(struct native_call *c, const char *checkout, const struct dc_build *b,
                 const struct digest *base, struct digest *manifest, struct deadline d,
                 struct err *e);
/* base with the features that dc asks for on it, each its install.sh in a RUN; dc learns the image's metadata. */
int native_features(struct native_call *c, struct devcontainer *dc, const struct digest *base,
                    struct digest *manifest, struct deadline d, struct err *e);

/* Commands that are run in an image with the checkout, each another layer. */
struct building;
struct native_more {
	struct digest *manifest; /* before, and after */
	const char *user;        /* of the commands; NULL: the image's */
	const struct kv *env;    /* theirs, beside the image's */
	int (*steps)(void *arg, struct building *building, struct err *e);
	void *arg;
};
int native_build_more(struct native_call *c, const struct native_more *more, struct deadline d,
                      struct err *e);
int native_build_step(struct building *building, const char *const *argv, struct err *e);

/* Build jobs: see provider.h. The image is here under its name, and in the builder registry if there is one. */
int native_build_run(void *self, const struct build_job *b, struct deadline d, struct err *e);
int native_build_delete(void *self, const struct build_job *b, bool force, struct deadline d,
                        struct err *e);

#endif
