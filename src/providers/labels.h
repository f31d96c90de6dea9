/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of containers that say whose they are: the reference's, by which either program finds the other's, and ours. */
#ifndef PROVIDERS_LABELS_H
#define PROVIDERS_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#define LABEL_TARGET "daytona.target.id"
#define LABEL_WORKSPACE "daytona.workspace.id"
#define LABEL_REPOSITORY "daytona.workspace.repository.url"
#define LABEL_RUNNER "daytona.runner.id"
#define LABEL_BUILD "daytona.build.id"
#define LABEL_HELPER "daytona.runner.helper" /* on what we make for a moment: id of its resource */
#define LABEL_NONCE "daytona.runner.nonce"   /* random, made with the record of the workspace */
#define LABEL_COMPOSE_PROJECT "com.docker.compose.project"
#define LABEL_COMPOSE_DIR "com.docker.compose.project.working_dir"
/* For people and their tools, of the configuration. */
#define LABEL_PORTS "daytona.devcontainer.forwardPorts"

/*
 * Those of daytona.*: every container that we create has each of them, with an empty value where it does not apply, and
 * every image that we commit as well, so that an image never labels a container.
 */
extern const char *const identity_labels[];
extern const size_t identity_labels_n;
/* Whether only we may set it: programs tell by it what belongs to whom. */
bool label_is_reserved(const char *key);

#endif
