/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks.h: jobs, their processes, their results. */
#include "runner/tasks_internal.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "runner/channel.h"
#include "runner/health.h"
#include "runner/lifespan.h"
#include "runner/pause.h"
#include "runner/provset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_TEXT_MAX 4000
#define RETRY_CAP_MS 30000
#define NOT_BEGUN "the runner was stopped before the job began"

void tasks_open(struct sup *s)
{
	s->tasks = mem_alloc(sizeof(*s->tasks));
}

struct task *tasks_find(struct sup *s, const char *id)
{
	for (struct task *t = s->tasks->first; t; t = t->next) {
		if (strcmp(t->job.id, id) == 0)
			return t;
	}
	return NULL;
}

void task_log(const struct task *t, const char *phrase, const char *text)
{
	log_info("job %-9s %s %s %s%s%s", phrase, t->job.id, t->job.type_text, t->job.action_text,
	         text ? ": " : "", text ? text : "");
}

struct task *task_add(struct sup *s, struct job *j)
{
	struct task *t = mem_alloc(sizeof(*t));
	struct task **at = &s->tasks->first;

	t->job = *j;
	*j = (struct job){ 0 };
	t->child.fd = -1;
	while (*at)
		at = &(*at)->next;
	*at = t;
	s->tasks->counts.known++;
	return t;
}

static void drop(struct sup *s, struct task *t)
{
	struct task **at = &s->tasks->first;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	s->tasks->counts.known--;
	job_free(&t->job);
	free(t->text);
	free(t->canceled);
	child_free(&t->child);
	free(t);
}

void task_move(struct sup *s, struct task *t, enum task_event event)
{
	bool ran = t->stage == TASK_RUNNING;
	bool moved = task_step(&t->stage, event);

	assert(moved); /* no peer can bring it about: only a fault in this file or taskanswer.c */
	(void)moved;
	s->tasks->counts.running += t->stage == TASK_RUNNING;
	s->tasks->counts.running -= ran;
	health_changed(s);
	if (t->stage == TASK_NONE)
		drop(s, t);
}

void task_forget(struct sup *s, struct task *t, bool synced)
{
	struct err e = { 0 };

	if (t->journaled && (synced ? journal_drop(s->journal, t->job.id, &e)
	                            : journal_done(s->journal, t->job.id, &e)) < 0)
		log_warn("%s", e.msg);
	task_move(s, t, TASK_EV_DROP);
	journal_tidy(s->journal);
}

static bool is_active(const struct task *t)
{
	return t->stage == TASK_RUNNING || t->stage == TASK_CLAIMING || t->fresh ||
	       (t->stage == TASK_ASK && t->child.id.pid) ||
	       (t->stage == TASK_CLAIM && t->tries < CLAIM_TRIES_HELD);
}

size_t tasks_places(const struct sup *s)
{
	size_t active = 0;
	size_t max = s->c->max_jobs > 0 ? (size_t)s->c->max_jobs : SIZE_MAX;

	for (const struct task *t = s->tasks->first; t; t = t->next)
		active += is_active(t);
	return active < max ? max - active : 0;
}

size_t tasks_room(const struct sup *s)
{
	return pause_is_on(s) ? 0 : lifespan_room(s, tasks_places(s));
}

size_t tasks_unbegun(const struct sup *s)
{
	size_t n = 0;

	for (const struct task *t = s->tasks->first; t; t = t->next)
		n += t->stage == TASK_ASK || t->stage == TASK_CLAIM || t->stage == TASK_CLAIMING;
	return n;
}

/* ---- results ---- */

