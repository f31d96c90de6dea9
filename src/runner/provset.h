/* SPDX-License-Identifier: Apache-2.0 */
/* Which providers this runner offers, whether their requirements are met here, what they need on the Server. */
#ifndef RUNNER_PROVSET_H
#define RUNNER_PROVSET_H

#include "net/pollset.h"
#include "runner/sup.h"

/* From the configuration and providers.json; again after either changed: what checks found is kept. */
void provset_load(struct sup *s);
void provset_free(struct sup *s);
void provset_poll(struct sup *s, struct pollset *ps);
void provset_step(struct sup *s);
bool provset_reaped(struct sup *s, pid_t pid, int status); /* true if it was one of ours */

bool provset_any_checked(const struct sup *s);
bool provset_all_checked(const struct sup *s);
bool provset_any_usable(const struct sup *s);
/* Enabled here, with requirements that are not met. name NULL: any. */
bool provset_unmet(const struct sup *s, const char *name);
bool provset_can_build(const struct sup *s);
void provset_recheck(struct sup *s); /* soon: after a job failed, or while one waits */
/* Until a provider is looked at again whose requirements were not met so many times in a row. wanted: there are jobs. */
int64_t provset_recheck_ms(unsigned unmet, bool wanted);
void provset_server_back(struct sup *s); /* what waits for the Server is tried */

/* For jobs_env, with sup as their argument. */
const struct kv *provset_options(void *sup, const char *name);
bool provset_usable(void *sup, const char *name, struct buf *why);
bool provset_enabled(void *sup, const char *name);

struct str provset_manifests(const struct sup *s); /* JSON array for heartbeats, borrowed */
/* An enabled one can be used, or that is not known yet. */
bool provset_any(const struct sup *s);
void provset_status(const struct sup *s, struct buf *json); /* an array, for status */

#endif
