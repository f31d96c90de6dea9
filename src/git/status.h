/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a checkout as the Server's GitStatus (protocol 11.3); format: git-status(1),
 * "Porcelain Format Version 2". */
#ifndef GIT_STATUS_H
#define GIT_STATUS_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

#define GIT_STATUS_FILES_MAX 500 /* more are left out */

/* Appends the object for the output of `git status --porcelain=v2 --branch -z`. What is malformed
 * or cut is left out. Without a branch (no repository) nothing: the Server refuses a status that names none. */
void git_status_parse(struct str porcelain, struct buf *json);
/* In a forked child: becomes the git whose output git_status_parse takes, on standard output; without
 * a repository in dir that is empty. Should there be no git, "-" and the reason instead. */
_Noreturn void git_status_exec(const char *dir);
/* Waits for it, and appends the object. ERR_OTHER where dir has no repository. */
int git_status_read(const char *dir, struct deadline d, struct buf *json, struct err *e);

#endif
