/* SPDX-License-Identifier: Apache-2.0 */
/* What carries this runner's label on its engines, and whether the Server knows what it is for (field case 41). */
#ifndef JOBS_OWNED_H
#define JOBS_OWNED_H

#include "api/client.h"
#include "providers/provider.h"

enum owned_use {
	OWNED_UNKNOWN, /* the Server could not be asked */
	OWNED_ORPHAN,  /* the Server has no such resource */
	OWNED_UNBORN,  /* its workspace was never made to the end: nobody has worked in it */
	OWNED_USED,
};

/* Each of them once: of the engine that the configuration leads to, and of those of the runner's target configs on the
 * Server (api NULL: not asked). */
int owned_each(struct provider_handle *h, struct api *api, const char *runner_id,
               provider_owned_fn *each, void *arg, struct deadline d, struct err *e);
/* *job: id of the job that the Server shows as under way for it, or NULL. Caller frees. */
enum owned_use owned_use(struct api *api, const struct provider_owned *t, char **job,
                         struct deadline d);

#endif
