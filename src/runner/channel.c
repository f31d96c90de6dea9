/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See channel.h: two connections to the Server. The first long-polls and makes the claim right behind the poll's
 * answer; the second heartbeats, reports, and repeats claims whose answer was lost. Each has one
 * request under way, a heartbeat that is due goes first, and after a failure the channel as a whole waits.
 * While more claims or results are due than these two can carry, others help; they close when they had nothing to do.
 */
#include "runner/channel.h"

#include "base/log.h"
#include "base/mem.h"
#include "runner/health.h"
#include "runner/provset.h"
#include "runner/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_MS_MAX 10000 /* an answer; the Server calls us unresponsive after 30 s */
#define IDLE_BEATS 6
#define STATE_MS 15000
#define CONFIG_MS 2000 /* heartbeats, and claims that were answered, wait for it */
#define KEY_REFUSED_MS 60000
#define POLL_BODY_MAX (32u << 20)
#define CUT_POLL_MS \
	3000 /* a poll that lasted this long and was cut is an idle one (field case 17) */
#define HELD_POLL_MS 3000 /* pause when all that the poll brings has to stay pending */

#define TAKEN_MS 1000 /* a Server that is broken says so sooner */
#define RESPONSIVE_MS 30000
#define BURST 2
#define BURST_IDLE_MS 2000

enum chan_use { CHAN_IDLE, CHAN_POLL, CHAN_CLAIM, CHAN_HEARTBEAT, CHAN_REPORT, CHAN_CONFIG };

struct chan {
	struct api *api;
	enum chan_use use;
	struct task *task;
	struct api_request req;
	struct http_reply reply;
	struct buf body;
	int64_t started_ms;
	struct deadline not_before;
	unsigned failures; /* in a row */
	bool answered;     /* the last request got an answer, whoever's */
	bool done;         /* this one has its answer, which is not looked at yet */
};

struct channels {
	struct chan poll, aux, burst[BURST];
	struct deadline heartbeat_at;
	bool beat_last;                /* the aux channel's last request was a heartbeat */
	unsigned idle_polls;           /* answered empty at once, in a row */
	struct deadline bad_job_again; /* when unreadable jobs are told of again */
};

#define CHANS (2 + BURST)

static struct chan *chan_at(const struct sup *s, size_t i)
{
	struct channels *c = s->channels;

	return i == 0 ? &c->poll : i == 1 ? &c->aux : &c->burst[i - 2];
}

