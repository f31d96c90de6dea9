/* SPDX-License-Identifier: Apache-2.0 */
/* See dchooks.h. */
#include "providers/devcontainer/dchooks.h"

#include "providers/provider.h"

const char *const dc_hooks[] = { "onCreateCommand", "updateContentCommand", "postCreateCommand",
	                         "postStartCommand", "postAttachCommand" };

int dc_hooks_run(const struct dc_hooks_run *r, struct err *e)
{
	for (int64_t i = 0; i < (int64_t)ARRAY_LEN(dc_hooks); i++) {
		bool once = i < DC_HOOKS_OF_CREATION;
		int rc;

		if (once ? i < *r->done : r->only_created)
			continue;
		rc = r->run(r->arg, dc_hooks[i], e);
		if (rc < 0 &&
		    (i < DC_HOOKS_OF_CONTENT || e->kind == ERR_CANCELED || e->kind == ERR_TIMEOUT))
			return -1;
		if (rc < 0) {
			provider_logf(r->env, "Warning: %s", e->msg);
			err_clear(e);
		}
		if (once) {
			*r->done = rc < 0 ? DC_HOOKS_OF_CREATION : i + 1;
			if (r->save(r->arg, e) < 0)
				return -1;
		}
		if (rc < 0)
			break;
	}
	return 0;
}
