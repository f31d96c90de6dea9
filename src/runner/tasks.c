/* SPDX-License-Identifier: Apache-2.0 */
/* See sup.h: jobs from the claim to the accepted report, and what the journal says of earlier ones. */
#include "runner/sup.h"

#include "base/attr.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "host/paths.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIND_MS 60000
#define ASK_MS 30000
#define ERROR_TEXT_MAX 4000
#define BUILD_LEFT_MS 10000
#define CLAIM_TRIES_HELD 3 /* a claim that failed so often holds no place of other jobs any more */
#define REFUSED_MS \
	(6 * 3600000ll) /* a result that the Server's own words refuse so long is kept aside */
#define REFUSED_STEP_MS 600000
#define REFUSED_TRIES 5 /* … and so often by the eyes of this process */
#define NOT_BEGUN "the runner was stopped before the job began"
#define RECHECK_MS \
	30000 /* by then a request that a proxy or the Server held up has had its effect */

static struct task *find(struct sup *s, const char *id)
{
	for (struct task *t = s->tasks.first; t; t = t->next) {
		if (strcmp(t->job.id, id) == 0)
			return t;
	}
	return NULL;
}

void tasks_log(const struct task *t, const char *phrase, const char *text)
{
	if (text)
		log_info("job %-9s %s %s %s: %s", phrase, t->job.id, t->job.type_text,
		         t->job.action_text, text);
	else
		log_info("job %-9s %s %s %s", phrase, t->job.id, t->job.type_text,
		         t->job.action_text);
}

struct task *tasks_add(struct sup *s, struct job *j)
{
	struct task *t = mem_alloc(sizeof(*t));
	struct task **at = &s->tasks.first;

	t->job = *j;
	*j = (struct job){ 0 };
	t->child.fd = -1;
	while (*at)
		at = &(*at)->next;
	*at = t;
	s->tasks.n++;
	s->status_dirty = true;
	return t;
}

static void drop(struct sup *s, struct task *t)
{
	struct task **at = &s->tasks.first;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	s->tasks.n--;
	s->status_dirty = true;
	job_free(&t->job);
	free(t->text);
	child_free(&t->child);
	free(t);
}

static bool is_active(const struct task *t)
{
	return t->stage == TASK_RUNNING || t->stage == TASK_CLAIMING || t->fresh ||
	       (t->stage == TASK_ASK && t->child.id.pid) ||
	       (t->stage == TASK_CLAIM && t->tries < CLAIM_TRIES_HELD);
}

size_t tasks_room(const struct sup *s)
{
	size_t active = 0;
	size_t max = s->c->max_jobs > 0 ? (size_t)s->c->max_jobs : SIZE_MAX;

	for (const struct task *t = s->tasks.first; t; t = t->next)
		active += is_active(t);
	return active < max ? max - active : 0;
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
	t->stage = TASK_REPORT;
	t->tries = 0;
	t->next_try = (struct deadline){ 0 };
	if (state == JOB_SUCCESS)
		s->tasks.succeeded++;
	else
		s->tasks.failed++;
	/* What cannot be written now is still reported now; only a crash before that would lose it. */
	if (t->journaled && journal_result(s->journal, t->job.id, state, t->text, &e) < 0)
		log_error("the result of job %s is kept in memory only: %s", t->job.id, e.msg);
	s->status_dirty = true;
	tasks_log(t, state == JOB_SUCCESS ? "succeeded" : "failed", t->text);
}

static void fail(struct sup *s, struct task *t, const char *text)
{
	set_result(s, t, JOB_ERROR, str_of(text));
}

void tasks_reported(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	if (t->doubtful) {
		/* The Server takes any state at any time: a claim held up on its way would undo this report. */
		t->doubtful = false;
		t->recheck = true;
		t->stage = TASK_REPORT;
		t->tries = 0;
		t->next_try = deadline_in_ms(RECHECK_MS);
		return;
	}
	if (t->journaled && journal_done(s->journal, t->job.id, &e) < 0)
		log_warn("%s", e.msg);
	drop(s, t);
	journal_tidy(s->journal);
}

