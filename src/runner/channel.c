/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sup.h: two connections to the Server. The first long-polls and makes the claim right behind the poll's
 * answer; the second heartbeats, reports, and repeats claims whose answer was lost. Each has one
 * request under way, a heartbeat that is due goes first, and after a failure the channel as a whole waits.
 */
#include "runner/sup.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS_MAX 10000 /* an answer; the Server calls us unresponsive after 30 s */
#define STATE_MS 15000
#define KEY_REFUSED_MS 60000
#define POLL_BODY_MAX (32u << 20)
#define CUT_POLL_MS \
	3000 /* a poll that lasted this long and was cut is an idle one (field case 17) */
#define HELD_POLL_MS 3000 /* pause when all that the poll brings has to stay pending */

int64_t backoff_ms(unsigned n, int64_t cap_ms)
{
	struct err e = { 0 };
	uint32_t r = 0;
	int64_t window = n < 16 ? (int64_t)500 << n : cap_ms;

	if (window > cap_ms)
		window = cap_ms;
	if (crypto_random(&r, sizeof(r), &e) < 0)
		r = (uint32_t)clock_wall_ms();
	return 50 + (int64_t)(r % (uint64_t)(window + 1));
}

void channels_open(struct sup *s)
{
	s->poll.api = api_new(s->link->settings);
	s->aux.api = api_new(s->link->settings);
}

static void chan_close(struct chan *ch)
{
	if (ch->api)
		http_abort(api_http(ch->api));
	http_reply_free(&ch->reply);
	api_request_free(&ch->req);
	buf_free(&ch->body);
	api_free(ch->api);
	*ch = (struct chan){ .not_before = ch->not_before, .failures = ch->failures };
}

/* A request that was under way: whether the Server got it is not known. */
static void chan_forget(struct chan *ch)
{
	if (ch->use == CHAN_CLAIM)
		tasks_claim_again(ch->task, true, 0);
	else if (ch->use == CHAN_REPORT)
		tasks_report_again(ch->task, 0);
	ch->use = CHAN_IDLE;
	ch->task = NULL;
}

void channels_close(struct sup *s)
{
	chan_forget(&s->poll);
	chan_forget(&s->aux);
	chan_close(&s->poll);
	chan_close(&s->aux);
}

void channels_drop(struct sup *s)
{
	struct chan *both[] = { &s->poll, &s->aux };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		chan_forget(both[i]);
		http_abort(api_http(both[i]->api));
		both[i]->not_before = (struct deadline){ 0 };
		both[i]->failures = 0;
	}
	s->heartbeat_at = (struct deadline){ 0 };
}

bool channels_busy(const struct sup *s)
{
	return s->aux.use != CHAN_IDLE;
}

void channels_hurry(struct sup *s)
{
	s->aux.not_before = (struct deadline){ 0 };
	s->aux.failures = 0;
	for (struct task *t = s->tasks.first; t; t = t->next) {
		if (t->stage == TASK_REPORT && !t->recheck) {
			t->next_try = (struct deadline){ 0 };
			t->tries = 0;
		}
	}
}

/* ---- health of the connection to the Server ---- */

static void health_good(struct sup *s)
{
	struct health *h = &s->health;
	int64_t now = clock_mono_ms();

	h->heartbeats++;
	h->last_ok_ms = now;
	h->key_refused = false;
	if (!h->ok) {
		log_info("the Server accepts our heartbeats");
		h->ok = true;
		h->changed_ms = now;
		h->last_error[0] = '\0';
		h->last_told_ms = 0;
		s->status_dirty = true;
		if (deadline_passed(s->presets_at) || s->presets_at.at_ms == INT64_MAX)
			s->presets_at = (struct deadline){ 0 };
	}
	health_touch(s);
}

static bool refuses_key(const struct err *e)
{
	return api_verdict(e) == API_KEY;
}

