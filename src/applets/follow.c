/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following the job that does what was asked for: the log of its resource comes by a WebSocket, its state is asked
 * for, both in one loop that Ctrl-C ends at once. The job does not need us.
 */
#include "applets/verbs.h"

#include "api/logentry.h"
#include "base/file.h"
#include "base/log.h"
#include "host/logview.h"
#include "net/ws.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ASK_FIRST_MS 50
#define ASK_MAX_MS 1000
#define ASK_CALL_MS 10000
#define AWAY_MS 60000 /* so long without an answer, and nobody can say what became of the job */
#define WAITS_MS 4000 /* so long nobody takes the job, and it is said */
#define QUIET_MS 150  /* after the end: no line for so long, and the log is whole */
#define QUIET_MAX_MS 1500
#define LOG_CONNECT_MS 15000
#define LOG_AGAIN_MS 1000
#define LOG_TRIES 3
#define NORMAL_CLOSE 1000

struct following {
	const struct follow *f;
	struct api *api;
	int signals;
	/* the log */
	struct ws_client *ws;
	struct logview view;
	struct buf path, out;
	uint64_t got, skip;
	struct deadline log_again;
	bool log_open;
	int log_failures;
	/* the job */
	struct buf jobs;
	struct api_request request;
	struct http_reply reply;
	bool asking;
	int64_t ask_ms;
	struct deadline ask, answered, waits, quiet, quiet_max, end;
	char id[129];
	enum job_state state;
	char *error;
};

static void log_path(const struct follow *f, bool go_on, struct buf *b)
{
	buf_addf(b, "/log/%s/", f->kind);
	buf_add_urlenc(b, str_of(f->id));
	buf_addf(b, "?retry=false%s", go_on ? "&follow=true" : "");
}

static bool is_entry(struct str payload)
{
	struct log_entry en = { 0 };
	bool is = log_entry_parse(payload, &en); /* its end comes as an empty one */

	log_entry_free(&en);
	return is;
}

static void count(void *arg, struct str payload)
{
	struct follow *f = arg;

	f->skip += is_entry(payload);
}

void follow_mark(struct follow *f, struct api *a)
{
	struct deadline d = deadline_in_ms(LOG_CONNECT_MS);
	struct pollset ps = { 0 };
	struct buf path = { 0 };
	struct ws_client *ws;
	struct err ignored = { 0 };

	log_path(f, false, &path);
	ws = api_log_socket(a, buf_cstr(&path), d);
	while (ws_client_step(ws, count, f, &ignored) != WS_CLOSED && !deadline_passed(d)) {
		pollset_reset(&ps);
		ws_client_poll(ws, &ps);
		pollset_until(&ps, d);
		if (pollset_wait(&ps, &ignored) < 0)
			break;
	}
	f->blind = ws_client_close_code(ws) != NORMAL_CLOSE;
	pollset_free(&ps);
	ws_client_free(ws);
	buf_free(&path);
}

static void on_message(void *arg, struct str payload)
{
	struct following *following = arg;

	if (!is_entry(payload))
		return;
	following->quiet = deadline_in_ms(QUIET_MS);
	if (++following->got > following->skip)
		logview_add(&following->view, payload, &following->out);
}

static void write_out(struct following *following)
{
	struct err ignored = { 0 };

	if (following->out.n)
		(void)file_write_all(STDERR_FILENO, buf_str(&following->out), "standard error",
		                     &ignored);
	buf_reset(&following->out);
}

static void say(struct following *following, const char *text)
{
	if (following->view.mid_line)
		buf_addc(&following->out, '\n');
	following->view.mid_line = following->view.bar = false;
	buf_addf(&following->out, "%s\n", text);
	write_out(following);
}

/* A log that breaks off is opened again, and told from its beginning. */
static void step_log(struct following *following)
{
	struct err why = { 0 };
	enum ws_status status;

	if (following->f->blind || following->log_failures >= LOG_TRIES ||
	    !deadline_passed(following->log_again))
		return;
	if (!following->ws) {
		following->ws = api_log_socket(following->api, buf_cstr(&following->path),
		                               deadline_in_ms(LOG_CONNECT_MS));
		following->skip = following->got > following->skip ? following->got
		                                                   : following->skip;
		following->got = 0;
		following->log_open = false;
	}
	status = ws_client_step(following->ws, on_message, following, &why);
	if (status == WS_OPEN && !following->log_open) {
		following->log_open = true;
		following->quiet = deadline_in_ms(QUIET_MS);
	}
	if (status == WS_CLOSED) {
		following->log_failures = following->got ? 1 : following->log_failures + 1;
		ws_client_free(following->ws);
		following->ws = NULL;
		following->log_again = deadline_in_ms(LOG_AGAIN_MS);
		if (following->log_failures == LOG_TRIES) {
			struct buf text = { 0 };

			buf_addf(&text, "the log cannot be read: %s", why.msg);
			say(following, buf_cstr(&text));
			buf_free(&text);
		}
	}
	write_out(following);
}

static bool has_ended(const struct following *following)
{
	return following->state == JOB_SUCCESS || following->state == JOB_ERROR;
}

static void take_answer(struct following *following)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(buf_str(&following->reply.body), HTTP_BODY_MAX, &e);
	struct job_view now;

	if (doc && api_job_last(json_root(doc), following->f->kind, following->f->id, &now)) {
		if (!*following->id || strcmp(following->id, now.id) == 0) {
			memcpy(following->id, now.id, sizeof(following->id));
			following->state = now.state;
			free(following->error);
			following->error = now.error;
			now.error = NULL;
		}
		free(now.error);
	}
	json_doc_free(doc);
}

