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

#include "providers/docker/devcontainer/devcontainer.h"
#include "providers/native/box.h"

#ifdef DR_BUILDER
#define NATIVE_BUILDER true
#else
#define NATIVE_BUILDER false /* nothing calls it then, and the linker leaves it out */
#endif

/* c->state.box has the ids, and learns whether they can be shifted. The image is in the store under its id. */
int native_build(struct native_call *c, const char *checkout, const struct dc_build *b,
                 struct digest *manifest, struct deadline d, struct err *e);

#endif
