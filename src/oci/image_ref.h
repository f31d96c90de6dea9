/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References to images: [host[:port]/]path[:tag][@digest] (the distribution project's grammar).
 * A first component with '.', ':' or "localhost" is the host (protocol 12.28).
 */
#ifndef OCI_IMAGE_REF_H
#define OCI_IMAGE_REF_H

#include "base/buf.h"

#include <stdbool.h>

struct image_ref {
	char *domain; /* "docker.io" when none is written */
	char *path;   /* with "library/" where the hub implies it */
	char *name;   /* as written, without tag and digest: what the engine is asked for */
	char *tag;    /* "" when there is only a digest; else "latest" by default */
	char *digest; /* "sha256:…" or "" */
	bool is_id;   /* an image id: local only, name holds all of it */
};

/* ERR_PARSE; ERR_DENIED when this process may not use it (base/allow.h), which so nothing can pass by. */
int image_ref_parse(const char *s, struct image_ref *r, struct err *e);
void image_ref_free(struct image_ref *r);
/* "docker.io/library/debian:12", for messages. Appends. */
void image_ref_full(const struct image_ref *r, struct buf *b);

#endif
