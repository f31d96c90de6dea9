/* SPDX-License-Identifier: Apache-2.0 */
/* See provider.h: workspace_exec and workspace_usage of native-provider. */
#ifndef PROVIDERS_NATIVE_INSIDE_H
#define PROVIDERS_NATIVE_INSIDE_H

#include "base/spawn.h"
#include "providers/native/state.h"
#include "providers/provider.h"

int native_exec(void *self, const struct workspace_exec *exec, int *status, struct deadline d,
                struct err *e);
int native_usage(void *self, const struct workspace *ws, struct provider_usage *u,
                 struct deadline d, struct err *e);

/* Starts the program with these standard streams, as in struct spawn; terminal: the first is one, to be its own. */
typedef int native_start_fn(void *arg, const struct workspace_exec *exec, const int std[3],
                            bool terminal, struct deadline d, struct spawned *p, struct err *e);
/* Joins exec's streams with the program's, with a terminal between them if one is wanted, until it ends. box: process 1 of the
 * sandbox whose terminal that is; none: one of the host's. */
int native_join(native_start_fn *start, void *arg, struct proc_id box,
                const struct workspace_exec *exec, int *status, struct deadline d, struct err *e);

/* Runs argv to its end with run: what it says goes to the job's log. An exit status other than 0 is an error that says so of
 * name. */
int native_logged(const struct provider_env *env, const char *const *argv,
                  struct workspace_exec *exec,
                  int (*run)(void *arg, const struct workspace_exec *exec, int *status,
                             struct deadline d, struct err *e),
                  void *arg, const char *name, struct deadline d, struct err *e);

#endif
