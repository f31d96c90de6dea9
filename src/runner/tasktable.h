/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages of a job here, and every way from one to another. tasks.c moves jobs by this table alone, and
 * tests/model/jobmodel.py reads it: what the model does must be in it, and what is in it the model must do.
 */
#ifndef RUNNER_TASKTABLE_H
#define RUNNER_TASKTABLE_H

#include <stdbool.h>

enum task_stage {
	TASK_NONE,     /* not known yet, or over */
	TASK_ASK,      /* not to be claimed before it is known that its provider can be used */
	TASK_CLAIM,    /* to be claimed */
	TASK_CLAIMING, /* the claim is under way */
	TASK_RUNNING,  /* its process works */
	TASK_HELD,     /* claimed and not begun: what it needs on this host is away */
	TASK_UNKNOWN,  /* claimed by an earlier process: its fate is to be found out */
	TASK_FINDING,  /* … by a process that works on it */
	TASK_REPORT,   /* the result waits for the Server */
	TASK_REPORTING,
	TASK_STAGES,
};

enum task_event {
	TASK_EV_ASK,     /* its provider may be unusable: to be asked for */
	TASK_EV_CLAIM,   /* it is to be claimed */
	TASK_EV_SEND,    /* its request goes out */
	TASK_EV_AGAIN,   /* the request is to be sent again */
	TASK_EV_BEGIN,   /* it is ours: its process begins */
	TASK_EV_UNBEGUN, /* its process could not begin the work */
	TASK_EV_LEFT,    /* an earlier process has left it */
	TASK_EV_FIND,    /* what became of it is looked for */
	TASK_EV_LATER,   /* that could not be found out yet */
	TASK_EV_RESULT,  /* it has a result */
	TASK_EV_DROP,    /* it is settled, or not ours */
	TASK_EVENTS,
};

/* STEP(stage, event, next stage) */
#define TASK_STEPS(STEP) \
	STEP(NONE, ASK, ASK) \
	STEP(NONE, CLAIM, CLAIM) \
	STEP(NONE, LEFT, UNKNOWN) \
	STEP(NONE, RESULT, REPORT) \
	STEP(ASK, CLAIM, CLAIM) \
	STEP(ASK, DROP, NONE) \
	STEP(CLAIM, SEND, CLAIMING) \
	STEP(CLAIM, RESULT, REPORT) \
	STEP(CLAIM, DROP, NONE) \
	STEP(CLAIMING, AGAIN, CLAIM) \
	STEP(CLAIMING, BEGIN, RUNNING) \
	STEP(CLAIMING, RESULT, REPORT) \
	STEP(CLAIMING, DROP, NONE) \
	STEP(RUNNING, UNBEGUN, HELD) \
	STEP(RUNNING, RESULT, REPORT) \
	STEP(HELD, BEGIN, RUNNING) \
	STEP(HELD, RESULT, REPORT) \
	STEP(UNKNOWN, FIND, FINDING) \
	STEP(FINDING, LATER, UNKNOWN) \
	STEP(FINDING, CLAIM, CLAIM) \
	STEP(FINDING, BEGIN, RUNNING) \
	STEP(FINDING, RESULT, REPORT) \
	STEP(FINDING, DROP, NONE) \
	STEP(REPORT, SEND, REPORTING) \
	STEP(REPORTING, AGAIN, REPORT) \
	STEP(REPORTING, DROP, NONE)

/* Moves *stage; false when the table has no such step, and then it stays. */
bool task_step(enum task_stage *stage, enum task_event event);
/* "wait", "claim", "running" …: for status. */
const char *task_stage_name(enum task_stage stage);

#endif
