/* SPDX-License-Identifier: Apache-2.0 */
/* exec-provider: a program of the operator's realises targets and workspaces. docs/exec-provider.md is its contract. */
#ifndef PROVIDERS_EXEC_EXEC_H
#define PROVIDERS_EXEC_EXEC_H

#include "providers/provider.h"

extern const struct provider exec_provider;

#endif
