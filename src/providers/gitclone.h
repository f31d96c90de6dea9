/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkout of a repository with the system's git, used by every provider and by the agent (protocol 10.5,
 * 12.42, 12.44). Credentials go to git through an askpass program (our own binary as applet
 * "askpass", answering from the environment of that one git process), never through argv or the remote's URL; TLS is
 * verified; hooks, ext:: and file:// submodules and other local surprises of a hostile repository are off.
 */
#ifndef PROVIDERS_GITCLONE_H
#define PROVIDERS_GITCLONE_H

#include "api/model.h"
#include "base/deadline.h"
#include "base/err.h"

struct git_clone {
	const struct repository *repo;
	const struct git_provider *creds; /* NULL: none */
	const char *dir;       /* final place: <…>/<repo name>; its parent exists */
	const char *self_exe;  /* for askpass */
	const char *ca_file;   /* or NULL */
	bool allow_file;       /* file:// and plain paths are allowed as source */
	void (*log)(void *arg, struct str bytes);
	void *log_arg;
	const volatile int *stop;
};

/* "https://" is prefixed when url has no "://"; a user part in it is moved into the credentials (appended to user/token
 * when creds is NULL); refused: ext::, leading '-', control bytes. Branch and sha are refused when they begin with '-' or are no ref/hex. */
int git_url_normalize(const char *url, bool allow_file, struct buf *out, struct err *e);
/* Clones into "<dir>.part" and renames when complete. A complete checkout that is there already is left alone (success); a
 * half one is removed first. Branch: --single-branch --branch; commit: the same then checkout of sha. */
int git_clone(const struct git_clone *c, struct deadline d, struct err *e);
/* The last path component of the URL if repo->name is empty or no safe component. Caller frees. */
char *git_dir_name(const struct repository *repo);
/* Body of POST /workspace/{id}/metadata (protocol 3, 11.3: uptime, gitStatus{currentBranch,fileStatus[],branchPublished,ahead,behind}).
 * Runs git status --porcelain=v2 --branch; a directory without repository gives an empty status. */
int git_status_json(const char *dir, int64_t uptime_s, struct buf *body, struct deadline d, struct err *e);

#endif
