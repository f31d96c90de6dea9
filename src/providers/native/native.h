/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native-provider: workspaces as directories and processes of this host, without a container
 * engine (design 5). A target is a directory; a workspace is a checkout and an agent beside it.
 */
#ifndef PROVIDERS_NATIVE_NATIVE_H
#define PROVIDERS_NATIVE_NATIVE_H

#include "providers/provider.h"

extern const struct provider native_provider;

#endif