static void again(struct task *t, enum task_stage stage, int64_t after_ms)
{
	int64_t wait_ms = backoff_ms(t->tries++, 30000);

	t->stage = stage;
	t->next_try = deadline_in_ms(after_ms > wait_ms ? after_ms : wait_ms);
}

void tasks_report_again(struct task *t, int64_t after_ms)
{
	again(t, TASK_REPORT, after_ms);
}

void tasks_report_refused(struct sup *s, struct task *t, const char *why)
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
	if (t->refused_ms < REFUSED_MS || t->tries + 1 < REFUSED_TRIES) {
		t->stage = TASK_REPORT;
		t->next_try = deadline_in_ms(backoff_ms(t->tries++, REFUSED_STEP_MS));
		return;
	}
	if (refused_keep(s->c->state_dir, &t->job, t->result, t->text, why, &e) < 0) {
		log_error("%s", e.msg);
		tasks_report_again(t, REFUSED_STEP_MS);
		return;
	}
	log_error("the Server refuses the result of job %s for %lld hours (%s); it is kept in "
	          "%s/journal.refused and not sent any more",
	          t->job.id, (long long)(t->refused_ms / 3600000), why, s->c->state_dir);
	t->doubtful = false;
	tasks_reported(s, t);
}

/* ---- claiming ---- */

static void offer_again(struct sup *s, const struct journal_past *past, struct job *j)
{
	struct task *t = tasks_add(s, j);

	log_info("job %s was delivered again; its result is sent again", t->job.id);
	t->result = past->result;
	t->text = mem_dup(past->text);
	t->stage = TASK_REPORT;
}

bool tasks_knows(struct sup *s, const char *job_id)
{
	const struct task *t = find(s, job_id);

	return t ? !t->lost : journal_past(s->journal, job_id) != NULL;
}

void tasks_lost(struct sup *s, struct job *j)
{
	struct task *t;

	if (find(s, j->id) || tasks_knows(s, j->id))
		return;
	/* Not journaled: a runner that ends before it is settled finds it again. */
	t = tasks_add(s, j);
	t->lost = true;
	t->stage = TASK_UNKNOWN;
	tasks_log(t, "unknown",
	          "the Server shows it as running, but there is no record of it here");
}

/* Build jobs are offered to every runner: one that cannot build leaves them to those who can, for a while. */
static bool left_to_others(struct sup *s)
{
	if (provset_can_build(s))
		return false;
	if (deadline_passed(s->builds_gone))
		s->take_builds = deadline_in_ms(BUILD_LEFT_MS);
	s->builds_gone = deadline_in_ms(2 * BUILD_LEFT_MS);
	return !deadline_passed(s->take_builds);
}

struct work_arg {
	struct sup *s;
	const struct job *job;
	bool begun;
};

static void claim(struct sup *s, struct task *t)
{
	struct err e = { 0 };

	t->stage = TASK_CLAIM;
	t->started_ms = clock_mono_ms();
	t->journaled = journal_claim(s->journal, &t->job, &e) == 0;
	if (!t->journaled) {
		/* A claim that could not be remembered is not made; the Server is told why at once. */
		log_error("%s", e.msg);
		fail(s, t, e.msg);
	}
}

/* "W" and the provider's name: the job is to wait for it. */
static void ask_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = sup_jobs_env(a->s, stop);
	struct buf name = { 0 };

	env.timeout_ms = ASK_MS;
	if (job_provider(&env, a->job, &name) && provset_unmet(a->s, buf_cstr(&name)))
		buf_addf(out, "W%s", buf_cstr(&name));
	buf_free(&name);
}

static void ask(struct sup *s, struct task *t)
{
	struct work_arg a = { s, &t->job, false };
	struct err e = { 0 };

	t->stage = TASK_ASK;
	if (child_start(&t->child, ask_work, &a, deadline_in_ms(ASK_MS), &e) < 0)
		claim(s, t);
}

