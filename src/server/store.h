/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's store: all resources in memory, each also in a file of its own below one directory
 * (mode 0700, files 0600): keys/ runners/ jobs/ target-configs/ targets/ workspaces/ builds/
 * templates/ git/ env/. A change is written as temporary, fsync, rename before it is answered.
 * Files that cannot be read are set aside as *.bad; what an interrupted change left half done is
 * removed.
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
	K_N,
};

struct store {
	char *dir;
	int lock_fd;
	struct rec *first[K_N];
	int64_t next_seq;
};

/* Takes the directory's lock (ERR_BUSY when another server has it) and loads everything. A
 * directory that is not empty and no server's is refused. */
int store_open(struct store *s, const char *dir, struct err *e);
void store_close(struct store *s); /* writes what was kept for later; idempotent */
/* A new resource, in memory, at the end of its kind. */
struct rec *store_add(struct store *s, enum kind kind);
/* Durable when it returns 0. On failure r is what its file says again; a new one is freed. */
int store_save(struct store *s, struct rec *r, struct err *e);
int store_remove(struct store *s, struct rec *r, struct err *e); /* frees r */
/* First of that kind whose text field has the value; NULL if none. */
struct rec *store_find(const struct store *s, enum kind kind, const char *field, const char *value);
/* By id, else by name. */
struct rec *store_find_any(const struct store *s, enum kind kind, const char *id_or_name);
/* Leaves a text for others in the lock file: it is of use only while we hold the lock. */
int store_note(struct store *s, struct str text, struct err *e);
/* Path of a file in the store's directory; the caller frees. */
char *store_path(const struct store *s, const char *name);

#endif
