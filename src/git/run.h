/* SPDX-License-Identifier: Apache-2.0 */
/* What every call of git has in common: the environment, and where its output goes. */
#ifndef GIT_RUN_H
#define GIT_RUN_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/kv.h"

/* Set for the applet "askpass" by git_clone, in that one git's environment. */
#define ENV_ASKPASS_HOST "DAYTONA_ASKPASS_HOST"
#define ENV_ASKPASS_USER "DAYTONA_ASKPASS_USER"
#define ENV_ASKPASS_SECRET "DAYTONA_ASKPASS_SECRET"
/* "user@host" for an ssh that asks for its password, instead of the two above. */
#define ENV_ASKPASS_SSH "DAYTONA_ASKPASS_SSH"

#define GIT_MISSING_TEXT "git is not installed here; install the package \"git\""

/* Clean environment: PATH, HOME, C locale, no system configuration, no terminal; and from ours only
 * what finds the network (proxies, CA files, the ssh agent). */
void git_env(struct kv *env, const char *home);

struct git_run {
	const char *const *argv; /* NULL-terminated, argv[0] = "git" */
	const struct kv *env;
	const char *cwd;  /* or NULL */
	struct str input; /* its standard input; may be empty. SIGPIPE must be ignored */
	void (*output)(void *arg, struct str bytes);
	void *arg;
	const volatile int *stop;
	bool end_daemons; /* see struct proc_spawn */
};
/* Exit status in *status (0: fine), -1 if it did not run to its end; git missing is one clear
 * sentence. */
int git_run(const struct git_run *r, struct deadline d, int *status, struct err *e);

#endif
