/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of a registry (OCI distribution specification 1.1, and what Docker's registry did before): manifests and blobs.
 * Credentials go to the registry of their host and to the place of tokens that it names, which must be reached by TLS
 * unless the registry itself is spoken to without; never along a redirect.
 */
#ifndef OCI_REGISTRY_H
#define OCI_REGISTRY_H

#include "net/tls.h"
#include "oci/imgstore.h"
#include "oci/login.h"
#include "oci/manifest.h"

#include <stdbool.h>

/* A login given by the caller, before any of this user's files. */
struct registry_login {
	const char *host;                             /* "docker.io", "host:5000" */
	const char *user, *password, *identity_token; /* NULL: none */
};

/* Asked before the registry of that host itself; whatever it does not give is fetched from there. */
struct registry_mirror {
	const char *host;   /* "docker.io" */
	const char *mirror; /* "host:port" */
};

/* All borrowed for the life of the registry. */
struct registry_options {
	const struct registry_login *logins;
	size_t n_logins;
	bool user_logins;              /* then those of Docker's command line */
	const char *const *plain_http; /* hosts that are spoken to without TLS */
	size_t n_plain_http;
	const struct registry_mirror *mirrors; /* in the order in which they are asked */
	size_t n_mirrors;
	struct tls_ctx *tls;
	const char *proxy, *no_proxy; /* NULL: as the environment says */
	/* Where what is slow or repeated is said; may be NULL. */
	void (*say)(void *arg, const char *line);
	/* Bytes of blobs that came since the last call; may be NULL. */
	void (*came)(void *arg, uint64_t bytes);
	void *arg;
};

/* The first of o's own logins for that host, or NULL. */
const struct registry_login *registry_given_login(const struct registry_options *o,
                                                  const char *host);

struct registry;

/* host as in a name; nothing is sent yet. */
int registry_open(struct registry **out, const char *host, const struct registry_options *o,
                  struct err *e);
void registry_close(struct registry *r); /* NULL is fine */

/* The manifest or index of path ("library/debian") called what: a tag or digest, whose digest is then checked. */
int registry_manifest(struct registry *r, const char *path, const char *what, struct buf *text,
                      char **media_type, struct deadline d, struct err *e);
/* Into b, from where it stands; goes on where a connection broke. Does not commit. */
int registry_blob(struct registry *r, const char *path, const struct digest *digest,
                  struct blob_in *b, struct deadline d, struct err *e);
/* Any other file of that host, into the empty fd: path and query, encoded. No login is used. */
int registry_file(struct registry *r, const char *target, int fd, int64_t max, struct deadline d,
                  struct err *e);

/* Nothing is sent of a blob that is there. The login goes to the registry alone: it may not send us elsewhere. */
int registry_push_blob(struct registry *r, const char *path, const struct digest *digest,
                       struct str bytes, struct deadline d, struct err *e);
int registry_push_manifest(struct registry *r, const char *path, const char *tag,
                           const char *media_type, struct str text, struct deadline d,
                           struct err *e);

#endif