static void health_bad(struct sup *s, const struct err *e, bool heartbeat)
{
	struct health *h = &s->health;
	int64_t now = clock_mono_ms();
	bool news = (heartbeat && h->ok) || strcmp(h->last_error, e->msg) != 0;

	s->status_dirty = s->status_dirty || news;
	if (refuses_key(e)) /* whatever was asked: once a minute */
		news = h->last_told_ms == 0;
	if (heartbeat) {
		if (h->ok)
			h->changed_ms = now;
		h->ok = false;
	}
	if (news && (h->last_told_ms == 0 || now - h->last_told_ms >= 5000 ||
	             (heartbeat && h->changed_ms == now))) {
		log_warn("%s", e->msg);
		h->last_told_ms = now;
	} else if (now - h->last_told_ms >= 60000) {
		log_warn("%s", e->msg);
		h->last_told_ms = now;
	}
	snprintf(h->last_error, sizeof(h->last_error), "%s", e->msg);
	sup_ready_say(s, "%s", e->msg);
}

static void chan_failed(struct sup *s, struct chan *ch, const struct err *e)
{
	int64_t wait_ms = backoff_ms(ch->failures, 30000);

	if (ch->failures < 30)
		ch->failures++;
	if (ch->reply.retry_after_ms > wait_ms)
		wait_ms = ch->reply.retry_after_ms;
	if (refuses_key(e)) {
		if (!s->health.key_refused)
			s->health.last_told_ms =
				0; /* told at once, whatever was told just before */
		s->health.key_refused = true;
		wait_ms = KEY_REFUSED_MS;
	}
	ch->not_before = deadline_in_ms(wait_ms);
}

static void chan_good(struct chan *ch)
{
	ch->failures = 0;
	ch->not_before = (struct deadline){ 0 };
}

/* ---- starting ---- */

static void begin(struct sup *s, struct chan *ch, enum chan_use use, const char *method,
                  const char *path, bool json, int64_t ms)
{
	(void)s;
	http_reply_free(&ch->reply);
	ch->reply.retry_after_ms = -1;
	api_prepare(ch->api, &ch->req, method, path, buf_str(&ch->body), json);
	ch->req.http.follow = true;
	if (use == CHAN_POLL)
		ch->req.http.max_body = POLL_BODY_MAX;
	ch->use = use;
	ch->started_ms = clock_mono_ms();
	http_start(api_http(ch->api), &ch->req.http, &ch->reply, deadline_in_ms(ms));
}

static void start_poll(struct sup *s)
{
	struct buf path = { 0 };

	buf_addf(&path, "/runner/%s/jobs", s->c->id);
	buf_reset(&s->poll.body);
	begin(s, &s->poll, CHAN_POLL, "GET", buf_cstr(&path), true, s->c->poll_timeout_ms);
	buf_free(&path);
}

static void start_heartbeat(struct sup *s)
{
	struct buf path = { 0 };
	int64_t up_s = (clock_mono_ms() - s->start_ms) / 1000;
	int64_t ms = s->c->heartbeat_ms * 2 < HEARTBEAT_MS_MAX ? s->c->heartbeat_ms * 2
	                                                       : HEARTBEAT_MS_MAX;

	buf_addf(&path, "/runner/%s/metadata", s->c->id);
	buf_reset(&s->aux.body);
	api_heartbeat_body(&s->aux.body, up_s, (unsigned)s->tasks.running, buf_str(&s->provs.json));
	s->heartbeat_at = deadline_in_ms(s->c->heartbeat_ms);
	begin(s, &s->aux, CHAN_HEARTBEAT, "POST", buf_cstr(&path), false, ms < 2000 ? 2000 : ms);
	buf_free(&path);
}

static void start_state(struct sup *s, struct chan *ch, struct task *t, enum chan_use use)
{
	struct buf path = { 0 };

	buf_addf(&path, "/runner/%s/jobs/", s->c->id);
	buf_add_urlenc(&path, str_of(t->job.id));
	buf_adds(&path, "/state");
	buf_reset(&ch->body);
	api_job_state_body(&ch->body, use == CHAN_CLAIM ? JOB_RUNNING : t->result, t->text);
	ch->task = t;
	t->stage = use == CHAN_CLAIM ? TASK_CLAIMING : TASK_REPORTING;
	begin(s, ch, use, "POST", buf_cstr(&path), false, STATE_MS);
	buf_free(&path);
}

