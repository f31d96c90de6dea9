/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory under the name that the engine knows it by: another one where the runner is in a container itself and
 * the engine outside. Everything here goes by our own names; they are exchanged where a container is described to the engine
 * and where the engine describes one.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_HOSTPATH_H
#define PROVIDERS_DOCKER_ENGINE_HOSTPATH_H

#include "base/str.h"

#include <stdbool.h>

#define CONTAINER_ID_LEN 64

struct host_path { /* zero: the engine has our names */
	char *ours, *engines;
};
void host_path_set(struct host_path *h, const char *ours, const char *engines); /* copies */
void host_path_free(struct host_path *h);
/* The engine's name for path, or path; h may be NULL. Caller frees. */
char *host_path_out(const struct host_path *h, const char *path);
char *host_path_in(const struct host_path *h, const char *path);
/* The container that this process is in, by /proc/self/mountinfo: who put it there mounted its host name from a directory
 * named after it. */
bool host_path_container(struct str mountinfo, char id[CONTAINER_ID_LEN + 1]);

#endif
