/* SPDX-License-Identifier: Apache-2.0 */
/* What carries this runner's label on its engines, and whether the Server knows what it is for (field case 41). */
#ifndef JOBS_THINGS_H
#define JOBS_THINGS_H

#include "api/server.h"
#include "providers/provider.h"

enum thing_use {
	THING_UNKNOWN, /* the Server could not be asked */
	THING_ORPHAN,  /* the Server has no such resource */
	THING_UNBORN,  /* its workspace was never made to the end: nobody has worked in it */
	THING_USED,
};

/* Each of them once: of the engine that the configuration leads to, and of those of the runner's target configs on the
 * Server (api NULL: not asked). */
int things_each(struct provider_handle *h, struct api *api, const char *runner_id,
                provider_thing_fn *each, void *arg, struct deadline d, struct err *e);
/* *job: id of the job that the Server shows as under way for it, or NULL. Caller frees. */
enum thing_use thing_use(struct api *api, const struct provider_thing *t, char **job,
                         struct deadline d);

#endif