static void set_result(struct sup *s, struct task *t, enum job_state state, struct str text)
{
	struct buf masked = { 0 };
	struct err e = { 0 };

	mask_text(&masked, text);
	if (masked.n > ERROR_TEXT_MAX) {
		masked.n = ERROR_TEXT_MAX;
		while (((unsigned char)masked.p[masked.n] & 0xC0) == 0x80)
			masked.n--; /* no half characters */
	}
	t->result = state;
	free(t->text);
	t->text = state == JOB_ERROR ? buf_take(&masked) : NULL;
	buf_free(&masked);
	t->tries = 0;
	t->next_try = (struct deadline){ 0 };
	if (state == JOB_SUCCESS)
		s->tasks->counts.succeeded++;
	else
		s->tasks->counts.failed++;
	/* What cannot be written now is still reported now; only a crash before that would lose it. */
	if (t->journaled && journal_result(s->journal, t->job.id, state, t->text, &e) < 0)
		log_error("the result of job %s is kept in memory only: %s", t->job.id, e.msg);
	task_log(t, state == JOB_SUCCESS ? "succeeded" : "failed", t->text);
	task_move(s, t, TASK_EV_RESULT);
}

void task_fail(struct sup *s, struct task *t, const char *text)
{
	set_result(s, t, JOB_ERROR, str_of(text));
}

/* A result whose sync has failed is still reported now, and written again until it is on the disk. */
void tasks_sync(struct sup *s)
{
	bool was = journal_is_durable(s->journal), is;
	struct err e = { 0 };

	(void)journal_sync(s->journal, &e);
	is = journal_is_durable(s->journal);
	if (was != is)
		health_changed(s);
	if (was && !is)
		log_error("%s; it is tried again", e.msg);
	else if (!was && is)
		log_info("the journal is on the disk again");
	/* A claim that could not be remembered is not made; the Server is told why at once. */
	for (struct task *t = s->tasks->first; e.kind && t; t = t->next)
		if (t->stage == TASK_CLAIM && t->tries == 0)
			task_fail(s, t, e.msg);
}

/* ---- processes ---- */

void task_begin(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	t->tries = t->stage == TASK_HELD ? t->tries : 0;
	t->ambiguous = false;
	s->tasks->counts.begun += t->stage != TASK_HELD;
	if (s->phase == PHASE_STOP || s->phase == PHASE_FLUSH) {
		task_fail(s, t, NOT_BEGUN);
		return;
	}
	if (t->canceled) {
		task_fail_canceled(s, t);
		return;
	}
	t->fresh = false;
	if (t->give_up.at_ms == 0)
		t->give_up = deadline_in_ms(s->c->job_timeout_ms);
	if (journal_run(s->journal, t->job.id, (struct proc_id){ 0 }, &e) < 0) {
		task_fail(s, t, e.msg); /* a crash would run it twice */
		return;
	}
	task_log(t, "running", NULL);
	if (taskwork_run(s, &t->child, &t->job, &e) < 0) {
		task_fail(s, t, e.msg);
		return;
	}
	task_move(s, t, TASK_EV_BEGIN);
	if (journal_run(s->journal, t->job.id, t->child.id, &e) < 0)
		log_warn("%s", e.msg);
}

/* Nothing was begun: it stays ours and is begun when what it needs is back. */
static void hold(struct sup *s, struct task *t, struct str why)
{
	struct err e = { 0 };

	free(t->text);
	t->text = mem_dupn(why.p, why.n);
	if (t->tries == 0)
		task_log(t, "held", t->text);
	task_move(s, t, TASK_EV_UNBEGUN);
	if (journal_claim(s->journal, &t->job, &e) < 0) /* not begun, again */
		log_warn("%s", e.msg);
	t->next_try = deadline_in_ms(backoff_ms(t->tries++, RETRY_CAP_MS));
	provset_recheck(s);
}

static void held(struct sup *s, struct task *t)
{
	if (s->phase != PHASE_RUN)
		task_fail(s, t, NOT_BEGUN);
	else if (deadline_passed(t->next_try) &&
	         (!provset_unmet(s, NULL) || deadline_passed(t->give_up)))
		task_begin(s, t);
	else if (deadline_passed(t->next_try))
		t->next_try = deadline_in_ms(1000);
}

