/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container or a sandbox is to be: what is asked for, and beside it what a provider adds of its own. Each provider decides
 * on the former, and carries all of it out in its own way.
 */
#ifndef PROVIDERS_SPEC_H
#define PROVIDERS_SPEC_H

#include "base/kv.h"
#include "base/str.h"
#include "base/strlist.h"

#include <stdbool.h>
#include <stdint.h>

struct mount_spec {
	char *type; /* "bind", "volume", "tmpfs" */
	char *source, *target;
	bool read_only;
	bool own; /* the runner's own decision; else it was asked for, see asker.h */
};
void mount_spec_free(struct mount_spec *mount);

enum spec_entry {
	ENTRY_PROGRAM, /* ours, put there */
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

/* GPUs as they are asked for and given: "all", a number or "device=ID,ID". */
#define SPEC_GPUS_MAX 64
#define SPEC_GPUS_DEVICE "device="
bool spec_gpus_ok(struct str s);

#endif
