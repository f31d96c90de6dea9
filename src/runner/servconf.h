/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's configuration as jobs' processes are handed it (jobs_env): asked along with the claim of a job that will
 * look at it, kept for SERVCONF_AGE_MS, and asked again after a job failed, which may be for what it says.
 */
#ifndef RUNNER_SERVCONF_H
#define RUNNER_SERVCONF_H

#include "api/model.h"
#include "base/deadline.h"

#define SERVCONF_AGE_MS 60000

struct servconf {
	struct server_config config;
	struct deadline stale_at;  /* counted from the question */
	struct deadline not_again; /* one is under way, or has failed: jobs ask themselves */
};

const struct server_config *servconf_get(const struct servconf *k); /* NULL: none that is fresh */
bool servconf_is_due(const struct servconf *k);
void servconf_asked(struct servconf *k);
void servconf_take(struct servconf *k, struct str body); /* the answer, a 200's */
void servconf_doubt(struct servconf *k);
void servconf_free(struct servconf *k); /* what is known of another Server, or before a sleep */

#endif
