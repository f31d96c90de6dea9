/* SPDX-License-Identifier: Apache-2.0 */
/* Programs in containers, see exec.h. */
#include "providers/docker/engine/exec.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_BYTES 300
#define IDLE_MS 700      /* stream silent for that long: ask whether the program still runs */
#define LOOK_MAX_MS 5000 /* at most that long between two looks */
#define STATUS_WAIT_MS 3000
#define READ_SIZE 8192

static void write_body(struct buf *b, const struct exec_spec *s, bool attach)
{
	jw_obj(b);
	jw_key(b, "Cmd");
	jw_arr(b);
	for (size_t i = 0; s->argv[i]; i++)
		jw_str(b, str_of(s->argv[i]));
	jw_arr_end(b);
	jw_key(b, "Env");
	jw_arr(b);
	if (!s->std)
		jw_str(b, STR_LIT("DEBIAN_FRONTEND=noninteractive"));
	for (size_t i = 0; s->env && i < s->env->n; i++) {
		struct buf pair = { 0 };

		buf_addf(&pair, "%s=%s", s->env->pairs[i].key, s->env->pairs[i].value);
		jw_str(b, buf_str(&pair));
		buf_wipe(&pair);
	}
	jw_arr_end(b);
	if (s->user && *s->user)
		jw_kstr(b, "User", s->user);
	if (s->cwd && *s->cwd)
		jw_kstr(b, "WorkingDir", s->cwd);
	if (s->std)
		jw_kbool(b, "AttachStdin", true);
	if (s->tty)
		jw_kbool(b, "Tty", true);
	jw_kbool(b, "AttachStdout", attach);
	jw_kbool(b, "AttachStderr", attach);
	jw_obj_end(b);
}

static int create(struct engine *g, const char *container, const struct exec_spec *s, bool attach,
                  char **id, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 }, body = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/exec", container);
	write_body(&body, s, attach);
	rc = engine_call(g, "POST", buf_cstr(&path), buf_str(&body), &doc, d, e);
	buf_free(&path);
	buf_wipe(&body);
	*id = json_dup(json_get(json_root(doc), "Id"));
	json_doc_free(doc);
	if (rc == 0 && !*id)
		rc = err_set(e, ERR_PARSE, 0, "POST /containers/…/exec: the answer has no Id");
	return rc < 0 ? err_wrap(e, "run %s in the container", s->argv[0]) : 0;
}

static void output(void *arg, int stream, struct str s)
{
	struct exec *x = arg;

	if (x->std) {
		struct err problem;

		if (!x->write_error &&
		    file_write_all(x->std[stream == 2 ? 2 : 1], s, "output", &problem) < 0)
			x->write_error = problem.code;
		return;
	}
	if (x->capture && stream == 1 && x->capture->n < EXEC_CAPTURE_MAX) {
		size_t room = EXEC_CAPTURE_MAX - x->capture->n;

		buf_add(x->capture, s.p, s.n < room ? s.n : room);
	}
	if (!x->quiet)
		x->g->env->log(x->g->env->log_arg, s);
	for (size_t i = 0; x->watch && !x->seen && i < s.n; i++) {
		/* The marker has no repeating prefix, so one step back is enough. */
		if (s.p[i] != x->watch[x->matched])
			x->matched = 0;
		if (s.p[i] == x->watch[x->matched])
			x->matched++;
		x->seen = !x->watch[x->matched];
	}
	mask_tail_add(&x->tail, s);
}

static int feed(struct exec *x, struct str s, struct err *e)
{
	x->last_ms = clock_mono_ms();
	return frames_feed(&x->frames, s, output, x, e);
}

static int inspect(struct engine *g, const char *id, struct json_doc **doc, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/exec/%s/json", id);
	rc = engine_call(g, "GET", buf_cstr(&path), (struct str){ 0 }, doc, DEADLINE_NEVER, e);
	buf_free(&path);
	return rc;
}

/* *running, and status when it is over. */
static int look(struct exec *x, bool *running, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = inspect(x->g, x->id, &doc, e);

	if (rc == 0) {
		*running = json_bool(json_get(json_root(doc), "Running"), false);
		if (!*running)
			(void)json_i64(json_get(json_root(doc), "ExitCode"), -65536, 65536,
			               &x->status);
	} else if (e->kind == ERR_NOT_FOUND) { /* its container is gone */
		err_clear(e);
		*running = false;
		rc = 0;
	}
	json_doc_free(doc);
	return rc;
}

