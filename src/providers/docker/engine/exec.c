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

static int create(struct engine *engine, const char *container, const struct exec_spec *s,
                  bool attach, char **id, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 }, body = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/exec", container);
	write_body(&body, s, attach);
	rc = engine_call(engine, "POST", buf_cstr(&path), buf_str(&body), &doc, d, e);
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
	struct exec *exec = arg;

	if (exec->std) {
		struct err problem;

		if (!exec->write_error &&
		    file_write_all(exec->std[stream == 2 ? 2 : 1], s, "output", &problem) < 0)
			exec->write_error = problem.code;
		return;
	}
	if (exec->capture && stream == 1 && exec->capture->n < EXEC_CAPTURE_MAX) {
		size_t room = EXEC_CAPTURE_MAX - exec->capture->n;

		buf_add(exec->capture, s.p, s.n < room ? s.n : room);
	}
	if (!exec->quiet)
		exec->engine->env->log(exec->engine->env->log_arg, s);
	for (size_t i = 0; exec->watch && !exec->seen && i < s.n; i++) {
		/* The marker has no repeating prefix, so one step back is enough. */
		if (s.p[i] != exec->watch[exec->matched])
			exec->matched = 0;
		if (s.p[i] == exec->watch[exec->matched])
			exec->matched++;
		exec->seen = !exec->watch[exec->matched];
	}
	mask_tail_add(&exec->tail, s);
}

static int feed(struct exec *exec, struct str s, struct err *e)
{
	exec->last_ms = clock_mono_ms();
	return frames_feed(&exec->frames, s, output, exec, e);
}

static int inspect(struct engine *engine, const char *id, struct json_doc **doc, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/exec/%s/json", id);
	rc = engine_call(engine, "GET", buf_cstr(&path), (struct str){ 0 }, doc, DEADLINE_NEVER, e);
	buf_free(&path);
	return rc;
}

/* *running, and status when it is over. */
static int look(struct exec *exec, bool *running, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = inspect(exec->engine, exec->id, &doc, e);

	if (rc == 0) {
		*running = json_bool(json_get(json_root(doc), "Running"), false);
		if (!*running)
			(void)json_i64(json_get(json_root(doc), "ExitCode"), -65536, 65536,
			               &exec->status);
	} else if (e->kind == ERR_NOT_FOUND) { /* its container is gone */
		err_clear(e);
		*running = false;
		rc = 0;
	}
	json_doc_free(doc);
	return rc;
}

/* The stream is over: the engine may need a moment to know the exit status. */
static int stream_over(struct exec *exec, struct err *e)
{
	struct deadline until = deadline_in_ms(STATUS_WAIT_MS);
	bool running = true;

	exec->ended = true;
	conn_free(exec->conn);
	exec->conn = NULL;
	while (look(exec, &running, e) == 0) {
		if (!running)
			return 0;
		if (deadline_passed(until))
			return err_set(e, ERR_CLOSED, 0,
			               "the engine closed the output of a program that still runs");
		if (engine_sleep(exec->engine, 20, DEADLINE_NEVER, e) < 0)
			return -1;
	}
	return -1;
}

