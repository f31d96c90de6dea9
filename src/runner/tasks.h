/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs from the poll that lists them to the report that the Server accepts. What a job is at, and what an answer
 * about it means for it, is known here alone; its ways are those of tasktable.h.
 */
#ifndef RUNNER_TASKS_H
#define RUNNER_TASKS_H

#include "net/pollset.h"
#include "runner/sup.h"

struct task;

void tasks_open(struct sup *s);
void tasks_free(struct sup *s);

/* ---- where jobs come from ---- */

/* A pending job from the poll, of which it takes what it needs: taken if it is new, ours, and there is room. False: it may
 * come back with the next poll. */
bool tasks_offer(struct sup *s, struct job *j);
/* Of an earlier process: takes over what is in j, the entry's job. */
void tasks_restore(struct sup *s, struct job *j, const struct journal_entry *en);
void tasks_lost(struct sup *s, struct job *j); /* running on the Server, but maybe not known here */
bool tasks_knows(struct sup *s, const char *job_id);
size_t tasks_room(const struct sup *s);    /* for more jobs; none while paused */
size_t tasks_unbegun(const struct sup *s); /* those that may become ours */
void tasks_replay(struct sup *s);          /* recover.c: all that the journal has */

/* ---- requests to the Server, for channel.c ---- */

/* The journal's one sync for all that came up since the last, before a request of it goes out. */
void tasks_sync(struct sup *s);

enum task_request { TASK_FIRST_CLAIM, TASK_REPEATED_CLAIM, TASK_RESULT };

struct task *tasks_next(struct sup *s, enum task_request what); /* NULL: none is due */
struct deadline tasks_next_due(const struct sup *s);            /* of repeated claims and results */
/* Its request goes out: the job's id, borrowed, and the body. */
const char *tasks_send(struct sup *s, struct task *t, struct buf *body);

/* One that is being claimed will look at the Server's configuration. */
bool tasks_ask_config(const struct sup *s);

struct task_answer {
	const struct err *e; /* as api_check left it */
	bool answered;       /* by whomever; else the connection failed */
	bool sent;           /* the request was written whole */
	bool repeated;       /* … and then once more */
	int64_t retry_after_ms;
};

enum task_outcome {
	TASK_SETTLED, /* that request is over, and the connection good */
	TASK_REPEATS, /* it is sent again; the connection is good for others */
	TASK_WAITS,   /* it is sent again, and so would others be */
};

/* t may be gone after it. */
enum task_outcome tasks_answered(struct sup *s, struct task *t, const struct task_answer *a);
void tasks_hurry(struct sup *s); /* the last reports: no more waiting after failures */

/* ---- the operator ---- */

enum tasks_cancel { CANCEL_UNKNOWN, CANCEL_OVER, CANCEL_DONE };

/* Ends a job as an error "canceled by …": at once where nothing of it works, else its process is told to end, and
 * killed 10 s later. What it has done by then may still be a success. A crash before it has ended forgets it. */
enum tasks_cancel tasks_cancel(struct sup *s, const char *job_id, const char *by);
/* Its stage and, when it is over, what came of it, as a JSON object; false: it is not known. */
bool tasks_job(struct sup *s, const char *job_id, struct buf *json);
void tasks_drop_unclaimed(
	struct sup *s); /* what the Server was not asked for yet stays pending there */

/* ---- the loop ---- */

void tasks_poll(struct sup *s, struct pollset *ps);
void tasks_step(struct sup *s);
bool tasks_reaped(struct sup *s, pid_t pid, int status); /* true if it was one of ours */
/* What the job of process pid is about; NULL if it has none. Caller frees. */
char *tasks_resource(const struct sup *s, pid_t pid);
void tasks_stop_all(struct sup *s, int64_t grace_ms); /* SIGTERM to every job's process */
void tasks_settle_claims(struct sup *s); /* when no more are made: what was not claimed for sure */
bool tasks_any_running(const struct sup *s);
bool tasks_work_on(const struct sup *s, const char *resource_id); /* a job of it is under way */
bool tasks_claiming(const struct sup *s);
bool tasks_reporting(const struct sup *s);

/* ---- pictures ---- */

struct tasks_counts {
	size_t known, running;
	uint64_t succeeded, failed; /* since the start */
	uint64_t begun; /* … that became ours, and were begun if nothing spoke against it */
};
struct tasks_counts tasks_counts(const struct sup *s);
void tasks_status(const struct sup *s, struct buf *json); /* an array */

#endif