/* ---- ending ---- */

/* It comes with every poll, and nobody can answer it: said once a minute. */
static void bad_job(void *arg, const char *why)
{
	struct sup *s = arg;

	if (!deadline_passed(s->bad_job_again))
		return;
	log_warn("a job cannot be read and stays pending: %s", why);
	s->bad_job_again = deadline_in_ms(60000);
}

static void poll_answered(struct sup *s)
{
	struct chan *ch = &s->poll;
	struct job *jobs = NULL;
	struct err e = { 0 };
	struct str body = str_trim(buf_str(&ch->reply.body));
	size_t n = 0, taken = 0, pending = 0;
	int64_t took_ms = clock_mono_ms() - ch->started_ms;

	if (body.n && api_jobs_parse(body, &jobs, &n, bad_job, s, &e) < 0) {
		err_wrap(&e, "GET /runner/%s/jobs", s->c->id);
		health_bad(s, &e, false);
		chan_failed(s, ch, &e);
		return;
	}
	chan_good(ch);
	s->health.polls++;
	s->health.last_poll_ok_ms = clock_mono_ms();
	for (size_t i = 0; i < n; i++) {
		if (jobs[i].state == JOB_PENDING) {
			pending++;
			taken += tasks_offer(s, &jobs[i]);
		}
		job_free(&jobs[i]);
	}
	free(jobs);
	if (pending > 0 && taken == 0)
		ch->not_before = deadline_in_ms(HELD_POLL_MS);
	/* A proxy that answers "nothing" at once must not make us spin. */
	s->idle_polls = pending == 0 && took_ms < 1000 ? s->idle_polls + 1 : 0;
	if (s->idle_polls > 1)
		ch->not_before = deadline_in_ms(backoff_ms(s->idle_polls - 2, 5000));
}

static void poll_failed(struct sup *s, const struct err *e)
{
	struct chan *ch = &s->poll;
	int64_t took_ms = clock_mono_ms() - ch->started_ms;
	bool cut = e->kind == ERR_CLOSED || (e->kind == ERR_HTTP && api_verdict(e) == API_AGAIN);

	if ((cut && took_ms >= CUT_POLL_MS) ||
	    (e->kind == ERR_TIMEOUT && took_ms >= s->c->poll_timeout_ms - 1000)) {
		log_debug("%s; polling again", e->msg);
		ch->failures = 0;
		ch->not_before = deadline_in_ms(backoff_ms(0, 500));
		if (ch->reply.retry_after_ms > 0)
			ch->not_before = deadline_in_ms(ch->reply.retry_after_ms);
		return;
	}
	chan_failed(s, ch, e);
	if (cut && ch->failures <= 3)
		log_info("%s; polling again", e->msg);
	else
		health_bad(s, e, false);
}

/* What a person can do, where the answer tells. */
static void add_remedy(struct sup *s, struct err *e)
{
	switch (api_verdict(e)) {
	case API_MISSING:
		err_wrap(
			e,
			"the Server has no runner %s (any more); create one and configure this host for it",
			s->c->id);
		break;
	case API_NO_ROUTE:
		err_wrap(e, "the Server has no such call; is the path in the URL %s right?",
		         s->c->url);
		break;
	case API_AGAIN:
		if (e->kind == ERR_HTTP && e->code < 500)
			err_wrap(
				e,
				"something between answers for the Server; is the URL %s right, and its proxy?",
				s->c->url);
		break;
	default:
		break;
	}
}

