/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkout of a repository with the system's git, used by every provider and by the agent (protocol
 * 10.5, 12.42, 12.44). Credentials go to git through an askpass program (our own binary as applet
 * "askpass", answering from the environment of that one git process), never through argv or the
 * remote's URL; TLS is verified; hooks, remote helpers, submodules and the settings of the user and
 * of the system are off.
 */
#ifndef GIT_CLONE_H
#define GIT_CLONE_H

#include "api/model.h"
#include "base/deadline.h"
#include "base/err.h"

struct git_clone {
	const struct repository *repo;
	const struct git_provider *creds; /* NULL: none */
	const char *dir;                  /* final place: <…>/<repo name>; its parent exists */
	const char *self_exe;             /* for askpass */
	const char *ca_file;              /* or NULL */
	bool allow_file;                  /* file:// and plain paths are allowed as source */
	void (*log)(void *arg, struct str bytes);
	void *log_arg;
	const volatile int *stop;
	bool in_job; /* in a process of its own: what git leaves running is ended */
};

/* What is said when repo->branch_guessed is not there, and the default branch is taken. */
#define GIT_OWN_BRANCH "nobody named a branch, and there is no main: the repository's own is taken"

/* Appends the URL without its user part (ssh keeps the user's name); "https://" is prefixed when it
 * has no scheme, a path becomes file://. Refused: ext:: and its kind, a leading '-', control bytes. */
int git_url_normalize(const char *url, bool allow_file, struct buf *out, struct err *e);
/* Clones into "<dir>.part" and renames when complete. A checkout that is there already is left alone
 * (success), an empty directory is taken, anything else there is ERR_EXISTS; what a broken attempt
 * left is removed, its git ended. Branch: --single-branch --branch, none: the default one; commit:
 * the same, then checkout of sha. A user part of the URL counts as credentials when creds has no
 * token. A branch or sha that is none is ERR_PARSE. */
int git_clone(const struct git_clone *c, struct deadline d, struct err *e);
/* The last path component of the URL if repo->name is empty or no safe component. Caller frees. */
char *git_dir_name(const struct repository *repo);
/* What the applet "askpass" answers to git's prompt (secret): appended. Only for the host that
 * git_clone named. */
int git_askpass(const char *prompt, struct buf *answer, struct err *e);

#endif