/* One question at a time, less and less often. 0; -1 when the Server will never answer it, or has been away too long. */
static int step_job(struct following *following, struct err *e)
{
	enum http_progress p;
	struct err why = { 0 };

	if (!following->asking) {
		if (has_ended(following) || !deadline_passed(following->ask))
			return 0;
		api_prepare(following->api, &following->request, "GET", buf_cstr(&following->jobs),
		            (struct str){ 0 }, true);
		http_start(api_http(following->api), &following->request.http, &following->reply,
		           deadline_in_ms(ASK_CALL_MS));
		following->asking = true;
	}
	p = http_step(api_http(following->api), &why);
	if (p == HTTP_PENDING)
		return 0;
	if (p == HTTP_DONE && api_check(following->api, &following->reply, "GET /job", &why) == 0) {
		take_answer(following);
		following->answered = deadline_in_ms(AWAY_MS);
		err_clear(&why);
	}
	http_reply_free(&following->reply);
	following->asking = false;
	following->ask = deadline_in_ms(following->ask_ms);
	following->ask_ms = following->ask_ms * 3 / 2 < ASK_MAX_MS ? following->ask_ms * 3 / 2
	                                                           : ASK_MAX_MS;
	if (has_ended(following)) {
		following->quiet = deadline_in_ms(QUIET_MS);
		following->quiet_max = deadline_in_ms(QUIET_MAX_MS);
	}
	if (why.kind && (api_verdict(&why) == API_KEY || deadline_passed(following->answered))) {
		*e = why;
		return -1;
	}
	return 0;
}

static bool interrupted(const struct following *following)
{
	struct signalfd_siginfo si;

	return read(following->signals, &si, sizeof(si)) == (ssize_t)sizeof(si);
}

/* When the log of a job that has ended counts as whole. */
static struct deadline told(const struct following *following)
{
	if (following->f->blind || following->log_failures >= LOG_TRIES)
		return DEADLINE_PAST;
	return following->log_open ? deadline_min(following->quiet, following->quiet_max)
	                           : following->quiet_max;
}

/* 0: the job has ended and its log was told. */
static int loop(struct following *following, struct err *e)
{
	struct pollset ps = { 0 };
	int rc = 1;

	while (rc == 1) {
		if (interrupted(following))
			rc = err_set(e, ERR_CANCELED, SIGINT, "the job goes on");
		else if (step_job(following, e) < 0)
			rc = -1;
		else if (deadline_passed(following->end))
			rc = err_set(e, ERR_TIMEOUT, 0, "the job is not done");
		if (rc < 0)
			break;
		step_log(following);
		if (has_ended(following) && deadline_passed(told(following))) {
			rc = 0;
			break;
		}
		if (following->state == JOB_PENDING && deadline_passed(following->waits)) {
			struct buf text = { 0 };

			buf_addf(&text,
			         "The job waits until runner %s takes it; see: daytona-runner list",
			         following->f->runner);
			say(following, buf_cstr(&text));
			buf_free(&text);
			following->waits = DEADLINE_NEVER;
		}
		pollset_reset(&ps);
		pollset_add(&ps, following->signals, POLLIN);
		if (following->ws)
			ws_client_poll(following->ws, &ps);
		else if (!following->f->blind && following->log_failures < LOG_TRIES)
			pollset_until(&ps, following->log_again);
		if (following->asking)
			http_poll(api_http(following->api), &ps);
		else if (!has_ended(following))
			pollset_until(&ps, following->ask);
		if (has_ended(following))
			pollset_until(&ps, told(following));
		if (following->state == JOB_PENDING)
			pollset_until(&ps, following->waits);
		pollset_until(&ps, following->end);
		if (pollset_wait(&ps, e) < 0)
			rc = -1;
	}
	pollset_free(&ps);
	return rc;
}

/* How to look again, for whoever left or was left. */
static void add_look(const struct following *following, struct err *e)
{
	struct buf hint = { 0 };

	if (*following->id)
		buf_addf(&hint, "look again with: daytona-runner job show %s", following->id);
	if (*following->id && strcmp(following->f->kind, "workspace") == 0)
		buf_addf(&hint, ", daytona-runner workspace logs -f %s", following->f->name);
	if (hint.n)
		err_hint(e, buf_cstr(&hint));
	buf_free(&hint);
}

int follow_job(const struct follow *f, struct api *a, struct err *e)
{
	struct following following = { .f = f, .api = a, .skip = f->skip, .ask_ms = ASK_FIRST_MS };
	sigset_t set, before;
	int rc;

	following.view.terminal = following.view.bars = isatty(STDERR_FILENO);
	following.answered = deadline_in_ms(AWAY_MS);
	following.waits = deadline_in_ms(WAITS_MS);
	following.end = f->max_ms ? deadline_in_ms(f->max_ms) : DEADLINE_NEVER;
	log_path(f, true, &following.path);
	api_jobs_path(&following.jobs, f->kind, f->id);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &before);
	following.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = loop(&following, e);
	if (following.view.mid_line)
		buf_addc(&following.out, '\n');
	write_out(&following);
	if (following.asking)
		http_abort(api_http(a));
	if (rc < 0)
		add_look(&following, e);
	else if (following.state == JOB_ERROR)
		rc = err_set(e, ERR_REMOTE, 0, "%s",
		             following.error && *following.error ? following.error
		                                                 : "the job failed");
	sigprocmask(SIG_SETMASK, &before, NULL);
	fd_close(&following.signals);
	ws_client_free(following.ws);
	http_reply_free(&following.reply);
	api_request_free(&following.request);
	buf_free(&following.out);
	buf_free(&following.path);
	buf_free(&following.jobs);
	free(following.error);
	return rc;
}
