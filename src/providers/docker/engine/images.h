/* SPDX-License-Identifier: Apache-2.0 */
/* Images: present or pulled, pushed, tagged, removed (protocol 10.4, field cases 52 to 62). */
#ifndef PROVIDERS_DOCKER_ENGINE_IMAGES_H
#define PROVIDERS_DOCKER_ENGINE_IMAGES_H

#include "providers/docker/engine/engine.h"

struct image {
	char *id, *user, *arch;
	struct kv labels;
	char *entrypoint, *cmd; /* JSON arrays */
	char *metadata;         /* label devcontainer.metadata, "" if none */
};
void image_free(struct image *i);

/* ERR_NOT_FOUND when the engine has no such image. out may be NULL. */
int image_inspect(struct engine *engine, const char *ref, struct image *out, struct deadline d,
                  struct err *e);
/* Has it there: pulls according to policy, then inspects. Credentials go to the registry they are for, only. */
int image_ensure(struct engine *engine, const struct docker_options *o, const char *ref,
                 const struct registries *regs, struct image *out, struct deadline d,
                 struct err *e);
/* Loads an archive as "docker save" writes it: source and arg as in struct http_request. */
int image_load(struct engine *engine, const struct docker_options *o,
               int (*source)(void *arg, struct buf *b, struct err *e), void *arg, struct deadline d,
               struct err *e);
int image_push(struct engine *engine, const struct docker_options *o, const char *ref,
               const struct registry *auth, struct deadline d, struct err *e);
/* A missing one is success. */
int image_remove(struct engine *engine, const char *ref, bool force, struct deadline d,
                 struct err *e);

/* Value of X-Registry-Auth: base64url with padding of {"username","password"}. Appends; wipe it after use. */
void registry_auth_header(const struct registry *r, struct buf *out);
/* Value of X-Registry-Config for builds: all of them by host. */
void registry_config_header(const struct registries *regs, struct buf *out);

#endif
