/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git in a checkout that is there, for its owner: with the owner's settings and keys, but without
 * hooks, signatures and questions. Credentials go to git as in clone.h, and to origin's host alone.
 */
#ifndef GIT_WORK_H
#define GIT_WORK_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

struct git_work {
	const char *dir;                 /* it has the .git itself: none around it counts */
	const char *author, *email;      /* of a commit; NULL: as configured */
	const char *username, *password; /* secret; NULL: none but the owner's own ways */
	const char *askpass;             /* of our executable, for these; NULL: there is none */
	const char *ca_file;             /* or NULL */
};

/* args: NULL-terminated, without "git". Output of both kinds is appended to out, up to max bytes: more is
 * dropped. An exit status that is not 0 is ERR_OTHER with git's own words. */
int git_work(const struct git_work *w, const char *const *args, struct str input, size_t max,
             struct buf *out, struct deadline d, struct err *e);

#endif