static void heartbeat_failed(struct sup *s, struct err *e)
{
	add_remedy(s, e);
	/* The back-off alone says when: with the interval as the least, runners that were started together would come
	 * back together (field case 20). */
	if (s->aux.answered && !refuses_key(e) && s->aux.reply.retry_after_ms <= 0) {
		/* An answer: the connection is good, so results need not wait. */
		s->heartbeat_at = deadline_in_ms(backoff_ms(s->aux.failures, 30000));
		s->aux.failures += s->aux.failures < 30;
	} else {
		chan_failed(s, &s->aux, e);
		s->heartbeat_at = s->aux.not_before;
	}
	health_bad(s, e, true);
}

/* A request that fails for days is told of at the 1st, 2nd, 4th, 8th … time. */
static void tell(const struct task *t, const char *what, const struct err *e)
{
	if (((t->tries + 1) & t->tries) == 0)
		log_warn("%s job %s: %s", what, t->job.id, e->msg);
}

/* A claim that nobody of the Server refused may have had its effect. A 4xx in between has not passed it on, most
 * likely: where another runner may have been faster (only builds belong to nobody), that counts. */
static bool in_doubt(const struct chan *ch, const struct task *t, const struct err *e)
{
	if (!http_request_sent(api_http(ch->api)))
		return false;
	return !ch->answered || e->code >= 500 ||
	       (api_verdict(e) == API_AGAIN && t->job.type != RES_BUILD);
}

static void claim_ended(struct sup *s, struct chan *ch, struct task *t, const struct err *e)
{
	enum api_verdict v = api_verdict(e);

	if (http_request_repeated(
		    api_http(ch->api))) /* the first one may have had its effect, or have it yet */
		t->ambiguous = t->doubtful = true;
	if (v == API_DONE || (v == API_ALREADY && t->ambiguous)) {
		/* After a claim whose answer was lost it is our own; otherwise somebody was faster. */
		chan_good(ch);
		tasks_claimed(s, t);
		return;
	}
	if ((v == API_ALREADY || v == API_MISSING || v == API_NEVER) && !t->ambiguous) {
		chan_good(ch);
		tasks_claim_lost(s, t, e->msg);
		/* Where the list goes on showing it, it is not asked for at once. */
		s->poll.not_before = deadline_in_ms(HELD_POLL_MS);
		return;
	}
	tell(t, "claim", e);
	/* The Server's own refusal of one job is no reason to let the others wait. */
	if (v == API_AGAIN || v == API_KEY || ch->reply.retry_after_ms > 0)
		chan_failed(s, ch, e);
	else
		chan_good(ch);
	tasks_claim_again(t, in_doubt(ch, t, e), ch->reply.retry_after_ms);
}

static void report_ended(struct sup *s, struct chan *ch, struct task *t, const struct err *e)
{
	enum api_verdict v = api_verdict(e);

	if (v == API_DONE || v == API_ALREADY) {
		chan_good(ch);
		tasks_reported(s, t);
		return;
	}
	tell(t, "report", e);
	if (v == API_MISSING || v == API_NEVER) {
		chan_good(ch);
		tasks_report_refused(s, t, e->msg);
		return;
	}
	if (!ch->answered || v == API_KEY || ch->reply.retry_after_ms > 0)
		chan_failed(s, ch, e);
	tasks_report_again(t, ch->reply.retry_after_ms);
}

static void ended(struct sup *s, struct chan *ch, bool answered, struct err *e)
{
	enum chan_use use = ch->use;
	struct task *t = ch->task;
	char context[160];

	if (answered) {
		snprintf(context, sizeof(context), "%s %s", ch->req.http.method,
		         ch->req.http.target);
		api_check(ch->api, &ch->reply, context, e);
	}
	ch->answered = answered && e->kind != ERR_PARSE;
	ch->use = CHAN_IDLE;
	ch->task = NULL;
	switch (use) {
	case CHAN_POLL:
		if (e->kind == ERR_NONE)
			poll_answered(s);
		else
			poll_failed(s, e);
		break;
	case CHAN_HEARTBEAT:
		if (e->kind == ERR_NONE) {
			chan_good(ch);
			health_good(s);
		} else {
			heartbeat_failed(s, e);
		}
		break;
	case CHAN_CLAIM:
		claim_ended(s, ch, t, e);
		break;
	case CHAN_REPORT:
		report_ended(s, ch, t, e);
		break;
	default:
		break;
	}
	http_reply_free(&ch->reply); /* a large poll answer is not kept while idle */
}

