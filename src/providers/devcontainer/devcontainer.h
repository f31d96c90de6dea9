/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dev container configurations (containers.dev, protocol 10.8), read and carried out by ourselves:
 * JSON with comments, variables, merging with the metadata that images carry in a label. "features" are in features.h;
 * "dockerComposeFile" is left to the dev container CLI, where a provider has it.
 */
#ifndef PROVIDERS_DEVCONTAINER_DEVCONTAINER_H
#define PROVIDERS_DEVCONTAINER_DEVCONTAINER_H

#include "base/json.h"
#include "base/kv.h"
#include "base/strlist.h"
#include "oci/dockerignore.h"
#include "providers/asker.h"
#include "providers/spec.h"

#define DC_METADATA_LABEL "devcontainer.metadata"
#define DC_FILE_MAX (1u << 20)
#define DC_LAYERS_MAX 64
#define DC_LIST_MAX 500 /* members of one setting; a repository may have an engine make no more */

struct devcontainer {
	struct json_doc *doc;
	struct json root;
	struct json_doc *metadata;         /* of the image */
	struct json layers[DC_LAYERS_MAX]; /* metadata entries, then root: later ones win */
	size_t n_layers;
	char *path;            /* of the file, relative to the checkout */
	char *checkout;        /* on this host: what is mounted is looked at here */
	char *host_dir;        /* the same, as the engine's host sees it */
	char *folder;          /* workspace folder in the container */
	char *id;              /* ${devcontainerId} */
	const char *env_allow; /* names that ${localEnv:…} may read, or NULL (protocol 12.50) */
	struct kv probed;      /* what the user's shell sets, see dclife.h */
	bool was_probed;
	const struct kv
		*container_env; /* for ${containerEnv:…}; NULL before there is a container */
};

/* Where checkout/path, with links followed, lies in the checkout: a path without links, "" for all of it. NULL: it leads out,
 * or is not there. Caller frees. */
char *dc_resolve(const char *checkout, const char *path);
/* Reads a regular file of the checkout, with links that stay in it followed; whatever else is there is refused. ERR_NOT_FOUND,
 * ERR_DENIED, ERR_LIMIT. */
int dc_read(const char *checkout, const char *path, struct buf *text, struct err *e);
/* Relative path of the configuration in a checkout: given (checked), or one of the two usual places. NULL with e
 * untouched when there is none; NULL with e set when given is missing or leads out of the checkout. Caller frees. */
char *dc_detect(const char *checkout, const char *given, struct err *e);
/* name: of the repository, for the default folder. checkout: where to read; host_dir: what paths expand to. */
int dc_load(struct devcontainer *dc, const char *checkout, const char *path, const char *host_dir,
            const char *name, const char *id, struct err *e);
/* The same from text (tests, fuzzing): the checkout is host_dir. */
int dc_parse(struct devcontainer *dc, struct str text, const char *path, const char *host_dir,
             const char *name, const char *id, struct err *e);
void dc_free(struct devcontainer *dc);
/* Takes the image's metadata label into account. Bad ones are ignored. */
void dc_set_metadata(struct devcontainer *dc, const char *label);

/* Says which settings have no effect here and which nobody knows. */
void dc_name_unknown(const struct devcontainer *dc, const struct asker *asker);
/* It needs the dev container CLI; it needs features.h. */
bool dc_is_compose(const struct devcontainer *dc);
bool dc_has_features(const struct devcontainer *dc);
/* Appends s with ${…} replaced; unknown variables stay. */
void dc_expand(const struct devcontainer *dc, struct str s, struct buf *out);
/* Expanded string of v; NULL if it is none. Caller frees. */
char *dc_text(const struct devcontainer *dc, struct json v);
/* Last layer that has the key as a non-empty string, expanded; NULL if none. Caller frees. */
char *dc_last(const struct devcontainer *dc, const char *key);
/* String members of "containerEnv", "remoteEnv" over all layers, expanded; null removes. */
void dc_env(const struct devcontainer *dc, const char *key, struct kv *out);
/* "updateRemoteUserUID": whether the user may get the id of the checkout's owner. */
bool dc_updates_uid(const struct devcontainer *dc);
/* User that tools work as. image_user: of the image, "" for root. Caller frees. */
char *dc_remote_user(const struct devcontainer *dc, const char *image_user);

struct dc_build {
	char *dockerfile, *context; /* relative to the checkout, context "" for its root */
	char *target, *platform;    /* or NULL */
	struct kv args, labels;
	struct strlist cache_from, extra_hosts;
	bool pull, no_cache;
};
/* False if the configuration names an image instead. Paths that leave the checkout are ERR_CONFIG. asker is
 * told which of "build.options" are not done. */
int dc_build(const struct devcontainer *dc, const struct asker *asker, struct dc_build *b,
             bool *has_build, struct err *e);
/* With links followed, do context and Dockerfile lie in the checkout? ERR_CONFIG if not. */
int dc_build_check(const struct dc_build *b, const char *checkout, struct err *e);
/* "Dockerfile.dockerignore" before ".dockerignore" of the context; neither is no error. Both paths are of the checkout. */
int dc_read_ignore(const char *checkout, const char *context, const char *dockerfile,
                   struct dockerignore *ignore, struct err *e);
void dc_build_free(struct dc_build *b);

/* Appends the value of this host's variable if env_allow has its name; false: it may not be read or is not set. */
bool dc_local_env(const struct devcontainer *dc, const char *name, struct buf *out);
/* Fills in user, environment, labels, mounts, runArgs and what the image's metadata asks for; the provider decides on it.
 * asker is told what has no place in a spec. */
void dc_fill_spec(const struct devcontainer *dc, const struct asker *asker, struct spec *s);

#endif