/* The stream is over: the engine may need a moment to know the exit status. */
static int stream_over(struct exec *x, struct err *e)
{
	struct deadline until = deadline_in_ms(STATUS_WAIT_MS);
	bool running = true;

	x->ended = true;
	conn_free(x->conn);
	x->conn = NULL;
	while (look(x, &running, e) == 0) {
		if (!running)
			return 0;
		if (deadline_passed(until))
			return err_set(e, ERR_CLOSED, 0,
			               "the engine closed the output of a program that still runs");
		if (engine_sleep(x->g, 20, DEADLINE_NEVER, e) < 0)
			return -1;
	}
	return -1;
}

static int attach(struct exec *x, struct deadline d, struct err *e)
{
	struct buf path = { 0 }, early = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = {
		.method = "POST",
		.body = x->tty ? STR_LIT("{\"Detach\":false,\"Tty\":true}")
		               : STR_LIT("{\"Detach\":false,\"Tty\":false}"),
		.upgrade = true,
	};
	int rc;

	buf_addf(&path, "/exec/%s/start", x->id);
	r.path = buf_cstr(&path);
	rc = engine_send(x->g, &r, &reply, deadline_min(d, deadline_in_ms(2 * x->g->call_ms)), e);
	if (rc == 0 && reply.status != 101 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	if (rc == 0)
		x->conn = http_take_conn(x->g->http, &early);
	if (rc == 0)
		rc = feed(x, buf_str(x->conn ? &early : &reply.body), e);
	if (rc == 0 && !x->conn) /* an engine that sent all of it as an ordinary body */
		rc = stream_over(x, e);
	http_reply_free(&reply);
	buf_free(&early);
	buf_free(&path);
	return rc;
}

int exec_start(struct exec *x, struct engine *g, const char *container, const struct exec_spec *s,
               struct deadline d, struct err *e)
{
	*x = (struct exec){ .g = g,
		            .watch = s->watch,
		            .quiet = s->quiet,
		            .capture = s->capture,
		            .std = s->std,
		            .tty = s->tty,
		            .frames = { .raw = s->tty },
		            .status = -1,
		            .tail = { .max = TAIL_BYTES } };
	if (create(g, container, s, true, &x->id, d, e) < 0)
		return -1;
	x->last_ms = clock_mono_ms();
	x->look = deadline_in_ms(IDLE_MS);
	if (attach(x, d, e) < 0) {
		exec_free(x);
		return err_wrap(e, "run %s in the container", s->argv[0]);
	}
	return 0;
}

int exec_detached(struct engine *g, const char *container, const struct exec_spec *s,
                  struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	char *id = NULL;
	int rc;

	if (create(g, container, s, false, &id, d, e) < 0)
		return -1;
	buf_addf(&path, "/exec/%s/start", id);
	rc = engine_call(g, "POST", buf_cstr(&path), STR_LIT("{\"Detach\":true,\"Tty\":false}"),
	                 NULL, d, e);
	buf_free(&path);
	free(id);
	return rc < 0 ? err_wrap(e, "run %s in the container", s->argv[0]) : 0;
}

/* Some engines leave the stream open after the program's end (field case 64). */
static int look_when_idle(struct exec *x, struct err *e)
{
	int64_t idle = clock_mono_ms() - x->last_ms;
	bool running = true;

	if (!deadline_passed(x->look))
		return 0;
	if (look(x, &running, e) < 0)
		return -1;
	x->look = deadline_in_ms(idle < LOOK_MAX_MS ? IDLE_MS : LOOK_MAX_MS);
	if (!running && idle >= IDLE_MS) {
		x->ended = true;
		conn_free(x->conn);
		x->conn = NULL;
	}
	return 0;
}

int exec_step(struct exec *x, struct err *e)
{
	char piece[READ_SIZE];
	bool truncated = false;

	if (x->ended || !x->conn)
		return 0;
	for (int i = 0; i < 64; i++) {
		long n = conn_read(x->conn, piece, sizeof(piece), &truncated, e);

		if (n == CONN_AGAIN)
			return look_when_idle(x, e);
		if (n == CONN_ERROR)
			return err_wrap(e, "output of a program in the container");
		if (n == 0) {
			if (frames_end(&x->frames, e) < 0)
				return -1;
			return stream_over(x, e);
		}
		if (feed(x, (struct str){ piece, (size_t)n }, e) < 0)
			return -1;
	}
	return 0;
}

int exec_wait(struct exec *xs, size_t n, int64_t ms, struct deadline d, struct err *e)
{
	struct pollset ps = { 0 };
	struct deadline until = deadline_min(d, deadline_in_ms(ms < 200 ? ms : 200));
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		if (xs[i].ended || !xs[i].conn)
			continue;
		conn_poll(xs[i].conn, &ps, POLLIN);
		any = true;
		if (engine_stopped(xs[i].g))
			rc = err_set(e, ERR_CANCELED, 0,
			             "stopped because the runner was told to end");
	}
	pollset_until(&ps, until);
	if (rc == 0 && any)
		rc = pollset_wait(&ps, e);
	pollset_free(&ps);
	if (rc == 0 && deadline_passed(d))
		return err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
	return rc;
}

