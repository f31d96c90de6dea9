/* SPDX-License-Identifier: Apache-2.0 */
/* Which lifecycle commands of a dev container are due, and what becomes of its start when one fails: for all providers. */
#ifndef PROVIDERS_DEVCONTAINER_DCHOOKS_H
#define PROVIDERS_DEVCONTAINER_DCHOOKS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Those of creation, in their order; what a container is for is there after the first two, which a build runs as well. */
#define DC_HOOKS_OF_CONTENT 2
#define DC_HOOKS_OF_CREATION 3
extern const char *const dc_hooks[];

struct provider_env;
struct dc_hooks_run {
	const struct provider_env *env;
	int64_t *done;     /* of those of creation: how many were run, in whatever start */
	bool only_created; /* it runs already: what is run at each start is not due */
	/* Runs one; save keeps *done. */
	int (*run)(void *arg, const char *hook, struct err *e);
	int (*save)(void *arg, struct err *e);
	void *arg;
};
/* All that are due when it starts. As containers.dev has it, none is run behind one that fails: one of content is this call's
 * error, and is run again by the next; behind it, where people are let in already, a failure is a warning in the log. */
int dc_hooks_run(const struct dc_hooks_run *r, struct err *e);

#endif
