/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native-provider: workspaces as directories and processes of this host, without a container
 * engine (design 5). A target is a directory; a workspace is a checkout and an agent beside it.
 */
#ifndef PROVIDERS_NATIVE_NATIVE_H
#define PROVIDERS_NATIVE_NATIVE_H

#include "providers/provider.h"

extern const struct provider native_provider;

/* Ends the processes of every workspace below state_dir, before its data is removed: SIGTERM, grace_ms,
 * SIGKILL. *n: how many there were. The first that cannot be ended fails it, the others are tried. */
int native_end_all(const char *state_dir, int64_t grace_ms, size_t *n, struct deadline d,
                   struct err *e);

#endif
