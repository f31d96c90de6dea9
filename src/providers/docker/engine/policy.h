/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only way to a container. What a repository, its features, an image's label or its metadata ask for is written into a
 * spec as it is asked; policy_admit decides on every part of it, drops what is not allowed and says so in the job's log.
 * container_create takes nothing but what it made. The same rules hold for workspaces, builds and helpers.
 *
 *   bind mounts        below the checkout, no link on the way, looked at again right before the create
 *   where              not over our program, whoever asks; the checkout itself neither
 *   volumes            get a name of the workspace, so that none is another's
 *   networks           the one that the target's options name, or none; else the default bridge, or none
 *   privileges         capabilities of a short list; no security options but no-new-privileges
 *   labels             none of those that say whose a container is: they are set here, all of them
 *   healthcheck        none in builds and helpers
 *   runtime, GPUs      those of the target's options, in no helper; GPUs in no build, and with "auto" those that are asked for
 *
 * A target whose options say Privileged may have anything; host_mounts (allow_host_mounts) any mount.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_POLICY_H
#define PROVIDERS_DOCKER_ENGINE_POLICY_H

#include "providers/asker.h"
#include "providers/docker/engine/hostpath.h"
#include "providers/docker/engine/specbody.h"
#include "providers/labels.h"

enum policy_use { POLICY_WORKSPACE, POLICY_BUILD, POLICY_HELPER };

struct policy {            /* all borrowed */
	struct asker from; /* whose wishes these are */
	enum policy_use use;
	const struct docker_options *options; /* of the target: what the operator allows */
	const char *id;               /* of the workspace or build: whose volumes these are */
	const struct host_path *dirs; /* what the engine calls them; or NULL */
	const struct kv *identity;    /* values of identity_labels; others are empty */
	bool has_gpus;                /* the engine can give some */
};

struct admitted;
/* Checks spec, which loses what is refused. Never NULL. */
struct admitted *policy_admit(const struct policy *p, struct spec *s);
void admitted_free(struct admitted *a);
/* From now on without a limit of the disk, which few storage drivers keep. False: it had none. */
bool admitted_drop_disk(struct admitted *a);
/* Body of the create call, after a last look at what it mounts: ERR_DENIED if that is not what was admitted any more,
 * ERR_CONFIG if the checkout itself was to be mounted where nothing may be. */
int admitted_body(const struct admitted *a, struct str *body, struct err *e);

/* What the name of every volume of a resource begins with. Ids have dots, so its length is in it: no name is two ids'. */
void policy_volume_prefix(const char *id, struct buf *b);

struct container;
/* Before the start of a container that has run: it can change what it has mounted, links included. Each source below dir,
 * a directory of this host, must still be reached without one. */
/* Whether what runs in c can put a link in place of what it has mounted: it has a part of the checkout, and with it the
 * directory that the part is in. */
bool policy_can_exchange(const struct container *c, const char *checkout);
int policy_check_mounts(const struct container *c, const char *dir, struct err *e);

#endif
