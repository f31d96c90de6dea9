/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's store: all resources in memory, found by index, and in a log below one directory (mode
 * 0700, files 0600). A change (change.h) is one line of the log, synced before it is answered
 * (disk.h). What cannot be read is set aside as *.bad-N and said; nothing is ever removed because
 * something else is missing.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "base/err.h"
#include "server/rec.h"

#define STORE_LOCK_FILE "lock"

/* The fields of each kind are those of its JSON (protocol 11), besides: md…, a heartbeat's; linked,
 * a number that grows with each update of a job's state; hash, SHA-256 of a key in hex; runnerId
 * and agentless, taken out of a target config's providerInfo. */
enum kind {
	K_KEY,
	K_RUNNER,
	K_JOB,
	K_CONFIG,
	K_TARGET,
	K_WORKSPACE,
	K_BUILD,
	K_TEMPLATE,
	K_GIT,
	K_ENV,
	K_PREBUILD,
	K_HOOK, /* one that is to be removed at its git host (hooks.c) */
	K_N,
};

struct index;
struct disk;

struct store {
	char *dir;
	/* Set before store_open by a process that another one hands the directory on to: the lock's descriptor. By one that
	 * tries whether it could: -1, nobody else uses it meanwhile. */
	int lock_fd;
	struct index *index;
	struct disk *disk;
	/* Called after a change for each record that is new or other than before. It changes
	 * nothing in the store. May be NULL. */
	void (*published)(void *arg, const struct rec *r);
	/* Called after a change is durable and before it is visible, with a JSON array of what
	 * it does, in words. May be NULL. */
	void (*committed)(void *arg, struct str did);
	void *arg;
};

/* Takes the directory's lock (ERR_BUSY when another server has it) and loads everything. A
 * directory that is not empty and no server's is refused. */
int store_open(struct store *s, const char *dir, struct err *e);
void store_close(struct store *s); /* writes what was kept for later; idempotent */

/* All of a kind, in order of creation: a change ends the walk. NULL at the end. */
const struct rec *store_first(const struct store *s, enum kind kind);
const struct rec *store_next(const struct rec *r);
/* Those of that kind whose field has the value, in order of creation. Only indexed fields
 * (index.c) can be asked for, so the cost does not depend on what else is stored. */
const struct rec *store_find(const struct store *s, enum kind kind, const char *field,
                             const char *value);
const struct rec *store_find_next(const struct store *s, const struct rec *r, const char *field);
/* By id, else by name. */
const struct rec *store_find_any(const struct store *s, enum kind kind, const char *id_or_name);

/* Jobs by what is to become of them: pending and running ones of a runner ("": of none), and
 * those that tell nothing any more. */
enum queue {
	Q_PENDING,
	Q_RUNNING,
	Q_PAST,
};
const struct rec *store_queue(const struct store *s, enum queue q, const char *runner_id);
const struct rec *store_queue_next(const struct rec *job);
size_t store_count_past(const struct store *s);
bool store_is_past(const struct rec *job);
/* Puts a finished job among the past ones, or takes it away from them. In memory only. */
void store_set_past(struct store *s, const struct rec *job, bool past);

/* Folder of a kind: "workspaces". */
const char *kind_dir(enum kind kind);
/* Can a change be kept? Else why, without a path. */
int store_probe(const struct store *s, struct err *e);
uint64_t store_bytes(const struct store *s); /* of the log on the disk */

/* Records and comparisons that look-ups have cost so far: for tests of growth. */
uint64_t store_work(const struct store *s);
/* Lines and files that were set aside when the store was opened. */
size_t store_damaged(const struct store *s);
/* Greater than any that was given before, restarts included. */
int64_t store_next_number(struct store *s);
int store_keep_lock(const struct store *s, struct err *e); /* beyond store_close: a descriptor */
/* Leaves a text for others in the lock file: it is of use only while we hold the lock. */
int store_note(struct store *s, struct str text, struct err *e);
/* Path of a file in the store's directory; the caller frees. */
char *store_path(const struct store *s, const char *name);

#endif
