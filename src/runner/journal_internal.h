/* SPDX-License-Identifier: Apache-2.0 */
/* Between the two halves of the journal: records and what they mean (journal_replay.c), the file (journal.c). */
#ifndef RUNNER_JOURNAL_INTERNAL_H
#define RUNNER_JOURNAL_INTERNAL_H

#include "base/deadline.h"
#include "runner/journal.h"

#define JOURNAL_RECORD_MAX (1 << 20)

struct journal {
	char *path;
	int fd;        /* -1: memory only */
	off_t end;     /* where the next record goes */
	off_t size;    /* allocated with zeros */
	char boot[64]; /* of this boot */
	struct journal_entry *entries;
	size_t n;
	struct journal_past past[JOURNAL_PAST]; /* a ring */
	size_t past_next;
	bool unsynced; /* something that journal_sync is for */
	bool in_doubt; /* a sync has failed: the disk may have nothing of what the file shows */
	struct deadline again; /* when it is written again, sooner if there is more to sync */
	off_t rewritten;       /* where the records ended after the last rewrite */
};

struct journal_replay {
	off_t good;       /* end of the last valid record that follows others without a gap */
	unsigned skipped; /* damaged places with valid records behind them */
	bool torn;        /* something behind the last valid record */
};

void journal_entry_free(struct journal_entry *en);
/* What one record means for the entries. False: it is no record at all. */
bool journal_apply(struct journal *j, struct str json);
/* All records that can be read in the content of a file. */
void journal_replay(struct journal *j, struct str all, struct journal_replay *r);

#endif
