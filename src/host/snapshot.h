/* SPDX-License-Identifier: Apache-2.0 */
/* What a running runner last said of itself: state_dir/status.json, judged by who holds the lock. */
#ifndef HOST_SNAPSHOT_H
#define HOST_SNAPSHOT_H

#include "base/json.h"
#include "base/proc.h"

struct snapshot {
	struct proc_id who;   /* the process; pid 0 if unknown */
	bool running;         /* somebody holds the lock */
	bool fresh;           /* doc is that process's */
	int64_t beat_wall_ms; /* last accepted heartbeat */
	struct json_doc *doc; /* or NULL */
};

/* Reads the file; who and running were found out before (daemon_look does both). */
void snapshot_load(struct snapshot *s, const char *state_dir);
void snapshot_free(struct snapshot *s);
/* A member; absent where the process has said nothing. */
struct json snapshot_get(const struct snapshot *s, const char *key);
bool snapshot_is(const struct snapshot *s, const char *key);
/* The Server accepts its heartbeats; a process that hangs leaves its last words, but not their time. */
bool snapshot_server_ok(const struct snapshot *s, int64_t heartbeat_ms);
/* It has no job and has not heard that it is to end. */
bool snapshot_idle(const struct snapshot *s);
/* An enabled provider can be used, or it is not known yet. */
bool snapshot_has_provider(const struct snapshot *s);

#endif
