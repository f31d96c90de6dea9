/* SPDX-License-Identifier: Apache-2.0 */
/* See streams.h. */
#include "applets/streams.h"

#include "applets/applets.h"
#include "applets/terminal.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/told.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define NOT_STARTED 127

int stream_dup(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int stream_take(int fd)
{
	int mine = stream_dup(fd), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (mine >= 0 && null >= 0)
		dup2(null, fd);
	fd_close(&null);
	return mine;
}

int stream_explain(const struct cli_admin *a, struct err *e)
{
	const char *ours = strstr(e->msg, "workspace ");
	struct err was = *e;

	if (e->kind == ERR_HTTP && e->code == 401)
		e->kind = api_verdict_kind(API_KEY);
	if (e->kind == ERR_HTTP && e->code == 404 && ours)
		return err_set(e, ERR_NOT_FOUND, 404, "%s; see `daytona-runner workspace list`",
		               was.msg + (ours - e->msg));
	if (e->kind == ERR_HTTP && e->code == 404)
		return err_set(
			e, ERR_UNSUPPORTED, 404,
			"this Server passes no streams on: only `daytona-runner server` does");
	return cli_explain(a, e);
}

int stream_run(struct tunnel *t, struct err *e)
{
	struct pollset ps = { 0 };
	bool left = false;
	int rc = 0;

	while (rc == 0 && tunnel_step(t, e) != TUNNEL_CLOSED) {
		if (!left && tunnel_broken(t, TUNNEL_OUT)) {
			left = true;
			tunnel_close(t, WS_CLOSE_NORMAL, "");
		}
		pollset_reset(&ps);
		tunnel_poll(t, &ps);
		rc = pollset_wait(&ps, e);
	}
	pollset_free(&ps);
	return rc < 0 || e->kind ? -1 : 0;
}

/* ---- a program, and whoever sits in front of it ---- */

struct session {
	const struct exec_call *call;
	struct tunnel *t;
	bool terminal;
	struct terminal here;
	struct told told;
	bool left;
	bool quit;  /* told to end, although our own output takes nothing */
	int status; /* -1: not known */
};

static void on_note(void *arg, enum tunnel_channel ch, struct str note)
{
	struct session *s = arg;
	struct err ignored = { 0 };
	struct json_doc *doc = ch == TUNNEL_NOTE ? json_parse(note, TUNNEL_NOTE_MAX, &ignored)
	                                         : NULL;
	int64_t n;

	if (json_i64(json_get(json_root(doc), "exit"), 0, 255, &n))
		s->status = (int)n;
	else if (json_i64(json_get(json_root(doc), "signal"), 1, 127, &n))
		s->status = 128 + (int)n;
	json_doc_free(doc);
}

static struct winsize window(void)
{
	struct winsize ws = terminal_size();

	if (!ws.ws_col || !ws.ws_row)
		ws = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	return ws;
}

static void send_env(struct buf *b, const struct session *s)
{
	const char *term = getenv("TERM");

	jw_key(b, "env");
	jw_obj(b);
	if (s->terminal && term && *term)
		jw_kstr(b, "TERM", term);
	for (size_t i = 0; i < s->call->env.n; i++) {
		const char *v = s->call->env.v[i], *eq = strchr(v, '=');
		char *key = mem_dupn(v, eq ? (size_t)(eq - v) : strlen(v));
		const char *value = eq ? eq + 1 : getenv(key);

		if (value)
			jw_kstr(b, key, value);
		free(key);
	}
	jw_obj_end(b);
}

static void send_program(struct session *s)
{
	struct winsize ws = window();
	struct buf b = { 0 };

	jw_obj(&b);
	jw_key(&b, "args");
	jw_arr(&b);
	for (int i = 0; i < s->call->n_args; i++)
		jw_str(&b, str_of(s->call->args[i]));
	jw_arr_end(&b);
	send_env(&b, s);
	if (s->call->cwd)
		jw_kstr(&b, "cwd", s->call->cwd);
	if (s->terminal) {
		jw_kint(&b, "columns", ws.ws_col);
		jw_kint(&b, "rows", ws.ws_row);
	}
	jw_obj_end(&b);
	tunnel_send(s->t, TUNNEL_NOTE, buf_str(&b));
	buf_wipe(&b);
}

static void send_size(const struct session *s)
{
	struct winsize ws = window();
	char bytes[4] = { (char)(ws.ws_col >> 8), (char)ws.ws_col, (char)(ws.ws_row >> 8),
		          (char)ws.ws_row };

	tunnel_send(s->t, TUNNEL_SIZE, (struct str){ bytes, 4 });
}

static void leave(struct session *s, int status)
{
	if (!s->left)
		tunnel_close(s->t, WS_CLOSE_NORMAL, "");
	s->left = true;
	if (s->status < 0)
		s->status = status;
}

/* Without a terminal they are the program's; with one, keys are, and a signal can only mean us. */
static void take_signals(struct session *s)
{
	struct signalfd_siginfo si;

	while (read(s->here.signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int sig = (int)si.ssi_signo;
		char byte = (char)sig;

		if (sig == SIGWINCH) {
			if (s->terminal)
				send_size(s);
			continue;
		}
		s->quit = s->quit || s->left || s->status >= 0;
		if (told_ends(&s->told, sig, s->terminal))
			leave(s, 128 + sig);
		else
			tunnel_send(s->t, TUNNEL_SIGNAL, (struct str){ &byte, 1 });
	}
}

static int converse(struct session *s, struct err *e)
{
	struct pollset ps = { 0 };
	int rc = 0;

	while (rc == 0 && !s->quit && tunnel_step(s->t, e) != TUNNEL_CLOSED) {
		if (tunnel_broken(s->t, TUNNEL_OUT))
			leave(s, 128 + SIGPIPE);
		pollset_reset(&ps);
		pollset_add(&ps, s->here.signals, POLLIN);
		tunnel_poll(s->t, &ps);
		rc = pollset_wait(&ps, e);
		take_signals(s);
	}
	pollset_free(&ps);
	return rc < 0 || e->kind ? -1 : 0;
}

static void attach(struct session *s)
{
	int in = s->call->input || s->terminal ? stream_dup(STDIN_FILENO) : -1;

	if (in >= 0)
		tunnel_source(s->t, TUNNEL_IN, in);
	else
		tunnel_end(s->t, TUNNEL_IN);
	tunnel_sink(s->t, TUNNEL_OUT, stream_dup(STDOUT_FILENO));
	if (!s->terminal)
		tunnel_sink(s->t, TUNNEL_ERR, stream_dup(STDERR_FILENO));
}

int stream_exec(const char *applet, const struct exec_call *call)
{
	struct session s = {
		.call = call,
		.terminal = call->terminal && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO),
		.status = -1,
	};
	struct err e = { 0 };
	int rc;

	s.t = tunnel_open(call->admin->link.api, call->workspace,
	                  s.terminal ? "kind=pty" : "kind=exec", deadline_in_ms(STREAM_OPEN_MS));
	tunnel_notes(s.t, on_note, &s);
	send_program(&s);
	attach(&s);
	rc = terminal_take(&s.here, s.terminal, &e);
	if (rc == 0)
		rc = converse(&s, &e);
	tunnel_free(s.t);
	terminal_give_back(&s.here);
	if (s.status >= 0)
		return s.status;
	if (rc == 0)
		err_set(&e, ERR_CLOSED, 0, "the stream ended before the program");
	stream_explain(call->admin, &e);
	applet_fail(applet, &e);
	return e.code == TUNNEL_CLOSE_REFUSED ? NOT_STARTED : STREAM_FAILED;
}
