/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping this host's runner, as start, stop, restart and purge do it. */
#ifndef APPLETS_LIFE_H
#define APPLETS_LIFE_H

#include "base/err.h"
#include "host/config.h"

#include <stdint.h>

#define LIFE_START_MS 30000

/* flags: settings given on the command line, passed on to `serve`; may be NULL. start_ms: how long it may take
 * until the Server calls the runner responsive. Prints what happened. */
typedef int life_fn(const struct config *c, const struct kv *flags, int64_t start_ms,
                    struct err *e);

/* Both of the next two without a word of how it went, for who says more than that. */
int life_begin(const struct config *c, const struct kv *flags, int64_t start_ms, bool *already,
               struct err *e);
int life_end(const struct config *c, int64_t drain_ms, bool *was_running, struct err *e);
/* Starts it (through the init system if that manages it) and waits until the Server calls it responsive. */
life_fn life_start;
/* Stops it and waits; drain_ms < 0: as configured. Prints what happened. */
int life_stop(const struct config *c, int64_t drain_ms, struct err *e);
/* Both, whatever state it is in: what cannot start afterwards is not stopped, and what a service manager
 * started is left to that. */
life_fn life_restart;
/* The path under which our own program can be run as daytona-runner. Borrowed; NULL with e when
 * it is only known as one of its links. */
const char *life_program(struct err *e);

#endif
