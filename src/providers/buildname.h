/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a build's image (protocol 10.9), a pure function of what is built. */
#ifndef PROVIDERS_BUILDNAME_H
#define PROVIDERS_BUILDNAME_H

#include "api/model.h"

/* Appends "<registry><namespace>/w-<N>:<T>". devcontainer_path: the one in force, or NULL. */
void build_image_name(const struct build *b, const char *devcontainer_path, const char *registry,
                      const char *namespace_, struct buf *out);
/* Environment as the name's hash sees it: compact JSON, keys sorted bytewise, HTML characters escaped. */
void build_env_json(const struct kv *env, bool is_null, struct buf *out);

#endif
