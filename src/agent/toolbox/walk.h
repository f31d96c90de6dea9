/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a folder, and below it, in the order of names and within limits. */
#ifndef AGENT_TOOLBOX_WALK_H
#define AGENT_TOOLBOX_WALK_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

#include <sys/stat.h>

#define WALK_DEPTH_MAX 100
#define WALK_NAMES_MAX 200000 /* of one folder; of all those that are open, in a walk */

struct names {
	char **v; /* sorted by byte; without "." and ".." */
	size_t n, cap;
	bool cut; /* there are more */
};
int names_read(const char *dir, struct names *out, struct err *e);
void names_free(struct names *names);

struct walk {
	/* Called for the root and all below it; links are not followed, but for the root. False ends
	 * the walk. */
	bool (*each)(void *arg, const char *path, const struct stat *st);
	void *arg;
	struct deadline d;
	/* Own. */
	size_t held;
	bool cut; /* a limit was reached, or each had enough */
};
/* Paths begin with root as it is given, but "." and "./" are left out. Folders that cannot be read
 * are passed over. -1: there is no root. */
int walk(struct walk *w, const char *root, struct err *e);

#endif