static int attach(struct exec *exec, struct deadline d, struct err *e)
{
	struct buf path = { 0 }, early = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = {
		.method = "POST",
		.body = exec->tty ? STR_LIT("{\"Detach\":false,\"Tty\":true}")
		                  : STR_LIT("{\"Detach\":false,\"Tty\":false}"),
		.upgrade = true,
	};
	int rc;

	buf_addf(&path, "/exec/%s/start", exec->id);
	r.path = buf_cstr(&path);
	rc = engine_send(exec->engine, &r, &reply,
	                 deadline_min(d, deadline_in_ms(2 * exec->engine->call_ms)), e);
	if (rc == 0 && reply.status != 101 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	if (rc == 0)
		exec->conn = http_take_conn(exec->engine->http, &early);
	if (rc == 0)
		rc = feed(exec, buf_str(exec->conn ? &early : &reply.body), e);
	if (rc == 0 && !exec->conn) /* an engine that sent all of it as an ordinary body */
		rc = stream_over(exec, e);
	http_reply_free(&reply);
	buf_free(&early);
	buf_free(&path);
	return rc;
}

int exec_start(struct exec *exec, struct engine *engine, const char *container,
               const struct exec_spec *s, struct deadline d, struct err *e)
{
	*exec = (struct exec){ .engine = engine,
		               .watch = s->watch,
		               .quiet = s->quiet,
		               .capture = s->capture,
		               .std = s->std,
		               .tty = s->tty,
		               .frames = { .raw = s->tty },
		               .status = -1,
		               .tail = { .max = TAIL_BYTES } };
	if (create(engine, container, s, true, &exec->id, d, e) < 0)
		return -1;
	exec->last_ms = clock_mono_ms();
	exec->look = deadline_in_ms(IDLE_MS);
	if (attach(exec, d, e) < 0) {
		exec_free(exec);
		return err_wrap(e, "run %s in the container", s->argv[0]);
	}
	return 0;
}

int exec_detached(struct engine *engine, const char *container, const struct exec_spec *s,
                  struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	char *id = NULL;
	int rc;

	if (create(engine, container, s, false, &id, d, e) < 0)
		return -1;
	buf_addf(&path, "/exec/%s/start", id);
	rc = engine_call(engine, "POST", buf_cstr(&path),
	                 STR_LIT("{\"Detach\":true,\"Tty\":false}"), NULL, d, e);
	buf_free(&path);
	free(id);
	return rc < 0 ? err_wrap(e, "run %s in the container", s->argv[0]) : 0;
}

/* Some engines leave the stream open after the program's end (field case 64). */
static int look_when_idle(struct exec *exec, struct err *e)
{
	int64_t idle = clock_mono_ms() - exec->last_ms;
	bool running = true;

	if (!deadline_passed(exec->look))
		return 0;
	if (look(exec, &running, e) < 0)
		return -1;
	exec->look = deadline_in_ms(idle < LOOK_MAX_MS ? IDLE_MS : LOOK_MAX_MS);
	if (!running && idle >= IDLE_MS) {
		exec->ended = true;
		conn_free(exec->conn);
		exec->conn = NULL;
	}
	return 0;
}

int exec_step(struct exec *exec, struct err *e)
{
	char piece[READ_SIZE];
	bool truncated = false;

	if (exec->ended || !exec->conn)
		return 0;
	for (int i = 0; i < 64; i++) {
		long n = conn_read(exec->conn, piece, sizeof(piece), &truncated, e);

		if (n == CONN_AGAIN)
			return look_when_idle(exec, e);
		if (n == CONN_ERROR)
			return err_wrap(e, "output of a program in the container");
		if (n == 0) {
			if (frames_end(&exec->frames, e) < 0)
				return -1;
			return stream_over(exec, e);
		}
		if (feed(exec, (struct str){ piece, (size_t)n }, e) < 0)
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
		if (engine_stopped(xs[i].engine))
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

void exec_free(struct exec *exec)
{
	conn_free(exec->conn);
	free(exec->id);
	mask_tail_free(&exec->tail);
	*exec = (struct exec){ 0 };
}

int exec_run(struct engine *engine, const char *container, const struct exec_spec *s,
             int64_t *status, struct deadline d, struct err *e)
{
	struct exec exec;
	int rc = exec_start(&exec, engine, container, s, d, e);

	while (rc == 0 && !exec.ended) {
		rc = exec_wait(&exec, 1, IDLE_MS, d, e);
		if (rc == 0)
			rc = exec_step(&exec, e);
	}
	if (rc == 0)
		*status = exec.status;
	else
		err_wrap(e, "%s", s->argv[0]);
	exec_free(&exec);
	return rc;
}

void exec_describe(struct exec *exec, struct buf *b)
{
	struct str tail = mask_tail_text(&exec->tail);
	struct buf clean = { 0 };

	if (exec->ended && exec->status >= 0)
		buf_addf(b, "exit status %lld", (long long)exec->status);
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

bool exec_find_process(struct engine *engine, const char *container, const char *const *texts,
                       struct deadline d)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	struct err e = { 0 };
	bool found = false;

	buf_addf(&path, "/containers/%s/top", container);
	if (engine_call(engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, &e) == 0) {
		for (struct json member = json_first(json_get(json_root(doc), "Processes"));
		     json_present(member); member = json_next(member))
			found |= is_agent(json_raw(member), texts);
	}
	json_doc_free(doc);
	buf_free(&path);
	return found;
}

int exec_find(struct engine *engine, char *const *ids, size_t n, const char *const *texts,
              bool *found, struct err *e)
{
	*found = false;
	for (size_t i = 0; i < n && !*found; i++) {
		struct json_doc *doc = NULL;

		if (inspect(engine, ids[i], &doc, e) < 0) {
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