static void asked(struct sup *s, struct task *t, struct str out)
{
	if (s->phase != PHASE_RUN) {
		drop(s, t);
	} else if (out.n && out.p[0] == 'W') {
		t->text = mem_dupn(out.p + 1, out.n - 1);
		log_info("job %s stays pending until provider %s can be used", t->job.id, t->text);
	} else {
		claim(s, t);
	}
}

bool tasks_offer(struct sup *s, struct job *j)
{
	struct task *t = find(s, j->id);
	const struct journal_past *past = journal_past(s->journal, j->id);
	bool provided = j->type == RES_WORKSPACE || j->type == RES_TARGET || j->type == RES_BUILD;

	if (t)
		return false; /* known: its claim is under way, or it runs and its report settles the matter */
	if (past) {
		offer_again(s, past, j);
		return false;
	}
	if (tasks_room(s) == 0 || (j->type == RES_BUILD && left_to_others(s)) ||
	    (j->runner_id && *j->runner_id && strcmp(j->runner_id, s->c->id) != 0))
		return false;
	if (provided && provset_all_checked(s) && !provset_any_usable(s) &&
	    (j->type == RES_BUILD || !provset_unmet(s, NULL)))
		return false;
	t = tasks_add(s, j);
	/* A forced removal forgets what cannot be reached. */
	if (provided && t->job.type != RES_BUILD && t->job.action != ACT_FORCE_DELETE &&
	    provset_unmet(s, NULL))
		ask(s, t);
	else
		claim(s, t);
	return true;
}

struct task *tasks_next_claim(struct sup *s, bool retries)
{
	for (struct task *t = s->tasks.first; t; t = t->next) {
		if (t->stage == TASK_CLAIM && (t->tries > 0) == retries &&
		    deadline_passed(t->next_try) && (is_active(t) || tasks_room(s) > 0))
			return t;
	}
	return NULL;
}

struct task *tasks_next_report(struct sup *s)
{
	struct task *best = NULL;

	for (struct task *t = s->tasks.first; t; t = t->next) {
		if (t->stage == TASK_REPORT && deadline_passed(t->next_try) &&
		    (!best || t->next_try.at_ms < best->next_try.at_ms))
			best = t;
	}
	return best;
}

void tasks_claim_lost(struct sup *s, struct task *t, const char *why)
{
	struct err e = { 0 };

	if (strcmp(s->tasks.lost, t->job.id) != 0) /* a list may go on showing it */
		tasks_log(t, "not ours", why);
	snprintf(s->tasks.lost, sizeof(s->tasks.lost), "%s", t->job.id);
	if (t->journaled && journal_drop(s->journal, t->job.id, &e) < 0)
		log_warn("%s", e.msg);
	drop(s, t);
}

void tasks_claim_again(struct task *t, bool ambiguous, int64_t after_ms)
{
	t->ambiguous = t->ambiguous || ambiguous;
	t->doubtful = t->doubtful || ambiguous;
	again(t, TASK_CLAIM, after_ms);
}

/* ---- running ---- */

/* The text is masked here: only this process knows the job's secrets. */
static void add_result(struct buf *out, char kind, struct str text)
{
	buf_addc(out, kind);
	mask_text(out, text);
}

/* What no program of a job is to read or change. */
static struct jobs_env work_env(struct sup *s, const volatile int *stop)
{
	const struct config *c = s->c;
	char *const made[] = {
		paths_lock(c->state_dir),    paths_journal(c->state_dir),
		paths_status(c->state_dir),  paths_providers(c->state_dir),
		paths_refused(c->state_dir), path_join(c->state_dir, "logs/runners")
	};

	confine_hide(c->file, HIDE_FROM_JOB);
	confine_hide(c->key_file, HIDE_FROM_JOB);
	confine_hide(c->client_key, HIDE_FROM_JOB);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		confine_hide(made[i], HIDE_FROM_JOB);
		free(made[i]);
	}
	return sup_jobs_env(s, stop);
}

