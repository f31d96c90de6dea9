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
	struct following *g = arg;

	if (!is_entry(payload))
		return;
	g->quiet = deadline_in_ms(QUIET_MS);
	if (++g->got > g->skip)
		logview_add(&g->view, payload, &g->out);
}

static void write_out(struct following *g)
{
	struct err ignored = { 0 };

	if (g->out.n)
		(void)file_write_all(STDERR_FILENO, buf_str(&g->out), "standard error", &ignored);
	buf_reset(&g->out);
}

static void say(struct following *g, const char *text)
{
	if (g->view.mid_line)
		buf_addc(&g->out, '\n');
	g->view.mid_line = g->view.bar = false;
	buf_addf(&g->out, "%s\n", text);
	write_out(g);
}

/* A log that breaks off is opened again, and told from its beginning. */
static void step_log(struct following *g)
{
	struct err why = { 0 };
	enum ws_status status;

	if (g->f->blind || g->log_failures >= LOG_TRIES || !deadline_passed(g->log_again))
		return;
	if (!g->ws) {
		g->ws = api_log_socket(g->api, buf_cstr(&g->path), deadline_in_ms(LOG_CONNECT_MS));
		g->skip = g->got > g->skip ? g->got : g->skip;
		g->got = 0;
		g->log_open = false;
	}
	status = ws_client_step(g->ws, on_message, g, &why);
	if (status == WS_OPEN && !g->log_open) {
		g->log_open = true;
		g->quiet = deadline_in_ms(QUIET_MS);
	}
	if (status == WS_CLOSED) {
		g->log_failures = g->got ? 1 : g->log_failures + 1;
		ws_client_free(g->ws);
		g->ws = NULL;
		g->log_again = deadline_in_ms(LOG_AGAIN_MS);
		if (g->log_failures == LOG_TRIES) {
			struct buf text = { 0 };

			buf_addf(&text, "the log cannot be read: %s", why.msg);
			say(g, buf_cstr(&text));
			buf_free(&text);
		}
	}
	write_out(g);
}

static bool has_ended(const struct following *g)
{
	return g->state == JOB_SUCCESS || g->state == JOB_ERROR;
}

static void take_answer(struct following *g)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(buf_str(&g->reply.body), HTTP_BODY_MAX, &e);
	struct job_view now;

	if (doc && api_job_last(json_root(doc), g->f->kind, g->f->id, &now)) {
		if (!*g->id || strcmp(g->id, now.id) == 0) {
			memcpy(g->id, now.id, sizeof(g->id));
			g->state = now.state;
			free(g->error);
			g->error = now.error;
			now.error = NULL;
		}
		free(now.error);
	}
	json_doc_free(doc);
}

/* One question at a time, less and less often. 0; -1 when the Server will never answer it, or has been away too long. */
static int step_job(struct following *g, struct err *e)
{
	enum http_progress p;
	struct err why = { 0 };

	if (!g->asking) {
		if (has_ended(g) || !deadline_passed(g->ask))
			return 0;
		api_prepare(g->api, &g->request, "GET", buf_cstr(&g->jobs), (struct str){ 0 },
		            true);
		http_start(api_http(g->api), &g->request.http, &g->reply,
		           deadline_in_ms(ASK_CALL_MS));
		g->asking = true;
	}
	p = http_step(api_http(g->api), &why);
	if (p == HTTP_PENDING)
		return 0;
	if (p == HTTP_DONE && api_check(g->api, &g->reply, "GET /job", &why) == 0) {
		take_answer(g);
		g->answered = deadline_in_ms(AWAY_MS);
		err_clear(&why);
	}
	http_reply_free(&g->reply);
	g->asking = false;
	g->ask = deadline_in_ms(g->ask_ms);
	g->ask_ms = g->ask_ms * 3 / 2 < ASK_MAX_MS ? g->ask_ms * 3 / 2 : ASK_MAX_MS;
	if (has_ended(g)) {
		g->quiet = deadline_in_ms(QUIET_MS);
		g->quiet_max = deadline_in_ms(QUIET_MAX_MS);
	}
	if (why.kind && (api_verdict(&why) == API_KEY || deadline_passed(g->answered))) {
		*e = why;
		return -1;
	}
	return 0;
}