static void find_start(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	if (taskwork_find(s, &t->child, &t->job, !t->fresh, deadline_passed(t->give_up), &e) < 0)
		t->next_try = deadline_in_ms(backoff_ms(t->tries++, RETRY_CAP_MS));
	else
		task_move(s, t, TASK_EV_FIND);
}

static void found_pending(struct sup *s, struct task *t)
{
	if (!t->journaled) {
		task_log(t, "not ours", "it is pending");
		task_forget(s, t, true);
		return;
	}
	/* Not left to the next poll: our old claim may still be on its way, and then nobody would have the job. */
	task_log(t, "pending", "it is claimed again");
	t->fresh = false;
	t->ambiguous = t->doubtful = true;
	t->tries = 1;
	t->next_try = (struct deadline){ 0 };
	task_move(s, t, TASK_EV_CLAIM);
}

static void found(struct sup *s, struct task *t, struct str out)
{
	struct str text = { out.n ? out.p + 1 : "", out.n ? out.n - 1 : 0 };

	switch (out.n ? out.p[0] : 'R') {
	case 'S':
		set_result(s, t, JOB_SUCCESS, (struct str){ 0 });
		break;
	case 'E':
		set_result(s, t, JOB_ERROR, text);
		break;
	case 'P':
		found_pending(s, t);
		break;
	case 'C':
		task_begin(s, t);
		break;
	case 'U':
		task_log(t, "settled", "the Server needs no result");
		task_forget(s, t, true);
		break;
	default:
		if (text.n && ((t->tries + 1) & t->tries) == 0)
			log_info("job %s: %.*s; looking again", t->job.id, STR_ARG(text));
		task_move(s, t, TASK_EV_LATER);
		t->next_try = deadline_in_ms(backoff_ms(t->tries++, RETRY_CAP_MS));
		break;
	}
}

static void describe_end(const struct sup *s, const struct task *t, int status, struct str out,
                         struct buf *text)
{
	struct str said = { out.n ? out.p + 1 : "", out.n ? out.n - 1 : 0 };
	bool more = false;

	if (t->canceled) {
		task_canceled_text(t, text);
	} else if (t->child.overdue) {
		buf_addf(text, "the job did not end within job_timeout (%lld s) and was stopped",
		         (long long)(s->c->job_timeout_ms / 1000));
		more = true;
	} else if (s->phase != PHASE_RUN && t->child.told) {
		buf_adds(text, "the runner was stopped while the job ran");
		more = true;
	} else if (out.n) {
		buf_add_str(text, said);
	} else {
		buf_adds(text, "the job's process ended without a result: ");
		proc_describe_status(status, text);
	}
	if (more && said.n)
		buf_addf(text, ": %.*s", STR_ARG(said));
}

static void ended(struct sup *s, struct task *t, int status, struct str out)
{
	bool provider_job = t->job.type == RES_RUNNER;
	struct buf text = { 0 };

	if (out.n && out.p[0] == 'S') {
		set_result(s, t, JOB_SUCCESS, (struct str){ 0 });
	} else if (out.n && out.p[0] == 'N' && s->phase == PHASE_RUN && !t->child.overdue &&
	           !t->canceled && !deadline_passed(t->give_up)) {
		hold(s, t, (struct str){ out.p + 1, out.n - 1 });
	} else {
		describe_end(s, t, status, out, &text);
		set_result(s, t, JOB_ERROR, buf_str(&text));
		provset_recheck(s);
		servconf_doubt(&s->servconf);
	}
	buf_free(&text);
	if (provider_job) {
		provset_load(s);
		channels_beat_now(s); /* before the report: whoever sees that looks */
	}
}

/* ---- the loop ---- */

char *tasks_resource(const struct sup *s, pid_t pid)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if (t->child.id.pid == pid)
			return mem_dup(t->job.resource_id);
	}
	return NULL;
}

