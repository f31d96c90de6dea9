/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life cycle without an init system. "Is it running?" is answered by a lock on state_dir/lock, not
 * by a pid; the pid in it is only used together with start time and boot id (field cases 112, 113).
 */
#ifndef HOST_DAEMON_H
#define HOST_DAEMON_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/proc.h"
#include "host/snapshot.h"

#include <stdbool.h>

#define DAEMON_IDLE_MS 5000

struct daemon_lock {
	int fd; /* -1: not held */
};
/* ERR_BUSY names the holder's pid. */
int daemon_lock_take(struct daemon_lock *l, const char *state_dir, struct err *e);
void daemon_lock_drop(struct daemon_lock *l);
/* Holder of the lock, if any: 1 and *who (pid 0 if unreadable), 0 nobody, -1 error. */
int daemon_lock_probe(const char *state_dir, struct proc_id *who, struct err *e);

/* Whom the kernel names as holder of a flock on the file at path; pid 0: nobody, or it does not say. */
void daemon_lock_holder(const char *path, struct proc_id *who);

/* The same as daemon_lock_probe, and what the holder says of itself. Nothing that runs is no error; snapshot_free in every case. */
int daemon_look(struct snapshot *s, const char *state_dir, struct err *e);

/* Tells a person at a terminal what a start waits for, once for each thing; last: what that was, from then on why. */
void daemon_waits(struct buf *last, struct str why);
/* Starts `serve` detached (setsid, stdio to daemon.err, cwd /). Waits until it reports ready or fails: 0 running; -1 with the cause.
 * Already running is success (*already = true). argv: complete argv for the child, argv[0] as `ps` shall show it. */
int daemon_start(const char *state_dir, const char *self_exe, const char *const *argv,
                 struct deadline d, bool *already, struct err *e);
/* SIGTERM, waits for the lock to be free; after grace SIGKILL of the runner and its job processes; one that has
 * no jobs and does not even say that it ends, gets DAEMON_IDLE_MS. *was_running. */
int daemon_stop(const char *state_dir, int64_t grace_ms, bool *was_running, struct err *e);

#endif
