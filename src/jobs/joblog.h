/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a resource within a job: local file first (state_dir/logs/<kind>/<id>/log), then best
 * effort to the Server's WebSocket with reconnect and a bounded queue; a socket that is away never
 * fails or delays the job beyond a short final flush (protocol 5.1, 12.12). The local file is bounded for each job and
 * for the resource's life (log, log.1), and ends where journal and state would find no room on the disk.
 */
#ifndef JOBS_JOBLOG_H
#define JOBS_JOBLOG_H

#include "api/client.h"
#include "api/logentry.h"

struct joblog;
/* kind: RES_WORKSPACE, RES_TARGET, RES_BUILD. label: the resource's name. api is borrowed (its settings, not its connection). */
struct joblog *joblog_open(const struct api *api, const char *state_dir, enum resource_type kind,
                           const char *id, const char *label);
/* A job-level message, source "server" (build: "builder"); a newline is added. */
void joblog_say(struct joblog *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Provider output, source "provider" (build: "builder"): any bytes. */
void joblog_output(void *joblog, struct str bytes);
/* Flushes for up to flush_ms, frees; NULL is fine. */
void joblog_close(struct joblog *l, int64_t flush_ms);
/* "workspaces": where state_dir and its logs have the resources of a kind. */
const char *joblog_kind_dir(enum resource_type kind);
/* Path of a local log; caller frees. kind RES_RUNNER: the runner's own. */
char *joblog_path(const char *state_dir, enum resource_type kind, const char *id);
void joblog_remove(const char *state_dir, enum resource_type kind, const char *id);

#endif
