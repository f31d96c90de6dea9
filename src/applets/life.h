/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping this host's runner, as start, stop, restart and purge do it. */
#ifndef APPLETS_LIFE_H
#define APPLETS_LIFE_H

#include "base/deadline.h"
#include "base/err.h"
#include "runner/config.h"

#include <stdbool.h>

#define LIFE_START_MS 30000

/* Starts it (through the init system if that manages it) and waits until the Server calls it
 * responsive. flags: settings given, passed on to `serve`. Prints what happened. */
int life_start(const struct config *c, const struct kv *flags, struct deadline d, struct err *e);
/* Stops it and waits; drain_ms < 0: as configured. Prints what happened. */
int life_stop(const struct config *c, int64_t drain_ms, struct err *e);
/* Both, whatever state it is in: what cannot start afterwards is not stopped, and what a service manager
 * started is left to that. start_ms: how long the start may take. */
int life_restart(const struct config *c, const struct kv *flags, int64_t start_ms, struct err *e);
/* The path under which our own program can be run as daytona-runner. Borrowed; NULL with e when
 * it is only known as one of its links. */
const char *life_program(struct err *e);

#endif
