/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What describes an image, parsed: manifest, index and configuration, in the OCI's form (image specification 1.1) and in
 * Docker's (schema 2, which differs in its media types).
 */
#ifndef OCI_MANIFEST_H
#define OCI_MANIFEST_H

#include "base/buf.h"
#include "base/err.h"
#include "oci/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_MAX (4u << 20)
#define CONFIG_MAX (4u << 20)
#define MANIFEST_LAYERS_MAX 500
#define MANIFEST_ENTRIES_MAX 1000 /* of an index */

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

struct blob_ref {
	char *media_type; /* "" if none is written */
	struct digest digest;
	int64_t size;
};

struct platform {
	const char *os, *arch, *variant; /* as Go spells them; variant may be "" */
};

/* This machine's. */
struct platform platform_here(void);
/* "linux/arm/v7"; the parts are kept in b. False if malformed. */
bool platform_parse(const char *text, struct buf *b, struct platform *p);

struct manifest {
	bool is_index;
	/* Of a manifest. */
	struct blob_ref config;
	struct blob_ref *layers; /* lowest first */
	size_t n_layers;
	/* Of an index: what fits the platform best. */
	struct blob_ref best;
};

/* The media type of the reply or descriptor, "" if unknown, only decides where the document itself does not say. For an
 * index: ERR_NOT_FOUND names the platforms that there are. Anything that is no image of a container is refused by name. */
int manifest_parse(struct str text, const char *media_type, const struct platform *p,
                   struct manifest *manifest, struct err *e);
void manifest_free(struct manifest *manifest);
const char *manifest_type(struct str manifest); /* of one that says it, or is OCI's */

/* What a process of the image begins with. Lists end in NULL; NULL is an empty one. */
struct image_config {
	char **env; /* "K=V" */
	char **entrypoint, **cmd, **shell;
	char *user;    /* "", "name", "uid", either with ":group" */
	char *workdir; /* "" is "/" */
	char *stop_signal;
	char **volumes, **ports; /* paths; "8080/tcp" */
	char **labels;           /* "K=V" */
	char *os, *arch;
	char *created;           /* RFC 3339, or "" */
	struct digest *diff_ids; /* of the unpacked layers, lowest first */
	size_t n_diff_ids;
};

int image_config_parse(struct str text, struct image_config *c, struct err *e);
void image_config_free(struct image_config *c);
/* Appends it as JSON (OCI's form). */
void image_config_write(const struct image_config *c, struct buf *b);

/* Lists as above. */
void image_list_free(char ***l);
void image_list_add(char ***l, const char *s);
/* In place of the one with the same text before its first '='; without one both are all of it. */
void image_list_set(char ***l, const char *pair);
/* The value of NAME=VALUE; NULL: there is none. */
const char *image_list_get(char *const *l, const char *name);

#endif