/* Result text: "S", "E<error>", of a search also "P" (never claimed), "C" (claimed, not begun), "U" (nothing to report), "R<why>" (try again). */
static void run_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = work_env(a->s, stop);
	struct err e = { 0 };

	if (job_run(&env, a->job, &e) == 0)
		buf_addc(out, 'S');
	else
		add_result(out, 'E', str_of(e.msg));
}

static void find_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = work_env(a->s, stop);
	enum job_state state = JOB_STATE_UNKNOWN;
	struct buf text = { 0 };
	struct err e = { 0 };

	env.timeout_ms = FIND_MS;
	if (job_reconcile(&env, a->job, a->begun, &state, &text, &e) < 0)
		add_result(out, 'R', str_of(e.msg));
	else if (state == JOB_SUCCESS)
		buf_addc(out, 'S');
	else if (state == JOB_ERROR)
		add_result(out, 'E', buf_str(&text));
	else
		buf_addc(out, state == JOB_PENDING ? 'P' : state == JOB_RUNNING ? 'C' : 'U');
	buf_free(&text);
}

void tasks_claimed(struct sup *s, struct task *t)
{
	struct work_arg a = { s, &t->job, true };
	struct err e = { 0 };

	t->tries = 0;
	t->ambiguous = false;
	if (s->phase == PHASE_STOP || s->phase == PHASE_FLUSH) {
		fail(s, t, NOT_BEGUN);
		return;
	}
	t->fresh = false;
	if (journal_run(s->journal, t->job.id, (struct proc_id){ 0 }, &e) < 0) {
		fail(s, t, e.msg); /* a crash would run it twice */
		return;
	}
	tasks_log(t, "running", NULL);
	if (child_start(&t->child, run_work, &a, deadline_in_ms(s->c->job_timeout_ms), &e) < 0) {
		fail(s, t, e.msg);
		return;
	}
	t->stage = TASK_RUNNING;
	s->tasks.running++;
	s->status_dirty = true;
	if (journal_run(s->journal, t->job.id, t->child.id, &e) < 0)
		log_warn("%s", e.msg);
}

static void find_start(struct sup *s, struct task *t)
{
	struct work_arg a = { s, &t->job, !t->fresh };
	struct err e = { 0 };

	if (child_start(&t->child, find_work, &a, deadline_in_ms(FIND_MS), &e) < 0) {
		t->next_try = deadline_in_ms(backoff_ms(t->tries++, 30000));
		return;
	}
	t->stage = TASK_FINDING;
}

static void found(struct sup *s, struct task *t, struct str out)
{
	struct err e = { 0 };

	switch (out.n ? out.p[0] : 'R') {
	case 'S':
		set_result(s, t, JOB_SUCCESS, (struct str){ 0 });
		break;
	case 'E':
		set_result(s, t, JOB_ERROR, (struct str){ out.p + 1, out.n - 1 });
		break;
	case 'P':
		if (!t->journaled) {
			tasks_claim_lost(s, t, "it is pending");
			break;
		}
		/* Not left to the next poll: our old claim may still be on its way, and then nobody would have the job. */
		tasks_log(t, "pending", "it is claimed again");
		t->fresh = false;
		t->tries = 0;
		tasks_claim_again(t, true, 0);
		t->next_try = (struct deadline){ 0 };
		break;
	case 'C':
		tasks_claimed(s, t);
		break;
	case 'U':
		tasks_log(t, "settled", "the Server needs no result");
		if (t->journaled && journal_drop(s->journal, t->job.id, &e) < 0)
			log_warn("%s", e.msg);
		drop(s, t);
		break;
	default:
		t->stage = TASK_UNKNOWN;
		t->next_try = deadline_in_ms(backoff_ms(t->tries++, 30000));
		break;
	}
}

