/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must survive a crash (design 4, protocol 12.1, 12.3): the jobs that we claimed and the
 * results that the Server does not have yet. One append-only file of checksummed lines inside
 * zero-filled space that was allocated beforehand, so that a result can be written when the disk
 * is full and a sync does not wait for file size changes.
 *
 *   claim  before the claim is sent (synced)     result  before the result is sent (synced)
 *   run    before and after the process is made  done    the Server has the result
 *   refused  the Server will not have the result, so far for how long
 *   past   in a rewritten file: what was done
 */
#ifndef RUNNER_JOURNAL_H
#define RUNNER_JOURNAL_H

#include "api/model.h"
#include "base/proc.h"

struct journal_entry { /* one unfinished job */
	struct job job;
	bool has_result;
	enum job_state result;
	char *text;         /* of an error; or NULL */
	int64_t refused_ms; /* for how long the Server has refused the result, while runners lived */
	bool begun; /* its process may have been started: it is run again only if that is harmless */
	struct proc_id process; /* pid 0: none recorded, or of an earlier boot */
};

struct journal_past { /* a job that is over: delivered again it is answered from here, not run again */
	char *id;
	enum job_state result;
	char *text; /* of an error, shortened; or NULL */
};

struct journal;

/* Opens or creates path and replays it. A torn tail is cut; damage before valid records is kept aside as
 * path.bad-N; both are told through note(arg, text). Never fails because of content. NULL with e only when the file cannot be
 * created or written; journal_memory then stands in. */
struct journal *journal_open(const char *path, void (*note)(void *arg, const char *text), void *arg,
                             struct err *e);
struct journal *journal_memory(void); /* keeps nothing; every append succeeds */
void journal_close(struct journal *j);
bool journal_is_durable(const struct journal *j); /* false as long as a sync has failed, too */

/* What is unfinished. Borrowed until the next append. */
const struct journal_entry *journal_entries(const struct journal *j, size_t *n);

/* The end of a job that was reported, if it is among the last JOURNAL_PAST ones; else NULL. Borrowed until the next append. */
#define JOURNAL_PAST 128
const struct journal_past *journal_past(const struct journal *j, const char *job_id);

/* What was appended and is named synced is on the disk: once for all of it, before any of it is acted on. -1: it may not be,
 * and further calls write it again, some seconds apart or with whatever else is to be synced. */
int journal_sync(struct journal *j, struct err *e);
/* Appends. -1 with ERR_SYS (ENOSPC …): nothing was recorded, and the file is as before. */
/* Of a job that is there already: its work was not begun after all. */
int journal_claim(struct journal *j, const struct job *job, struct err *e);
/* process zero: it is about to be started. */
int journal_run(struct journal *j, const char *job_id, struct proc_id process, struct err *e);
int journal_result(struct journal *j, const char *job_id, enum job_state state, const char *text,
                   struct err *e);
int journal_refused(struct journal *j, const char *job_id, int64_t for_ms, struct err *e);
int journal_done(struct journal *j, const char *job_id, struct err *e);
/* As journal_done, for a job that is not ours or is settled without a report: synced, since a power cut
 * would bring it back as an unfinished job. */
int journal_drop(struct journal *j, const char *job_id, struct err *e);

/* refused.c: keeps a result that the Server refuses (why, in its words) in state_dir/journal.refused. */
int refused_keep(const char *state_dir, const struct job *j, enum job_state result,
                 const char *text, const char *why, struct err *e);

/* Rewrites the file without what is done, when that is worth it. */
void journal_tidy(struct journal *j);

uint32_t journal_crc(struct str s); /* CRC-32 of IEEE 802.3 */

#endif
