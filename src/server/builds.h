/* SPDX-License-Identifier: Apache-2.0 */
/* Builds and their templates, for the prebuilds that make and delete them. */
#ifndef SERVER_BUILDS_H
#define SERVER_BUILDS_H

#include "server/srv.h"

/* Adds a build of a template's repository and its job. env: JSON; prebuild NULL: none. */
int build_add(struct srv *s, struct change *ch, const struct rec *t, const char *branch,
              const char *sha, const char *prebuild, struct str env, char id[ID_SIZE],
              struct err *e);
/* The same build of another commit, while no runner has begun it. */
void build_renew(struct change *ch, const struct rec *build, const struct rec *t,
                 const char *branch, const char *sha, struct str env);
/* By force, when there is no runner that could do it: done. */
int build_delete_job(struct srv *s, struct change *ch, const struct rec *r, bool force,
                     struct err *e);
/* The template that the path names; NULL when the answer has been sent. */
const struct rec *template_param(struct call *c, int status, const char *what);

/* prebuilds.c */
void prebuilds_view(const struct srv *s, struct buf *b, const struct rec *template);
/* Deletes the builds that are more than the prebuild keeps, oldest first: of the successful ones, and of those that failed. */
void prebuild_retain(struct srv *s, const char *id);
/* All of a template, with their builds. */
int prebuilds_remove(struct srv *s, struct change *ch, const char *template, bool force,
                     struct err *e);
/* Has a template of that repository a prebuild? */
bool prebuilds_wanted(const struct srv *s, const char *url);
/* What the git host of this repository signs with, and no other host knows: as hexadecimal digits. Made, with its key,
 * when there is none. -1 with e when that fails. */
int prebuild_hook_secret(struct srv *s, const char *repository, struct buf *out, struct err *e);
/* A template has another repository. */
void prebuilds_moved(struct srv *s, const struct rec *template, const char *from);
/* Could the request be a git host's? Else it has its answer: before its body is read. */
bool prebuild_hook_may(struct call *c);

#endif
