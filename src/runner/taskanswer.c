/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks_internal.h: what the Server's answers to claims and reports mean for a job. */
#include "runner/tasks_internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_CAP_MS 30000
#define RECHECK_MS \
	30000 /* by then a request that a proxy or the Server held up has had its effect */
#define REFUSED_MS \
	(6 * 3600000ll) /* a result that the Server's own words refuse so long is kept aside */
#define REFUSED_STEP_MS 600000
#define REFUSED_TRIES 5 /* … and so often by the eyes of this process */
#define PASSED_MS 3000
#define PASSED_MAX_MS 600000

/* ---- jobs whose claims are refused ---- */

static struct passed *passed_of(struct tasks *ts, const char *job_id)
{
	for (size_t i = 0; i < ts->n_passed; i++) {
		if (strcmp(ts->passed[i].id, job_id) == 0)
			return &ts->passed[i];
	}
	return NULL;
}

/* As many as the Server may list: were one forgotten for another, both would go before all others again. One that has
 * not been listed for long makes room. */
static struct passed *passed_add(struct tasks *ts, const char *job_id)
{
	int64_t gone = clock_mono_ms() - PASSED_MAX_MS;
	struct passed *p = NULL;

	for (size_t i = 0; i < ts->n_passed && !p; i++)
		if (ts->passed[i].until.at_ms < gone)
			p = &ts->passed[i];
	if (!p && ts->n_passed == PASSED_MAX)
		p = &ts->passed[ts->passed_next++ % PASSED_MAX];
	if (p) {
		free(p->id);
	} else {
		ts->passed = mem_realloc(ts->passed, (ts->n_passed + 1) * sizeof(*ts->passed));
		p = &ts->passed[ts->n_passed++];
	}
	*p = (struct passed){ .id = mem_dup(job_id) };
	return p;
}

bool tasks_pass_over(struct sup *s, const char *job_id)
{
	struct passed *p = passed_of(s->tasks, job_id);
	int64_t ms = PASSED_MS;
	bool first = !p;

	if (!p)
		p = passed_add(s->tasks, job_id);
	for (unsigned i = 0; i < p->times && ms < PASSED_MAX_MS; i++)
		ms *= 2;
	p->times++;
	p->until = deadline_in_ms(ms < PASSED_MAX_MS ? ms : PASSED_MAX_MS);
	return first;
}

bool tasks_passed_over(const struct sup *s, const char *job_id)
{
	const struct passed *p = passed_of(s->tasks, job_id);

	return p && !deadline_passed(p->until);
}

/* ---- again ---- */

static void again(struct sup *s, struct task *t, int64_t after_ms)
{
	int64_t wait_ms = backoff_ms(t->tries++, RETRY_CAP_MS);

	task_move(s, t, TASK_EV_AGAIN);
	t->next_try = deadline_in_ms(after_ms > wait_ms ? after_ms : wait_ms);
}

void task_claim_again(struct sup *s, struct task *t, bool ambiguous, int64_t after_ms)
{
	t->ambiguous = t->ambiguous || ambiguous;
	t->doubtful = t->doubtful || ambiguous;
	again(s, t, after_ms);
}

/* A request that fails for days is told of at the 1st, 2nd, 4th, 8th … time. */
static void tell(const struct task *t, const char *what, const struct err *e)
{
	if (((t->tries + 1) & t->tries) == 0)
		log_warn("%s job %s: %s", what, t->job.id, e->msg);
}

/* ---- claims ---- */

/* A claim that nobody of the Server refused may have had its effect. A 4xx in between has not passed it on, most
 * likely: where another runner may have been faster (only builds belong to nobody), that counts. */
static bool in_doubt(const struct task *t, const struct task_answer *a, enum api_verdict v)
{
	if (!a->sent)
		return false;
	return !a->answered || a->e->code >= 500 || (v == API_AGAIN && t->job.type != RES_BUILD);
}

static enum task_outcome claim_answered(struct sup *s, struct task *t, const struct task_answer *a)
{
	enum api_verdict v = api_verdict(a->e);

	if (a->repeated) /* the first one may have had its effect, or have it yet */
		t->ambiguous = t->doubtful = true;
	if (v == API_DONE || (v == API_ALREADY && t->ambiguous)) {
		/* After a claim whose answer was lost it is our own; otherwise somebody was faster. */
		task_begin(s, t);
		return TASK_SETTLED;
	}
	if ((v == API_ALREADY || v == API_MISSING || v == API_NEVER) && !t->ambiguous) {
		if (tasks_pass_over(s, t->job.id)) /* a list may go on showing it */
			task_log(t, "not ours", a->e->msg);
		task_forget(s, t, true);
		return TASK_SETTLED; /* what is listed behind it need not wait */
	}
	tell(t, "claim", a->e);
	task_claim_again(s, t, in_doubt(t, a, v), a->retry_after_ms);
	/* The Server's own refusal of one job is no reason to let the others wait, nor is anybody's that stays. */
	if (a->answered && v != API_KEY && t->tries >= CLAIM_TRIES_HELD)
		return TASK_REPEATS;
	return v == API_AGAIN || v == API_KEY || a->retry_after_ms > 0 ? TASK_WAITS : TASK_REPEATS;
}

