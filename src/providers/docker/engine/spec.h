/* SPDX-License-Identifier: Apache-2.0 */
/* What a container is to be, and the body of the engine's create call (protocol 10.6). */
#ifndef PROVIDERS_DOCKER_ENGINE_SPEC_H
#define PROVIDERS_DOCKER_ENGINE_SPEC_H

#include "base/buf.h"
#include "base/kv.h"
#include "providers/docker/engine/hostpath.h"
#include "providers/docker/engine/options.h"

#include <stdbool.h>
#include <stdint.h>

/* Where our own executable lies in a container; its hidden applet "container-init" is the container's first process, so an image
 * needs no shell and no sleep, and a stop reaches every program. */
#define PROGRAM_DIR "/.daytona/"
#define PROGRAM_PATH PROGRAM_DIR "daytona-runner"

struct strlist {
	char **p;
	size_t n;
};
void strlist_add(struct strlist *l, const char *s); /* copies */
void strlist_free(struct strlist *l);

struct mount_spec {
	char *type; /* "bind", "volume", "tmpfs" */
	char *source, *target;
	bool read_only;
	bool own; /* the runner's own decision; else it was asked for, see policy.h */
};
void mount_spec_free(struct mount_spec *mount);

enum spec_entry {
	ENTRY_PROGRAM, /* ours, see PROGRAM_PATH */
	ENTRY_SLEEP, /* sleep infinity under the engine's init: our program does not run on that machine */
	ENTRY_IMAGE, /* the image's own */
	ENTRY_GIVEN, /* command */
};

struct spec {
	char *hostname, *image, *user, *workdir; /* NULL or "": none */
	struct kv env, labels;
	enum spec_entry entry;
	struct strlist command;
	struct mount_spec *mounts;
	size_t n_mounts;
	struct strlist cap_add, cap_drop, security_opt, extra_hosts, dns, tmpfs;
	char *network;
	int64_t nano_cpus, memory_bytes, shm_bytes, pids, disk_bytes;
	bool privileged, init;
	bool no_healthcheck;         /* the image's is not run; set by the policy */
	const char *runtime, *gpus;  /* of the options, borrowed; set by the policy */
	char *gpus_asked;            /* by a dev container, as in the option GPUs */
	bool gpus_optional;          /* … if there are any */
	bool read_only, auto_remove; /* its root; when it has ended */
	struct strlist own_caps;     /* by the runner's own decision, in place of those asked for */
};

void spec_free(struct spec *s);
/* A mount of our own. */
void spec_mount(struct spec *s, const char *type, const char *source, const char *target,
                bool read_only);
/* What a repository or an image asks for; mount's strings are copied. */
void spec_ask_mount(struct spec *s, const struct mount_spec *mount);
/* Takes over what the target's options say: privileges, limits, network, hosts. */
void spec_apply_options(struct spec *s, const struct docker_options *o);
/* … and what they add: capabilities and volumes, which the policy looks at like any that are asked for. */
void spec_apply_grants(struct spec *s, const struct docker_options *o);
void spec_write_gpus(const char *gpus, struct buf *b);
/* The body. Only what policy_admit has seen is given to an engine. dirs: what the engine calls what is mounted; or NULL. */
void spec_write(const struct spec *s, const struct host_path *dirs, struct buf *b);

#endif
