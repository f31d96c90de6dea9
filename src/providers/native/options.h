/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of native-provider. From a target config (JSON, keys with blanks): Agent, Isolation, Image, Root, Network,
 * CPUs, Memory, Pids, Disk, Grace Seconds, Command; the section [provider "native-provider"] gives their defaults (agent, isolation,
 * grace_seconds, command, …) and what only the host's owner decides: allow_file, git_ca_file, roots, plain_http.
 */
#ifndef PROVIDERS_NATIVE_OPTIONS_H
#define PROVIDERS_NATIVE_OPTIONS_H

#include "providers/provider.h"
#include "sandbox/cgroup.h"

enum native_net { NATIVE_NET_AUTO, NATIVE_NET_PRIVATE, NATIVE_NET_HOST, NATIVE_NET_NONE };

struct native_options {
	bool agent;       /* false: Agent = none */
	bool best_effort; /* of isolation, or strict; false: none is wanted */
	bool strict;
	char *image, *root; /* "" = none; not both. root "/": the host's */
	bool of_workspace; /* Image=workspace: image is what the workspace was made with, see native.c */
	enum native_net net;
	const char *roots; /* directories below which a root may be, by ':'; or NULL; borrowed */
	const char *plain_http; /* registries, by ','; or NULL; borrowed */
	struct cgroup_limits limits;
	int64_t disk_bytes; /* 0: no limit */
	int64_t grace_ms;
	char *command;   /* "" = the agent alone */
	bool allow_file; /* repositories of this host; default yes: nothing else hides them either */
	const char *git_ca_file; /* or NULL; borrowed */
};

/* config: the target config's options text, "" and null included. ERR_CONFIG names the option. */
int native_options_parse(struct native_options *o, const char *config, const struct kv *section,
                         struct err *e);
/* The value of Image that leaves it to whoever makes a workspace. */
#define NATIVE_WORKSPACE_IMAGE "workspace"

/* Whether path, without links in it, lies below one of the roots. */
bool native_root_allowed(const struct native_options *o, const char *path);
/* Whether workspaces have namespaces of their own. */
bool native_options_boxed(const struct native_options *o);
void native_options_free(struct native_options *o);
void native_manifest(struct buf *b); /* protocol 9.1 */

#endif
