/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images, registries, repositories and agents (by SHA-256) this process may use. Process-wide, as a job's process sets it once for all that
 * it does: each reference goes through one parser (oci/image_ref.c, git/url.c), and that asks here.
 */
#ifndef BASE_ALLOW_H
#define BASE_ALLOW_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum allow_kind { ALLOW_IMAGES, ALLOW_REGISTRIES, ALLOW_REPOSITORIES, ALLOW_AGENTS, ALLOW_KINDS };

/* patterns: shell patterns separated by commas or white space; NULL or none: all is allowed. Copied. */
void allow_set(enum allow_kind kind, const char *patterns);
/* Whether there is a list. */
bool allow_limits(enum allow_kind kind);
/* ERR_DENIED unless one of the n names of the same thing matches; what: as a person knows it. */
int allow_check(enum allow_kind kind, const char *what, const char *const *names, size_t n,
                struct err *e);

/* '*' and '?' do not match '/'. A pattern that ends in a component "**" matches all that is deeper there. */
bool allow_match(const char *pattern, const char *name);

#endif
