/* SPDX-License-Identifier: Apache-2.0 */
/* Lifecycle commands of dev containers: string, array and object form (containers.dev). */
#ifndef PROVIDERS_DEVCONTAINER_DCLIFE_H
#define PROVIDERS_DEVCONTAINER_DCLIFE_H

#include "providers/devcontainer/devcontainer.h"
#include "providers/provider.h"

/* Runs initializeCommand on this host, in the checkout, with a bare environment: only where the runner's owner allows it
 * (protocol 12.46). Members of an object run one after the other. */
int dc_run_initialize(const struct devcontainer *dc, const char *checkout,
                      const struct provider_env *env, struct deadline d, struct err *e);

/* Pure: the variables that a shell wrote between two marks, each with its NUL; PATH gets what else is in container_path (may
 * be NULL). False: no marks. */
#define PROBE_MARK "-- daytona: environment --"
#define PROBE_VARIABLES_MAX 1000
bool dc_probe_parse(struct str output, const char *container_path, struct kv *out);
/* argv of a command in string or array form; false if it is neither, or empty. Free with strlist_free. */
bool dc_command(const struct devcontainer *dc, struct json v, struct strlist *argv);

#endif
