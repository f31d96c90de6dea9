/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the docker provider (protocol 10.1, design 5): from [provider "docker-provider"] of the
 * configuration, overridden by a target config's options. Names are compared without case, with '_' for
 * blanks, so "Sock Path" and sock_path are one option.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_OPTIONS_H
#define PROVIDERS_DOCKER_ENGINE_OPTIONS_H

#include "base/buf.h"
#include "base/kv.h"

#include <stdbool.h>
#include <stdint.h>

#define DOCKER_DEFAULT_SOCK "/var/run/docker.sock"

enum agent_kind { AGENT_AUTO, AGENT_DAYTONA, AGENT_BUILTIN, AGENT_NONE };
enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER };

struct docker_options {
	/* Remote engine through ssh: when remote_host is set, even to "". */
	char *remote_host, *remote_user, *remote_password, *remote_key;
	char *remote_host_key; /* "ssh-ed25519 AAAA…" */
	int64_t remote_port;
	char *sock;     /* NULL: DOCKER_HOST, then the known places */
	char *data_dir; /* remote base directory */
	bool privileged;
	char *network;
	int64_t nano_cpus, memory_bytes, pids, disk_bytes; /* 0: no limit */
	char *capabilities; /* "-NET_RAW, SYS_PTRACE": those to drop and to add */
	char *runtime;      /* of the engine, such as runsc */
	char *volumes;      /* "name:/path, /of/the/host:/path:ro" */
	char *gpus; /* "all", a number, "device=ID,ID"; DOCKER_GPUS_AUTO: what a dev container asks for */
	char *extra_hosts; /* "name:ip, …" */
	int agent;         /* enum agent_kind */
	/* Only in the configuration of the runner. */
	int pull; /* enum pull_policy */
	int64_t pull_stall_ms, pull_total_ms, call_ms, agent_ms;
	char *agent_binary;   /* static executable of ours for the workspaces; NULL: our own */
	bool initialize;      /* initializeCommand of dev containers may run on this host */
	bool allow_file;      /* repositories may be file:// or paths of this host; default true */
	char *git_ca_file;    /* CA certificates for git, or NULL */
	char *host_state_dir; /* the state directory as the engine knows it; NULL: found out */
	bool host_mounts;     /* dev containers may mount any directory of the host */
};

/* Either source may be NULL or empty. ERR_CONFIG names option and value. */
int docker_options_parse(struct docker_options *o, const struct kv *config, const char *target_json,
                         struct err *e);
void docker_options_free(struct docker_options *o);
/* The targetConfigManifest (protocol 9.1). */
void docker_options_manifest(struct buf *b);

/* Whether such a value has the form above. Which capabilities and sources are allowed is for policy.h. */
bool docker_capabilities_ok(struct str list);
bool docker_volumes_ok(struct str list);
#define DOCKER_GPUS_AUTO "auto"

#endif
