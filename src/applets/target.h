/* SPDX-License-Identifier: Apache-2.0 */
/* Making a target, as target create, workspace create and up do it. */
#ifndef APPLETS_TARGET_H
#define APPLETS_TARGET_H

#include "applets/verbs.h"

/* Of the configuration v->config, of the only one, or of the one that the person picks. name: NULL makes one up.
 * *id (may be NULL): of the target, freed by the caller. Says on stderr what it did. */
int target_make(struct verbs *v, const char *name, char **id, struct err *e);

#endif
