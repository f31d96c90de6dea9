/* SPDX-License-Identifier: Apache-2.0 */
/* .dockerignore: which paths of a build context are left out. */
#ifndef OCI_DOCKERIGNORE_H
#define OCI_DOCKERIGNORE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define DOCKERIGNORE_PATTERNS_MAX 1000

struct dockerignore { /* zero: nothing is left out */
	struct {
		char *pattern;
		bool keep; /* "!pattern" */
	} * list;
	size_t n;
	bool has_keep; /* a left-out directory may hold kept files */
};

/* Later patterns win. ERR_PARSE, ERR_LIMIT: what is wrong in which line; a pattern that is not understood must not
 * send what it was to leave out. Free d either way. */
int dockerignore_parse(struct dockerignore *d, struct str text, struct err *e);
void dockerignore_free(struct dockerignore *d);
/* path: relative, "a/b". True when it, or a directory above it, is left out. */
bool dockerignore_match(const struct dockerignore *d, const char *path);

#endif