/* ---- reports ---- */

static void accepted(struct sup *s, struct task *t)
{
	if (t->doubtful) {
		/* The Server takes any state at any time: a claim held up on its way would undo this report. */
		t->doubtful = false;
		t->recheck = true;
		t->tries = 0;
		task_move(s, t, TASK_EV_AGAIN);
		t->next_try = deadline_in_ms(RECHECK_MS);
		return;
	}
	task_forget(s, t, false);
}

/* In the Server's own words: it is sent again all the same, and kept aside when that went on for hours. */
static void refused(struct sup *s, struct task *t, const char *why)
{
	int64_t now = clock_mono_ms();
	struct err e = { 0 };

	/* Only time in which it was asked counts, and no machine's sleep as one long refusal. */
	if (t->refused_at)
		t->refused_ms += now - t->refused_at < REFUSED_STEP_MS ? now - t->refused_at
		                                                       : REFUSED_STEP_MS;
	t->refused_at = now;
	if (t->journaled && journal_refused(s->journal, t->job.id, t->refused_ms, &e) < 0)
		log_warn("%s", e.msg);
	if (t->refused_ms >= REFUSED_MS && t->tries + 1 >= REFUSED_TRIES) {
		if (refused_keep(s->c->state_dir, &t->job, t->result, t->text, why, &e) == 0) {
			log_error("the Server refuses the result of job %s for %lld hours (%s); it "
			          "is kept in %s/journal.refused and not sent any more",
			          t->job.id, (long long)(t->refused_ms / 3600000), why,
			          s->c->state_dir);
			task_forget(s, t, false);
			return;
		}
		log_error("%s", e.msg);
	}
	task_move(s, t, TASK_EV_AGAIN);
	t->next_try = deadline_in_ms(backoff_ms(t->tries++, REFUSED_STEP_MS));
}

static enum task_outcome report_answered(struct sup *s, struct task *t, const struct task_answer *a)
{
	enum api_verdict v = api_verdict(a->e);

	if (v == API_DONE || v == API_ALREADY) {
		accepted(s, t);
		return TASK_SETTLED;
	}
	tell(t, "report", a->e);
	if (v == API_MISSING || v == API_NEVER) {
		refused(s, t, a->e->msg);
		return TASK_REPEATS;
	}
	again(s, t, a->retry_after_ms);
	return !a->answered || v == API_KEY || a->retry_after_ms > 0 ? TASK_WAITS : TASK_REPEATS;
}

enum task_outcome tasks_answered(struct sup *s, struct task *t, const struct task_answer *a)
{
	return t->stage == TASK_CLAIMING ? claim_answered(s, t, a) : report_answered(s, t, a);
}

/* ---- requests ---- */

const char *tasks_send(struct sup *s, struct task *t, struct buf *body)
{
	bool claim = t->stage == TASK_CLAIM;

	task_move(s, t, TASK_EV_SEND);
	api_job_state_body(body, claim ? JOB_RUNNING : t->result, claim ? NULL : t->text);
	return t->job.id;
}

static bool is_next(const struct sup *s, const struct task *t, enum task_request what)
{
	if (!deadline_passed(t->next_try))
		return false;
	if (what == TASK_RESULT)
		return t->stage == TASK_REPORT;
	return t->stage == TASK_CLAIM && (t->tries > 0) == (what == TASK_REPEATED_CLAIM) &&
	       (t->tries < CLAIM_TRIES_HELD || tasks_places(s) > 0);
}

struct task *tasks_next(struct sup *s, enum task_request what)
{
	struct task *best = NULL;

	for (struct task *t = s->tasks->first; t; t = t->next) {
		if (is_next(s, t, what) && (!best || t->next_try.at_ms < best->next_try.at_ms))
			best = t;
	}
	return best;
}

struct deadline tasks_next_due(const struct sup *s)
{
	struct deadline d = DEADLINE_NEVER;

	for (const struct task *t = s->tasks->first; t; t = t->next) {
		/* One that has to wait for room is due when there is some. */
		if (t->stage == TASK_REPORT ||
		    (t->stage == TASK_CLAIM && t->tries > 0 &&
		     (t->tries < CLAIM_TRIES_HELD || tasks_places(s) > 0)))
			d = deadline_min(d, t->next_try);
	}
	return d;
}

bool tasks_ask_config(const struct sup *s)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if ((t->stage == TASK_CLAIM || t->stage == TASK_CLAIMING) &&
		    job_asks_config(&t->job))
			return true;
	}
	return false;
}

void tasks_hurry(struct sup *s)
{
	for (struct task *t = s->tasks->first; t; t = t->next) {
		if (t->stage == TASK_REPORT && !t->recheck) {
			t->next_try = (struct deadline){ 0 };
			t->tries = 0;
		}
	}
}
