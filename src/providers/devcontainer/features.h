/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features of dev containers (containers.dev, "features" and "features-distribution"): an archive with install.sh and
 * devcontainer-feature.json, from a registry, by URL, or a folder beside the configuration. Each is one step of an image's build; what
 * it asks of the container goes into the image's metadata label, and so through the policy like all else.
 */
#ifndef PROVIDERS_DEVCONTAINER_FEATURES_H
#define PROVIDERS_DEVCONTAINER_FEATURES_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/provider.h"

#define FEATURES_MAX 64                           /* with those that others depend on */
#define FEATURE_JSON_MAX (1u << 20)               /* devcontainer-feature.json */
#define FEATURE_ARCHIVE_MAX (64ll << 20)          /* packed or of a folder */
#define FEATURE_DIR "/tmp/dev-container-features" /* in the image, while it is built */

struct feature {
	char *ref; /* as named, lower case if it is of a registry */
	char *resource; /* the same without a version: what "installsAfter" names, by this or an older id */
	struct json_doc *given; /* {} or the options as an object */
	struct json_doc *doc;   /* devcontainer-feature.json */
	uint64_t depends;       /* bit i: on feature i */
};

struct features {
	struct feature list[FEATURES_MAX];
	size_t n;
};

/* Fetches feature ref: an archive at path, and its devcontainer-feature.json. */
typedef int feature_fetch_fn(void *arg, const struct feature *f, const char *path, struct buf *json,
                             struct err *e);

/* "features" of root and all that they depend on, each fetched once to dir/<number>.tar. ERR_CONFIG, ERR_LIMIT, or what
 * fetch says. */
int features_collect(struct features *fs, struct json root, const char *dir,
                     feature_fetch_fn *fetch, void *arg, struct err *e);
void features_free(struct features *fs);
bool feature_is_url(const char *ref);
/* Numbers in the order of installation. override: "overrideFeatureInstallOrder". ERR_CONFIG: they depend on each other in a
 * circle. */
int features_order(const struct features *fs, struct json override, size_t order[FEATURES_MAX],
                   struct err *e);
/* What install.sh of f finds in its environment, as a script for sh. */
void feature_env(const struct feature *f, const char *remote_user, const char *container_user,
                 struct buf *script);
/* The build: base with the features on it, as image_user ("" is root) again. ERR_CONFIG names what cannot stand in it. */
int features_dockerfile(const struct features *fs, const size_t *order, const char *base,
                        const char *image_user, struct buf *text, struct err *e);
/* Label devcontainer.metadata: base's own ("" is none) and an entry for each. */
void features_metadata(const struct features *fs, const size_t *order, const char *base_label,
                       struct buf *label);

/* featurefetch.c: where they come from in earnest. */
struct feature_source {
	const struct provider_env *env;
	const struct devcontainer *dc;
	const struct registries *registries; /* logins; one on loopback is spoken to without TLS */
	const char *work_dir; /* a directory of ours, made anew; the caller removes it */
	struct deadline d;
};
feature_fetch_fn feature_fetch; /* arg: struct feature_source */

/* featurebuild.c: all of it, for whoever builds images. */
struct feature_base {
	const char *name;     /* as FROM has it */
	const char *user;     /* the image's, "" is root */
	const char *metadata; /* its label, "" if none; from->dc has it already */
};
/* *context: a directory in from->work_dir; b: the build of it, whose label is set. Both are the caller's to free. */
int features_prepare(struct feature_source *from, const struct feature_base *base,
                     struct dc_build *b, char **context, struct err *e);

#endif