void exec_free(struct exec *x)
{
	conn_free(x->conn);
	free(x->id);
	mask_tail_free(&x->tail);
	*x = (struct exec){ 0 };
}

int exec_run(struct engine *g, const char *container, const struct exec_spec *s, int64_t *status,
             struct deadline d, struct err *e)
{
	struct exec x;
	int rc = exec_start(&x, g, container, s, d, e);

	while (rc == 0 && !x.ended) {
		rc = exec_wait(&x, 1, IDLE_MS, d, e);
		if (rc == 0)
			rc = exec_step(&x, e);
	}
	if (rc == 0)
		*status = x.status;
	else
		err_wrap(e, "%s", s->argv[0]);
	exec_free(&x);
	return rc;
}

void exec_describe(struct exec *x, struct buf *b)
{
	struct str tail = mask_tail_text(&x->tail);
	struct buf clean = { 0 };

	if (x->ended && x->status >= 0)
		buf_addf(b, "exit status %lld", (long long)x->status);
	else
		buf_adds(b, "no exit status");
	buf_add_printable(&clean, tail, true);
	for (size_t i = 0; i < clean.n; i++)
		if (clean.p[i] == '\n')
			clean.p[i] = ' ';
	if (clean.n)
		buf_addf(b, ": %s", buf_cstr(&clean));
	buf_free(&clean);
}

/* An agent: its program by path, or the reference's shell script that ends in "daytona agent". */
static bool is_agent(struct str line, const char *const *texts)
{
	bool found = false;

	for (size_t i = 0; texts[i]; i++)
		found |= str_find(line, texts[i]) != NULL;
	return found && str_find(line, "agent");
}

static bool runs(struct json v, const char *const *texts)
{
	struct json p = json_get(v, "ProcessConfig");
	struct buf line = { 0 };
	bool found;

	if (!json_bool(json_get(v, "Running"), false))
		return false;
	buf_add_str(&line, json_raw(json_get(p, "entrypoint")));
	buf_add_str(&line, json_raw(json_get(p, "arguments")));
	found = is_agent(buf_str(&line), texts);
	buf_wipe(&line);
	return found;
}

bool exec_find_process(struct engine *g, const char *container, const char *const *texts,
                       struct deadline d)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	struct err e = { 0 };
	bool found = false;

	buf_addf(&path, "/containers/%s/top", container);
	if (engine_call(g, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, &e) == 0) {
		for (struct json m = json_first(json_get(json_root(doc), "Processes"));
		     json_present(m); m = json_next(m))
			found |= is_agent(json_raw(m), texts);
	}
	json_doc_free(doc);
	buf_free(&path);
	return found;
}

int exec_find(struct engine *g, char *const *ids, size_t n, const char *const *texts, bool *found,
              struct err *e)
{
	*found = false;
	for (size_t i = 0; i < n && !*found; i++) {
		struct json_doc *doc = NULL;

		if (inspect(g, ids[i], &doc, e) < 0) {
			if (e->kind != ERR_NOT_FOUND)
				return -1;
			err_clear(e); /* it ended meanwhile */
			continue;
		}
		*found = runs(json_root(doc), texts);
		json_doc_free(doc);
	}
	return 0;
}
