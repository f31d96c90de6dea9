/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What provider jobs have set (protocol 8.6, design 5): state_dir/providers.json,
 * {"docker-provider":{"enabled":true,"version":"v0.13.0"}}. It overrides the configuration's
 * "enabled" until `provider enable|disable` on the host forgets it.
 */
#ifndef JOBS_PROVSTATE_H
#define JOBS_PROVSTATE_H

#include "base/err.h"

#include <stdbool.h>

struct provstate_entry {
	char *name;
	bool enabled;
	char *version; /* the one that a job asked for; NULL: our own */
};
struct provstate {
	struct provstate_entry *list;
	size_t n;
};

/* A missing file is empty. A damaged one is ERR_PARSE: the caller tells and goes on with none. */
int provstate_load(struct provstate *s, const char *state_dir, struct err *e);
void provstate_free(struct provstate *s);
const struct provstate_entry *provstate_find(const struct provstate *s, const char *name);
/* version NULL keeps what is there. Atomic. */
int provstate_set(const char *state_dir, const char *name, bool enabled, const char *version,
                  struct err *e);
/* Removes the entry; a missing one is fine. */
int provstate_forget(const char *state_dir, const char *name, struct err *e);

#endif
