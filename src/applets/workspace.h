/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the applet workspace, see workspace.c. */
#ifndef APPLETS_WORKSPACE_H
#define APPLETS_WORKSPACE_H

#include "applets/verbs.h"

int workspace_create(struct verbs *v, struct err *e);
int workspace_list(struct verbs *v, struct err *e);
/* Makes a workspace of a repository's address as v's options say, and waits if v->wait. *name: what it is called, freed by
 * the caller, NULL as long as that is not known. */
int workspace_make(struct verbs *v, const char *repository, char **name, struct err *e);
/* A shell in it, as the applet of that name gives it: its exit status. */
int workspace_enter(const struct cli_admin *a, const char *name);

#endif
