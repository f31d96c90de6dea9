/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A remote engine: the system's ssh forwards a private Unix socket of ours to the remote one for as long as
 * the job runs. Host keys are kept in the runner's own known_hosts: learned at first contact, then
 * verified. A password only goes through askpass (protocol 12.44, 12.47), and to a host whose key was known before.
 */
#ifndef PROVIDERS_DOCKER_ENGINE_REMOTE_H
#define PROVIDERS_DOCKER_ENGINE_REMOTE_H

#include "providers/docker/engine/options.h"
#include "providers/provider.h"

struct remote;

/* Checks the options (ERR_CONFIG); no I/O with the peer. Options are borrowed. */
struct remote *remote_new(const struct docker_options *o, const struct provider_env *env,
                          struct err *e);
/* Ends ssh and removes the socket; NULL is fine. */
void remote_free(struct remote *r);
const char *remote_socket(const struct remote *r); /* ours; exists after remote_connect */
const char *remote_name(const struct remote *r);   /* "ssh user@host:22, /var/run/docker.sock" */
int remote_connect(struct remote *r, struct deadline d, struct err *e);
/* Runs argv on the remote host, each word quoted; -1 with its output when it fails. */
int remote_run(struct remote *r, const char *const *argv, struct deadline d, struct err *e);

#endif
