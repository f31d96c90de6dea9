/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be given to git as a source, a branch or a commit. The Server's values are not trusted:
 * nothing that git would take for an option, a remote helper or a local file gets through.
 */
#ifndef GIT_URL_H
#define GIT_URL_H

#include "base/err.h"

#include <stdbool.h>

#define GIT_URL_MAX 4096

struct git_source {
	char *url;      /* for git's argv: without a user part (ssh: without the password) */
	char *scheme;   /* "https" "http" "ssh" "git" "file" */
	char *host;     /* "host[:port]", lower case; "" for file */
	char *user;     /* percent-decoded; NULL if the URL had none */
	char *password; /* likewise; secret */
};

/* ERR_PARSE or ERR_UNSUPPORTED; ERR_DENIED when this process may not use it (base/allow.h); the message shows the URL without its user part. */
int git_source_parse(const char *url, bool allow_file, struct git_source *out, struct err *e);
void git_source_free(struct git_source *s); /* wipes the password */

/* The rules of git-check-ref-format, and nothing that looks like an option. */
bool git_branch_ok(const char *branch);
bool git_sha_ok(const char *sha); /* 4 to 64 hex digits */

#endif