/* ---- loop ---- */

/* Compiled-in providers can be named at once, so the first heartbeat waits for nothing; jobs are asked for when the first
 * requirement check has ended, at the latest a second after the start. */
static bool jobs_ready(const struct sup *s)
{
	return provset_any_checked(s) || clock_mono_ms() - s->start_ms >= 1000;
}

static void decide_aux(struct sup *s)
{
	struct chan *ch = &s->aux;
	struct task *claim = NULL, *report = NULL;
	bool beat = s->phase != PHASE_FLUSH && deadline_passed(s->heartbeat_at);

	if (ch->use != CHAN_IDLE || !deadline_passed(ch->not_before))
		return;
	if (!s->health.key_refused) { /* else they wait until a heartbeat is accepted again */
		claim = s->phase == PHASE_RUN ? tasks_next_claim(s, true) : NULL;
		report = tasks_next_report(s);
	}
	/* Heartbeats that fail or take longer than their interval must not hold up results for ever. */
	if (beat && !(s->beat_last && (claim || report))) {
		s->beat_last = true;
		start_heartbeat(s);
		return;
	}
	s->beat_last = false;
	if (claim)
		start_state(s, ch, claim, CHAN_CLAIM);
	else if (report)
		start_state(s, ch, report, CHAN_REPORT);
}

static void decide_poll(struct sup *s)
{
	struct chan *ch = &s->poll;
	struct task *t;

	if (ch->use != CHAN_IDLE || s->phase != PHASE_RUN)
		return;
	t = tasks_next_claim(s, false);
	if (t) {
		start_state(s, ch, t, CHAN_CLAIM);
		return;
	}
	if (!deadline_passed(ch->not_before) || s->health.key_refused || !jobs_ready(s) ||
	    tasks_room(s) == 0)
		return;
	start_poll(s);
}

static void chan_step(struct sup *s, struct chan *ch)
{
	struct err e = { 0 };
	enum http_progress p;

	if (ch->use == CHAN_IDLE)
		return;
	p = http_step(api_http(ch->api), &e);
	if (p == HTTP_DONE)
		ended(s, ch, true, &e);
	else if (p == HTTP_FAILED)
		ended(s, ch, false, &e);
}

void channels_poll(struct sup *s, struct pollset *ps)
{
	struct chan *both[] = { &s->poll, &s->aux };

	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		if (both[i]->use != CHAN_IDLE)
			http_poll(api_http(both[i]->api), ps);
	}
	if (s->aux.use == CHAN_IDLE && s->phase != PHASE_FLUSH) {
		struct deadline d = s->heartbeat_at;

		pollset_until(ps, d.at_ms > s->aux.not_before.at_ms ? d : s->aux.not_before);
	}
	if (s->poll.use == CHAN_IDLE && s->phase == PHASE_RUN && !s->health.key_refused &&
	    tasks_room(s) > 0) {
		struct deadline d = s->poll.not_before;

		if (!jobs_ready(s))
			d = (struct deadline){ s->start_ms + 1000 };
		pollset_until(ps, d);
	}
	for (const struct task *t = s->tasks.first; t; t = t->next) {
		if (s->aux.use != CHAN_IDLE || s->health.key_refused)
			break;
		if (t->stage == TASK_REPORT || (t->stage == TASK_CLAIM && t->tries > 0))
			pollset_until(ps, t->next_try.at_ms > s->aux.not_before.at_ms
			                          ? t->next_try
			                          : s->aux.not_before);
	}
}

void channels_step(struct sup *s)
{
	chan_step(s, &s->poll);
	chan_step(s, &s->aux);
	decide_poll(s);
	decide_aux(s);
	/* What was just started may go out at once. */
	chan_step(s, &s->poll);
	chan_step(s, &s->aux);
}