static bool interrupted(const struct following *g)
{
	struct signalfd_siginfo si;

	return read(g->signals, &si, sizeof(si)) == (ssize_t)sizeof(si);
}

/* When the log of a job that has ended counts as whole. */
static struct deadline told(const struct following *g)
{
	if (g->f->blind || g->log_failures >= LOG_TRIES)
		return DEADLINE_PAST;
	return g->log_open ? deadline_min(g->quiet, g->quiet_max) : g->quiet_max;
}

/* 0: the job has ended and its log was told. */
static int loop(struct following *g, struct err *e)
{
	struct pollset ps = { 0 };
	int rc = 1;

	while (rc == 1) {
		if (interrupted(g))
			rc = err_set(e, ERR_CANCELED, SIGINT, "the job goes on");
		else if (step_job(g, e) < 0)
			rc = -1;
		else if (deadline_passed(g->end))
			rc = err_set(e, ERR_TIMEOUT, 0, "the job is not done");
		if (rc < 0)
			break;
		step_log(g);
		if (has_ended(g) && deadline_passed(told(g))) {
			rc = 0;
			break;
		}
		if (g->state == JOB_PENDING && deadline_passed(g->waits)) {
			struct buf text = { 0 };

			buf_addf(&text,
			         "The job waits until runner %s takes it; see: daytona-runner list",
			         g->f->runner);
			say(g, buf_cstr(&text));
			buf_free(&text);
			g->waits = DEADLINE_NEVER;
		}
		pollset_reset(&ps);
		pollset_add(&ps, g->signals, POLLIN);
		if (g->ws)
			ws_client_poll(g->ws, &ps);
		else if (!g->f->blind && g->log_failures < LOG_TRIES)
			pollset_until(&ps, g->log_again);
		if (g->asking)
			http_poll(api_http(g->api), &ps);
		else if (!has_ended(g))
			pollset_until(&ps, g->ask);
		if (has_ended(g))
			pollset_until(&ps, told(g));
		if (g->state == JOB_PENDING)
			pollset_until(&ps, g->waits);
		pollset_until(&ps, g->end);
		if (pollset_wait(&ps, e) < 0)
			rc = -1;
	}
	pollset_free(&ps);
	return rc;
}

/* How to look again, for whoever left or was left. */
static void add_look(const struct following *g, struct err *e)
{
	struct buf hint = { 0 };

	if (*g->id)
		buf_addf(&hint, "look again with: daytona-runner job show %s", g->id);
	if (*g->id && strcmp(g->f->kind, "workspace") == 0)
		buf_addf(&hint, ", daytona-runner workspace logs -f %s", g->f->name);
	if (hint.n)
		err_hint(e, buf_cstr(&hint));
	buf_free(&hint);
}

int follow_job(const struct follow *f, struct api *a, struct err *e)
{
	struct following g = { .f = f, .api = a, .skip = f->skip, .ask_ms = ASK_FIRST_MS };
	sigset_t set, before;
	int rc;

	g.view.terminal = g.view.bars = isatty(STDERR_FILENO);
	g.answered = deadline_in_ms(AWAY_MS);
	g.waits = deadline_in_ms(WAITS_MS);
	g.end = f->max_ms ? deadline_in_ms(f->max_ms) : DEADLINE_NEVER;
	log_path(f, true, &g.path);
	api_jobs_path(&g.jobs, f->kind, f->id);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &before);
	g.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = loop(&g, e);
	if (g.view.mid_line)
		buf_addc(&g.out, '\n');
	write_out(&g);
	if (g.asking)
		http_abort(api_http(a));
	if (rc < 0)
		add_look(&g, e);
	else if (g.state == JOB_ERROR)
		rc = err_set(e, ERR_REMOTE, 0, "%s",
		             g.error && *g.error ? g.error : "the job failed");
	sigprocmask(SIG_SETMASK, &before, NULL);
	fd_close(&g.signals);
	ws_client_free(g.ws);
	http_reply_free(&g.reply);
	api_request_free(&g.request);
	buf_free(&g.out);
	buf_free(&g.path);
	buf_free(&g.jobs);
	free(g.error);
	return rc;
}
