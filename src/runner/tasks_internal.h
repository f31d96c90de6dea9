/* SPDX-License-Identifier: Apache-2.0 */
/* Between the halves of tasks.h: what the Server answers (taskanswer.c), where jobs come from and go (tasks.c). */
#ifndef RUNNER_TASKS_INTERNAL_H
#define RUNNER_TASKS_INTERNAL_H

#include "runner/child.h"
#include "runner/tasks.h"
#include "runner/tasktable.h"

#define PASSED_MAX 2048
#define CLAIM_TRIES_HELD 3 /* a claim that failed so often holds no place of other jobs any more */

struct task {
	struct job job;
	enum task_stage stage; /* moved by task_move alone */
	bool journaled;
	bool lost;      /* it was found on the Server alone */
	bool fresh;     /* of an earlier process, which had not begun it: it can still be run */
	bool ambiguous; /* a claim was sent and its answer lost */
	bool doubtful;  /* a lost claim may still reach the Server: the result is sent twice */
	bool recheck;   /* it waits for, or is in, its second sending */
	unsigned tries; /* of the request of this stage */
	struct deadline next_try;
	struct deadline give_up; /* on what it needs here and is away */
	int64_t refused_ms,
		refused_at; /* how long the Server refuses the result; since when that is counted */
	struct child child;
	enum job_state result;
	char *text; /* of an error; of one that waits to be claimed: the provider it waits for */
	char *canceled; /* by whom; NULL: it is not */
	struct task *next;
};

struct passed { /* a job whose claim was refused */
	char *id;
	unsigned times;
	struct deadline until;
};

struct tasks {
	struct task *first;
	struct tasks_counts counts;
	struct passed *passed; /* a ring once it has PASSED_MAX */
	size_t n_passed, passed_next;
	struct deadline take_builds, builds_gone; /* builds beyond us are left to others at first */
};

/* Takes over what is in j. It is in no stage yet: the caller moves it. */
struct task *task_add(struct sup *s, struct job *j);
struct task *tasks_find(struct sup *s, const char *id); /* or NULL */
/* By tasktable.h; frees t when that leads to TASK_NONE. */
void task_move(struct sup *s, struct task *t, enum task_event event);
void task_log(const struct task *t, const char *phrase, const char *text);
void task_begin(struct sup *s, struct task *t); /* the Server says that it is ours */
void task_fail(struct sup *s, struct task *t, const char *text);
/* Not to be reported: somebody else's, or settled. synced: a power cut must not bring it back. */
void task_forget(struct sup *s, struct task *t, bool synced);

void task_claim(struct sup *s,
                struct task *t); /* taskoffer.c: it is to be claimed; in the journal first */
size_t tasks_places(const struct sup *s); /* as tasks_room, but of jobs that may be ours already */

/* ---- taskcancel.c ---- */

void task_fail_canceled(struct sup *s, struct task *t);
void task_canceled_text(const struct task *t, struct buf *text);

void task_asked(struct sup *s, struct task *t,
                struct str out); /* taskoffer.c: its process has ended */

/* ---- taskanswer.c ---- */

/* It is not asked for again for a growing while. True: the first time. */
bool tasks_pass_over(struct sup *s, const char *job_id);
bool tasks_passed_over(const struct sup *s, const char *job_id);
void task_claim_again(struct sup *s, struct task *t, bool ambiguous, int64_t after_ms);

/* ---- taskwork.c: what a job's processes do; 0, or -1 when there is none ---- */

/* Result: "W<provider>" if the job is to wait for it. */
int taskwork_ask(struct sup *s, struct child *c, const struct job *j, struct err *e);
/* Result: "S", "E<error>"; "N<why>": nothing was begun, since what it needs here is away. */
int taskwork_run(struct sup *s, struct child *c, const struct job *j, struct err *e);
/* Result: "S", "E<error>", "P" never claimed, "C" claimed and not begun, "U" nothing to report, "R<why>" try again.
 * last: what is away is not waited for any longer. */
int taskwork_find(struct sup *s, struct child *c, const struct job *j, bool begun, bool last,
                  struct err *e);

#endif
