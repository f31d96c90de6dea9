/* SPDX-License-Identifier: Apache-2.0 */
/* An image from its registry into the store, layers unpacked while the next ones arrive. */
#ifndef OCI_PULL_H
#define OCI_PULL_H

#include "oci/images.h"
#include "oci/registry.h"

struct pull_progress {
	/* A line for a person; may be NULL. */
	void (*say)(void *arg, const char *line);
	/* Packed bytes of layers: those that are here, of all. Often; may be NULL. */
	void (*bytes)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/* o: logins, TLS and where to do without it; its say, came and arg are not used. p: which image of an index. Asks the
 * registry also if the name is here: a tag moves. *changed: whether the name has another image now. */
int images_pull(struct imgstore *s, const char *ref, const struct registry_options *o,
                const struct platform *p, const struct pull_progress *progress, bool *changed,
                struct deadline d, struct err *e);

enum pull_when { PULL_MISSING, PULL_ALWAYS, PULL_NEVER };

/* images_rootfs of an image that is pulled first: when it is not here, always, or never. A name that cannot be asked
 * about is said and what is here is taken, with PULL_ALWAYS too when no registry answers. An id is never pulled.
 * What one of o's logins has brought is not here for callers who do not give the same one: they ask its registry. */
int images_get(struct imgstore *s, const char *ref, enum pull_when when,
               const struct registry_options *o, const struct platform *p,
               const struct pull_progress *progress, const char *holder, struct deadline d,
               struct rootfs *r, struct err *e);

/* The other way: an image that is here to the registry of its name (push.c). */
int images_push(struct imgstore *s, const char *ref, const struct registry_options *o,
                struct deadline d, struct err *e);

#endif
