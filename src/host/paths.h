/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things are below state_dir (mode 0700, marker file ".daytona-runner" in it):
 *   lock                      flock; text: pid, start time, boot id of the holder
 *   status.json               snapshot that `status` reads, rewritten on change
 *   control                   Unix socket for the operator's commands (control.h)
 *   paused.json               there while the runner is paused (runner/pause.h)
 *   journal, journal.bad-N    claims and results
 *   providers.json            enabled/disabled and version, set by provider jobs
 *   logs/{runners,workspaces,targets,builds}/<id>/log
 *   workspaces/<id>/ targets/<id>/ builds/<id>/ agents/<version>/
 *   ssh/{known_hosts,ssh-PID-X/}  docker-provider's remote engines
 *   daemon.err                stderr of a runner started by `start`
 */
#ifndef HOST_PATHS_H
#define HOST_PATHS_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

#define STATE_MARKER ".daytona-runner"

/* Creates state_dir with marker and sub-directories; refuses one that belongs to another user, or that exists, is not
 * empty and has no marker. ERR_SYS with EROFS when it cannot be written. */
int paths_prepare(const char *state_dir, struct err *e);
/* Removes temporary files that a killed process left: of that one, whose job was about id (or NULL), which costs what
 * belongs to that; or (0) of all, under the lock, before anything is written. */
void paths_sweep(const char *state_dir, pid_t of, const char *id);
/* The same of the configuration, which has the key in it, beside file: of all, or (living) of those that are no more. */
void paths_sweep_config(const char *file, bool living);
char *paths_lock(const char *state_dir);
char *paths_journal(const char *state_dir);
char *paths_refused(const char *state_dir); /* results that the Server would not have */
char *paths_status(const char *state_dir);
char *paths_providers(const char *state_dir);
#define PATHS_CONTROL "control"
char *paths_control(const char *state_dir);
char *paths_paused(const char *state_dir);

#endif
