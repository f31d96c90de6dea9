/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks.h: where jobs come from, and whether they are for us. */
#include "runner/tasks_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "runner/pause.h"
#include "runner/provset.h"

#include <string.h>

#define BUILD_LEFT_MS 10000

bool tasks_knows(struct sup *s, const char *job_id)
{
	const struct task *t = tasks_find(s, job_id);

	return t ? !t->lost : journal_past(s->journal, job_id) != NULL;
}

void tasks_lost(struct sup *s, struct job *j)
{
	struct task *t;

	if (tasks_find(s, j->id) || tasks_knows(s, j->id))
		return;
	/* Not journaled: a runner that ends before it is settled finds it again. */
	t = task_add(s, j);
	t->lost = true;
	t->give_up = deadline_in_ms(s->c->job_timeout_ms);
	task_move(s, t, TASK_EV_LEFT);
	task_log(t, "unknown", "the Server shows it as running, but there is no record of it here");
}

void tasks_restore(struct sup *s, struct job *j, const struct journal_entry *en)
{
	struct task *t = task_add(s, j);

	t->journaled = t->doubtful = true;
	t->fresh = !en->begun && !en->has_result;
	t->refused_ms = en->refused_ms;
	t->result = en->result;
	t->text = mem_dup(en->text);
	t->give_up = deadline_in_ms(s->c->job_timeout_ms);
	task_move(s, t, en->has_result ? TASK_EV_RESULT : TASK_EV_LEFT);
	task_log(t, en->has_result ? "kept" : "unknown",
	         en->has_result ? "its result is still to be reported"
	                        : "an earlier runner process left it unfinished");
}

static void offer_again(struct sup *s, const struct journal_past *past, struct job *j)
{
	struct task *t = task_add(s, j);

	log_info("job %s was delivered again; its result is sent again", t->job.id);
	t->result = past->result;
	t->text = mem_dup(past->text);
	task_move(s, t, TASK_EV_RESULT);
}

/* Build jobs are offered to every runner: one that cannot build leaves them to those who can, for a while. */
static bool left_to_others(struct sup *s)
{
	struct tasks *ts = s->tasks;

	if (provset_can_build(s))
		return false;
	if (deadline_passed(ts->builds_gone))
		ts->take_builds = deadline_in_ms(BUILD_LEFT_MS);
	ts->builds_gone = deadline_in_ms(2 * BUILD_LEFT_MS);
	return !deadline_passed(ts->take_builds);
}

void task_claim(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	task_move(s, t, TASK_EV_CLAIM);
	t->journaled = journal_claim(s->journal, &t->job, &e) == 0;
	if (!t->journaled) {
		/* A claim that could not be remembered is not made; the Server is told why at once. */
		log_error("%s", e.msg);
		task_fail(s, t, e.msg);
	}
}

static void ask(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	task_move(s, t, TASK_EV_ASK);
	if (taskwork_ask(s, &t->child, &t->job, &e) < 0)
		task_claim(s, t);
}

void task_asked(struct sup *s, struct task *t, struct str out)
{
	if (t->canceled) {
		task_claim(s, t);
	} else if (s->phase != PHASE_RUN || pause_is_on(s)) {
		task_move(s, t, TASK_EV_DROP);
	} else if (out.n && out.p[0] == 'W') {
		t->text = mem_dupn(out.p + 1, out.n - 1);
		log_info("job %s stays pending until provider %s can be used", t->job.id, t->text);
		provset_recheck(s);
	} else {
		task_claim(s, t);
	}
}

static bool is_for_us(struct sup *s, const struct job *j)
{
	bool provided = j->type == RES_WORKSPACE || j->type == RES_TARGET || j->type == RES_BUILD;

	if (tasks_room(s) == 0 || tasks_passed_over(s, j->id))
		return false;
	if (j->runner_id && *j->runner_id && strcmp(j->runner_id, s->c->id) != 0)
		return false;
	if (j->type == RES_BUILD && left_to_others(s))
		return false;
	return !(provided && provset_all_checked(s) && !provset_any_usable(s) &&
	         (j->type == RES_BUILD || !provset_unmet(s, NULL)));
}

bool tasks_offer(struct sup *s, struct job *j)
{
	const struct journal_past *past = journal_past(s->journal, j->id);
	struct task *t;

	if (tasks_find(s, j->id))
		return false; /* its claim is under way, or it runs and its report settles the matter */
	if (past) {
		offer_again(s, past, j);
		return false;
	}
	if (!is_for_us(s, j))
		return false;
	t = task_add(s, j);
	/* A forced removal forgets what cannot be reached. */
	if ((t->job.type == RES_WORKSPACE || t->job.type == RES_TARGET) &&
	    t->job.action != ACT_FORCE_DELETE && provset_unmet(s, NULL))
		ask(s, t);
	else
		task_claim(s, t);
	return true;
}
