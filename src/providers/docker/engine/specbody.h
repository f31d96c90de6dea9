/* SPDX-License-Identifier: Apache-2.0 */
/* A spec with what the target's options say, and as the body of the engine's create call (protocol 10.6). */
#ifndef PROVIDERS_DOCKER_ENGINE_SPECBODY_H
#define PROVIDERS_DOCKER_ENGINE_SPECBODY_H

#include "base/buf.h"
#include "providers/docker/engine/hostpath.h"
#include "providers/docker/engine/options.h"
#include "providers/spec.h"

/* Where our own executable lies in a container; its hidden applet "container-init" is the container's first process, so an image
 * needs no shell and no sleep, and a stop reaches every program. */
#define PROGRAM_DIR "/.daytona/"
#define PROGRAM_PATH PROGRAM_DIR "daytona-runner"

/* Takes over what the target's options say: privileges, limits, network, hosts. */
void spec_apply_options(struct spec *s, const struct docker_options *o);
/* … and what they add: capabilities and volumes, which the policy looks at like any that are asked for. */
void spec_apply_grants(struct spec *s, const struct docker_options *o);
void spec_write_gpus(const char *gpus, struct buf *b);
/* The body. Only what policy_admit has seen is given to an engine. dirs: what the engine calls what is mounted; or NULL. */
void spec_write(const struct spec *s, const struct host_path *dirs, struct buf *b);

#endif