static void ended(struct sup *s, struct task *t, int status, struct str out)
{
	struct buf text = { 0 };

	s->tasks.running--;
	if (out.n && out.p[0] == 'S') {
		set_result(s, t, JOB_SUCCESS, (struct str){ 0 });
	} else if (t->child.overdue) {
		buf_addf(&text, "the job did not end within job_timeout (%lld s) and was stopped",
		         (long long)(s->c->job_timeout_ms / 1000));
		if (out.n > 1)
			buf_addf(&text, ": %.*s", (int)out.n - 1, out.p + 1);
	} else if (s->phase != PHASE_RUN && t->child.told) {
		buf_adds(&text, "the runner was stopped while the job ran");
		if (out.n > 1)
			buf_addf(&text, ": %.*s", (int)out.n - 1, out.p + 1);
	} else if (out.n && out.p[0] == 'E') {
		buf_add(&text, out.p + 1, out.n - 1);
	} else {
		buf_adds(&text, "the job's process ended without a result: ");
		proc_describe_status(status, &text);
	}
	if (text.n) {
		set_result(s, t, JOB_ERROR, buf_str(&text));
		provset_recheck(s);
	}
	buf_free(&text);
	if (t->job.type == RES_RUNNER) {
		provset_load(s);
		s->heartbeat_at = (struct deadline){
			0
		}; /* before the report: whoever sees that looks */
		s->beat_last = false;
	}
}

bool tasks_reaped(struct sup *s, pid_t pid, int status)
{
	for (struct task *t = s->tasks.first; t; t = t->next) {
		struct str out;

		if (t->child.id.pid != pid)
			continue;
		child_ended(&t->child, status);
		out = buf_str(&t->child.out);
		if (t->stage == TASK_RUNNING)
			ended(s, t, status, out);
		else if (t->stage == TASK_ASK)
			asked(s, t, out);
		else
			found(s, t, out);
		return true;
	}
	return false;
}

void tasks_poll(struct sup *s, struct pollset *ps)
{
	for (struct task *t = s->tasks.first; t; t = t->next) {
		child_poll(&t->child, ps);
		if (t->stage == TASK_UNKNOWN)
			pollset_until(ps, t->next_try);
	}
}

void tasks_step(struct sup *s)
{
	for (struct task *t = s->tasks.first, *next; t; t = next) {
		next = t->next;
		child_step(&t->child);
		if (t->stage == TASK_UNKNOWN && s->phase == PHASE_RUN &&
		    deadline_passed(t->next_try))
			find_start(s, t);
		/* The next poll brings it as the Server has it then. */
		if (t->stage == TASK_ASK && t->text && !provset_unmet(s, t->text))
			drop(s, t);
	}
}

void tasks_stop_all(struct sup *s, int64_t grace_ms)
{
	for (struct task *t = s->tasks.first; t; t = t->next)
		child_tell(&t->child, grace_ms);
}

bool tasks_any_running(const struct sup *s)
{
	for (const struct task *t = s->tasks.first; t; t = t->next) {
		if (t->child.id.pid)
			return true;
	}
	return false;
}

void tasks_settle_claims(struct sup *s)
{
	struct task *t = s->tasks.first;

	while (t) {
		struct task *next = t->next;

		if (t->stage == TASK_CLAIM && t->ambiguous)
			fail(s, t, NOT_BEGUN);
		else if (t->stage == TASK_CLAIM)
			tasks_claim_lost(s, t, "the runner stops; the job stays pending");
		t = next;
	}
}

bool tasks_claiming(const struct sup *s)
{
	for (const struct task *t = s->tasks.first; t; t = t->next) {
		if (t->stage == TASK_CLAIMING)
			return true;
	}
	return false;
}

bool tasks_reporting(const struct sup *s)
{
	for (const struct task *t = s->tasks.first; t; t = t->next) {
		if ((t->stage == TASK_REPORT || t->stage == TASK_REPORTING) && !t->recheck)
			return true; /* a second sending is left to the next start */
	}
	return false;
}

void tasks_free(struct sup *s)
{
	while (s->tasks.first)
		drop(s, s->tasks.first);
}