bool tasks_reaped(struct sup *s, pid_t pid, int status)
{
	for (struct task *t = s->tasks->first; t; t = t->next) {
		struct str out;

		if (t->child.id.pid != pid)
			continue;
		child_ended(&t->child, status);
		out = buf_str(&t->child.out);
		if (t->stage == TASK_RUNNING)
			ended(s, t, status, out);
		else if (t->stage == TASK_ASK)
			task_asked(s, t, out);
		else
			found(s, t, out);
		return true;
	}
	return false;
}

void tasks_poll(struct sup *s, struct pollset *ps)
{
	for (struct task *t = s->tasks->first; t; t = t->next) {
		child_poll(&t->child, ps);
		if (t->stage == TASK_UNKNOWN || t->stage == TASK_HELD)
			pollset_until(ps, t->next_try);
	}
}

void tasks_step(struct sup *s)
{
	for (struct task *t = s->tasks->first, *next; t; t = next) {
		next = t->next;
		child_step(&t->child);
		if (t->stage == TASK_UNKNOWN && s->phase == PHASE_RUN &&
		    deadline_passed(t->next_try))
			find_start(s, t);
		else if (t->stage == TASK_HELD)
			held(s, t);
		/* The next poll brings it as the Server has it then. */
		else if (t->stage == TASK_ASK && t->text && !provset_unmet(s, t->text))
			task_move(s, t, TASK_EV_DROP);
	}
}

void tasks_stop_all(struct sup *s, int64_t grace_ms)
{
	for (struct task *t = s->tasks->first; t; t = t->next)
		child_tell(&t->child, grace_ms);
}

bool tasks_any_running(const struct sup *s)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if (t->child.id.pid)
			return true;
	}
	return false;
}

bool tasks_work_on(const struct sup *s, const char *resource_id)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if (t->stage == TASK_RUNNING && strcmp(t->job.resource_id, resource_id) == 0)
			return true;
	}
	return false;
}

void tasks_settle_claims(struct sup *s)
{
	for (struct task *t = s->tasks->first, *next; t; t = next) {
		next = t->next;
		if (t->stage == TASK_CLAIM && t->ambiguous)
			task_fail(s, t, NOT_BEGUN);
	}
	tasks_drop_unclaimed(s);
}

void tasks_drop_unclaimed(struct sup *s)
{
	for (struct task *t = s->tasks->first, *next; t; t = next) {
		next = t->next;
		if (t->stage == TASK_CLAIM && !t->ambiguous) {
			task_log(t, "not ours", "the runner takes no jobs; the job stays pending");
			task_forget(s, t, true);
		} else if (t->stage == TASK_ASK && !t->child.id.pid) {
			task_move(s, t, TASK_EV_DROP);
		}
	}
}

bool tasks_claiming(const struct sup *s)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if (t->stage == TASK_CLAIMING)
			return true;
	}
	return false;
}

bool tasks_reporting(const struct sup *s)
{
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		if ((t->stage == TASK_REPORT || t->stage == TASK_REPORTING) && !t->recheck)
			return true; /* a second sending is left to the next start */
	}
	return false;
}

void tasks_free(struct sup *s)
{
	if (!s->tasks)
		return;
	while (s->tasks->first)
		drop(s, s->tasks->first);
	for (size_t i = 0; i < s->tasks->n_passed; i++)
		free(s->tasks->passed[i].id);
	free(s->tasks->passed);
	free(s->tasks);
	s->tasks = NULL;
}

/* ---- pictures ---- */

struct tasks_counts tasks_counts(const struct sup *s)
{
	return s->tasks->counts;
}

void tasks_status(const struct sup *s, struct buf *b)
{
	jw_arr(b);
	for (const struct task *t = s->tasks->first; t; t = t->next) {
		jw_obj(b);
		jw_kstr(b, "id", t->job.id);
		jw_kstr(b, "resource", t->job.type_text);
		jw_kstr(b, "resource_id", t->job.resource_id);
		jw_kstr(b, "action", t->job.action_text);
		jw_kstr(b, "stage", task_stage_name(t->stage));
		jw_obj_end(b);
	}
	jw_arr_end(b);
}
