/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of native_provider for targets (provider.h): <state_dir>/targets/<id>. self is the
 * provider_env. */
#ifndef PROVIDERS_NATIVE_TARGET_H
#define PROVIDERS_NATIVE_TARGET_H

#include "providers/provider.h"

int native_target_create(void *self, const struct target *t, struct deadline d, struct err *e);
/* Start and stop. */
int native_target_rest(void *self, const struct target *t, struct deadline d, struct err *e);
int native_target_delete(void *self, const struct target *t, bool force, struct deadline d,
                         struct err *e);

#endif