void channels_open(struct sup *s)
{
	if (!s->channels)
		s->channels = mem_alloc(sizeof(*s->channels));
	for (size_t i = 0; i < CHANS; i++)
		chan_at(s, i)->api = api_new(s->link->settings);
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
static void chan_forget(struct sup *s, struct chan *ch)
{
	const struct err cut = { .kind = ERR_CLOSED, .msg = "the connection was given up" };
	const struct task_answer a = { .e = &cut, .sent = true };

	if (ch->use == CHAN_CLAIM || ch->use == CHAN_REPORT)
		tasks_answered(s, ch->task, &a);
	ch->use = CHAN_IDLE;
	ch->task = NULL;
}

void channels_close(struct sup *s)
{
	for (size_t i = 0; i < CHANS; i++) {
		chan_forget(s, chan_at(s, i));
		chan_close(chan_at(s, i));
	}
}

void channels_free(struct sup *s)
{
	if (!s->channels)
		return;
	channels_close(s);
	servconf_free(&s->servconf);
	free(s->channels);
	s->channels = NULL;
}

void channels_drop(struct sup *s)
{
	for (size_t i = 0; i < CHANS; i++) {
		struct chan *ch = chan_at(s, i);

		chan_forget(s, ch);
		http_abort(api_http(ch->api));
		ch->not_before = (struct deadline){ 0 };
		ch->failures = 0;
	}
	s->channels->heartbeat_at = (struct deadline){ 0 };
	servconf_free(&s->servconf);
}

bool channels_busy(const struct sup *s)
{
	for (size_t i = 1; i < CHANS; i++) {
		if (chan_at(s, i)->use != CHAN_IDLE)
			return true;
	}
	return false;
}

void channels_hurry(struct sup *s)
{
	for (size_t i = 1; i < CHANS; i++) {
		chan_at(s, i)->not_before = (struct deadline){ 0 };
		chan_at(s, i)->failures = 0;
	}
	tasks_hurry(s);
}

void channels_beat_now(struct sup *s)
{
	s->channels->heartbeat_at = (struct deadline){ 0 };
	s->channels->beat_last = false;
}

void channels_stop_polling(struct sup *s)
{
	struct chan *ch = &s->channels->poll;

	if (ch->use != CHAN_POLL)
		return;
	http_abort(api_http(ch->api));
	ch->use = CHAN_IDLE;
}

bool channels_poll_well(const struct sup *s)
{
	const struct chan *ch = &s->channels->poll;
	int64_t now = clock_mono_ms(), last = health_last_poll_ms(s);
	int64_t since = last ? last : s->start_ms;

	if (tasks_room(s) == 0 || ch->use == CHAN_IDLE)
		return ch->failures == 0 || now - since < RESPONSIVE_MS;
	/* After an outage the first poll may wait for a minute: that it was taken is a good sign. */
	if (ch->use == CHAN_POLL && http_request_sent(api_http(ch->api)) &&
	    now - ch->started_ms >= TAKEN_MS && now - ch->started_ms < s->c->poll_timeout_ms)
		return true;
	return now - since < 2 * s->c->poll_timeout_ms && ch->failures < 3;
}

struct http_stats channels_stats(const struct sup *s)
{
	struct http_stats sum = { 0 };

	for (size_t i = 0; i < CHANS; i++) {
		struct http_stats one = http_client_stats(api_http(chan_at(s, i)->api));

		sum.connects += one.connects;
		sum.requests += one.requests;
		sum.bytes_in += one.bytes_in;
		sum.bytes_out += one.bytes_out;
	}
	return sum;
}

const struct api *channels_api(const struct sup *s)
{
	return s->channels->poll.api;
}

/* ---- what came of a request ---- */

static void chan_failed(struct chan *ch, const struct err *e)
{
	int64_t wait_ms = backoff_ms(ch->failures, 30000);

	if (ch->failures < 30)
		ch->failures++;
	if (ch->reply.retry_after_ms > wait_ms)
		wait_ms = ch->reply.retry_after_ms;
	if (api_verdict(e) == API_KEY)
		wait_ms = KEY_REFUSED_MS;
	ch->not_before = deadline_in_ms(wait_ms);
}

static void chan_good(struct chan *ch)
{
	ch->failures = 0;
	ch->not_before = (struct deadline){ 0 };
}

/* ---- starting ---- */

static void begin(struct chan *ch, enum chan_use use, const char *method, const char *path,
                  bool json, int64_t ms)
{
	http_reply_free(&ch->reply);
	ch->reply.retry_after_ms = -1;
	api_prepare(ch->api, &ch->req, method, path, buf_str(&ch->body), json);
	ch->req.http.follow = true;
	/* Heartbeats and states of jobs: said again, they are what they were ("already in the specified state"). */
	ch->req.http.idempotent = true;
	if (use == CHAN_POLL)
		ch->req.http.max_body = POLL_BODY_MAX;
	ch->use = use;
	ch->done = false;
	ch->started_ms = clock_mono_ms();
	http_start(api_http(ch->api), &ch->req.http, &ch->reply, deadline_in_ms(ms));
}

static void start_poll(struct sup *s)
{
	struct buf path = { 0 };

	buf_addf(&path, "/runner/%s/jobs", s->c->id);
	buf_reset(&s->channels->poll.body);
	begin(&s->channels->poll, CHAN_POLL, "GET", buf_cstr(&path), true, s->c->poll_timeout_ms);
	buf_free(&path);
}

/* Whoever was idle for a while beats half as often; two may still get lost before the Server calls us unresponsive. */
static int64_t beat_ms(const struct sup *s)
{
	int64_t ms = s->c->heartbeat_ms;
	bool idle = clock_mono_ms() - s->idle_since_ms >= IDLE_BEATS * ms;

	return idle && 2 * ms <= HEARTBEAT_MS_MAX ? 2 * ms : ms;
}

static void start_heartbeat(struct sup *s)
{
	struct buf path = { 0 };
	int64_t up_s = (clock_mono_ms() - s->start_ms) / 1000;
	int64_t ms = s->c->heartbeat_ms * 2 < HEARTBEAT_MS_MAX ? s->c->heartbeat_ms * 2
	                                                       : HEARTBEAT_MS_MAX;

	buf_addf(&path, "/runner/%s/metadata", s->c->id);
	buf_reset(&s->channels->aux.body);
	api_heartbeat_body(&s->channels->aux.body, up_s, (unsigned)tasks_counts(s).running,
	                   provset_manifests(s));
	s->channels->heartbeat_at = deadline_in_ms(beat_ms(s));
	begin(&s->channels->aux, CHAN_HEARTBEAT, "POST", buf_cstr(&path), false,
	      ms < 2000 ? 2000 : ms);
	buf_free(&path);
}

static void start_state(struct sup *s, struct chan *ch, struct task *t, enum chan_use use)
{
	struct buf path = { 0 };

	buf_addf(&path, "/runner/%s/jobs/", s->c->id);
	buf_reset(&ch->body);
	buf_add_urlenc(&path, str_of(tasks_send(s, t, &ch->body)));
	buf_adds(&path, "/state");
	ch->task = t;
	begin(ch, use, "POST", buf_cstr(&path), false, STATE_MS);
	buf_free(&path);
}

static void start_config(struct sup *s)
{
	buf_reset(&s->channels->aux.body);
	servconf_asked(&s->servconf);
	begin(&s->channels->aux, CHAN_CONFIG, "GET", "/server/config", true, CONFIG_MS);
}

/* Its job is not begun before the configuration is here that was asked for beside the claim, or else it would ask too. */
static bool is_held(const struct sup *s, const struct chan *ch)
{
	return ch->use == CHAN_CLAIM && s->channels->aux.use == CHAN_CONFIG;
}

/* ---- ending ---- */

/* It comes with every poll, and nobody can answer it: said once a minute. */
static void bad_job(void *arg, const char *why)
{
	struct sup *s = arg;

	if (!deadline_passed(s->channels->bad_job_again))
		return;
	log_warn("a job cannot be read and stays pending: %s", why);
	s->channels->bad_job_again = deadline_in_ms(60000);
}

static void poll_answered(struct sup *s)
{
	struct chan *ch = &s->channels->poll;
	struct job *jobs = NULL;
	struct err e = { 0 };
	struct str body = str_trim(buf_str(&ch->reply.body));
	size_t n = 0, taken = 0, pending = 0;
	int64_t took_ms = clock_mono_ms() - ch->started_ms;

	if (body.n && api_jobs_parse(body, &jobs, &n, bad_job, s, &e) < 0) {
		err_wrap(&e, "GET /runner/%s/jobs", s->c->id);
		health_bad(s, &e, true, false);
		chan_failed(ch, &e);
		return;
	}
	chan_good(ch);
	health_polled(s);
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
	s->channels->idle_polls = pending == 0 && took_ms < 1000 ? s->channels->idle_polls + 1 : 0;
	if (s->channels->idle_polls > 1)
		ch->not_before = deadline_in_ms(backoff_ms(s->channels->idle_polls - 2, 5000));
}

static void poll_failed(struct sup *s, const struct err *e)
{
	struct chan *ch = &s->channels->poll;
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
	chan_failed(ch, e);
	if (cut && ch->failures <= 3)
		log_info("%s; polling again", e->msg);
	else
		health_bad(s, e, ch->answered, false);
}

static void heartbeat_failed(struct sup *s, const struct err *e)
{
	/* The back-off alone says when: with the interval as the least, runners that were started together would come
	 * back together (field case 20). */
	if (s->channels->aux.answered && api_verdict(e) != API_KEY &&
	    s->channels->aux.reply.retry_after_ms <= 0) {
		/* An answer: the connection is good, so results need not wait. */
		s->channels->heartbeat_at = deadline_in_ms(
			backoff_ms(s->channels->aux.failures, 30000));
		s->channels->aux.failures += s->channels->aux.failures < 30;
	} else {
		chan_failed(&s->channels->aux, e);
		s->channels->heartbeat_at = s->channels->aux.not_before;
	}
	health_bad(s, e, s->channels->aux.answered, true);
}

static void task_ended(struct sup *s, struct chan *ch, struct task *t, const struct err *e)
{
	const struct task_answer a = {
		.e = e,
		.answered = ch->answered,
		.sent = http_request_sent(api_http(ch->api)),
		.repeated = http_request_repeated(api_http(ch->api)),
		.retry_after_ms = ch->reply.retry_after_ms,
	};

	switch (tasks_answered(s, t, &a)) {
	case TASK_WAITS:
		chan_failed(ch, e);
		if (api_verdict(e) == API_KEY)
			health_bad(s, e, true, false);
		break;
	default:
		chan_good(ch);
		break;
	}
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
	case CHAN_REPORT:
		task_ended(s, ch, t, e);
		break;
	case CHAN_CONFIG:
		if (e->kind == ERR_NONE)
			servconf_take(&s->servconf, buf_str(&ch->reply.body));
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
	struct chan *ch = &s->channels->aux;
	struct task *claim = NULL, *report = NULL;
	bool beat = s->phase != PHASE_FLUSH && deadline_passed(s->channels->heartbeat_at);

	if (ch->use != CHAN_IDLE || !deadline_passed(ch->not_before))
		return;
	if (s->phase == PHASE_RUN && !health_key_refused(s) && servconf_is_due(&s->servconf) &&
	    tasks_ask_config(s)) {
		start_config(s);
		return;
	}
	if (!health_key_refused(s)) { /* else they wait until a heartbeat is accepted again */
		claim = s->phase == PHASE_RUN ? tasks_next(s, TASK_REPEATED_CLAIM) : NULL;
		report = tasks_next(s, TASK_RESULT);
	}
	/* Heartbeats that fail or take longer than their interval must not hold up results for ever. */
	if (beat && !(s->channels->beat_last && (claim || report))) {
		s->channels->beat_last = true;
		start_heartbeat(s);
		return;
	}
	s->channels->beat_last = false;
	if (claim)
		start_state(s, ch, claim, CHAN_CLAIM);
	else if (report)
		start_state(s, ch, report, CHAN_REPORT);
}

static void decide_poll(struct sup *s)
{
	struct chan *ch = &s->channels->poll;
	struct task *t;

	if (ch->use != CHAN_IDLE || s->phase != PHASE_RUN)
		return;
	t = tasks_next(s, TASK_FIRST_CLAIM);
	if (t) {
		start_state(s, ch, t, CHAN_CLAIM);
		return;
	}
	if (!deadline_passed(ch->not_before) || health_key_refused(s) || !jobs_ready(s) ||
	    tasks_room(s) == 0)
		return;
	start_poll(s);
}

/* Claims and results that the other two have no hand for. A connection of these that fails is not tried before its
 * back-off; what it carried is due again by its own. */
static void decide_burst(struct sup *s, struct chan *ch)
{
	struct task *t = NULL;
	bool claims = s->phase == PHASE_RUN && s->channels->poll.use == CHAN_CLAIM;

	if (ch->use != CHAN_IDLE || !deadline_passed(ch->not_before) || health_key_refused(s))
		return;
	if (claims)
		t = tasks_next(s, TASK_FIRST_CLAIM);
	if (t) {
		start_state(s, ch, t, CHAN_CLAIM);
		return;
	}
	/* A heartbeat that was asked for goes before a result (channels_beat_now). */
	if ((s->channels->aux.use == CHAN_REPORT || s->channels->aux.use == CHAN_CLAIM) &&
	    (s->phase == PHASE_FLUSH || s->channels->heartbeat_at.at_ms))
		t = tasks_next(s, TASK_RESULT);
	if (t)
		start_state(s, ch, t, CHAN_REPORT);
	else if (clock_mono_ms() - ch->started_ms >= BURST_IDLE_MS)
		http_abort(api_http(ch->api));
}

static void chan_step(struct sup *s, struct chan *ch)
{
	struct err e = { 0 };
	enum http_progress p;

	if (ch->use == CHAN_IDLE ||
	    (!ch->done && s->waited && http_is_quiet(api_http(ch->api), s->waited)))
		return;
	p = ch->done ? HTTP_DONE : http_step(api_http(ch->api), &e);
	ch->done = p == HTTP_DONE;
	if (ch->done && !is_held(s, ch))
		ended(s, ch, true, &e);
	else if (p == HTTP_FAILED)
		ended(s, ch, false, &e);
}

void channels_poll(struct sup *s, struct pollset *ps)
{
	for (size_t i = 0; i < CHANS; i++) {
		struct chan *ch = chan_at(s, i);

		if (ch->use != CHAN_IDLE && !ch->done)
			http_poll(api_http(ch->api), ps);
	}
	if (s->channels->aux.use == CHAN_IDLE && s->phase != PHASE_FLUSH) {
		struct deadline d = s->channels->heartbeat_at;

		pollset_until(ps, d.at_ms > s->channels->aux.not_before.at_ms
		                          ? d
		                          : s->channels->aux.not_before);
	}
	if (s->channels->poll.use == CHAN_IDLE && s->phase == PHASE_RUN && !health_key_refused(s) &&
	    tasks_room(s) > 0) {
		struct deadline d = s->channels->poll.not_before;

		if (!jobs_ready(s))
			d = (struct deadline){ s->start_ms + 1000 };
		pollset_until(ps, d);
	}
	if (s->channels->aux.use == CHAN_IDLE && !health_key_refused(s)) {
		struct deadline d = tasks_next_due(s);

		pollset_until(ps, d.at_ms > s->channels->aux.not_before.at_ms
		                          ? d
		                          : s->channels->aux.not_before);
	}
}

void channels_step(struct sup *s)
{
	for (size_t i = 0; i < CHANS; i++)
		chan_step(s, chan_at(s, i));
	tasks_sync(s);
	decide_poll(s);
	decide_aux(s);
	for (size_t i = 2; i < CHANS; i++)
		decide_burst(s, chan_at(s, i));
	/* What was just started may go out at once; what claims are held for comes before them. */
	for (size_t i = 1; i <= CHANS; i++)
		chan_step(s, chan_at(s, i % CHANS));
}
