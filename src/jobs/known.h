/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host knows of its workspaces without the Server: a record beside the log of each
 * (state_dir/logs/workspaces/<id>/about, 0600), written with each job that makes or starts it and gone with the log.
 * Secrets are left out, target options named like them too.
 */
#ifndef JOBS_KNOWN_H
#define JOBS_KNOWN_H

#include "api/model.h"

int known_save(const char *state_dir, const struct workspace *ws, struct err *e);

struct known {
	struct workspace *
		list; /* as a provider needs them: ids, name, user, image, repository, target's options */
	size_t n;
};
/* By name. A record that cannot be read is left out. */
void known_load(struct known *known, const char *state_dir);
void known_free(struct known *known);
/* By id, or else by name if only one has it. ERR_NOT_FOUND, ERR_USAGE: several have it. */
const struct workspace *known_find(const struct known *known, const char *id_or_name,
                                   struct err *e);

#endif
