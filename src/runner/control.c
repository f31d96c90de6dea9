/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See control.h. Jobs and workspaces may run as our own user, who may open the socket: they are told apart by what
 * no process can shed, no_new_privs and the number of its seccomp filters.
 */
#include "runner/control.h"

#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/control.h"
#include "net/httpd.h"
#include "runner/health.h"
#include "runner/pause.h"
#include "runner/tasks.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_MAX 4096
#define PROC_STATUS_MAX 65536
#define BY_MAX 160
#define FOR_MAX_MS (3650LL * 24 * 3600 * 1000)
#define JSON_TYPE "application/json"

struct fence {
	int64_t no_new_privs, filters;
};

static struct fence fence_of(pid_t pid)
{
	struct fence f = { 0 };
	struct buf path = { 0 }, text = { 0 };
	struct err ignored = { 0 };
	struct str rest, line;

	buf_addf(&path, "/proc/%ld/status", (long)pid);
	if (file_read(buf_cstr(&path), PROC_STATUS_MAX, &text, &ignored) < 0)
		f = (struct fence){ 1, INT64_MAX }; /* gone already: nobody's command */
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		struct str name;

		if (!str_next(&line, ':', &name))
			continue;
		line = str_trim(line);
		if (str_eq(name, "NoNewPrivs"))
			str_to_i64(line, 0, 1, &f.no_new_privs);
		else if (str_eq(name, "Seccomp_filters"))
			str_to_i64(line, 0, INT64_MAX, &f.filters);
	}
	buf_free(&text);
	buf_free(&path);
	return f;
}

bool control_is_contained(struct proc_id id)
{
	struct fence his, ours;

	if (id.pid == 0)
		return false;
	ours = fence_of(getpid());
	if (ours.filters == INT64_MAX)
		return false; /* no /proc: the socket's mode and the user alone decide */
	his = fence_of(id.pid);
	/* After the look: the pid was its own all that time. */
	if (!proc_alive(id))
		return true;
	return his.no_new_privs > ours.no_new_privs || his.filters > ours.filters;
}

static void refuse(struct httpd_req *r, int status, const char *text)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "error", text);
	jw_obj_end(&b);
	httpd_respond(r, status, JSON_TYPE, NULL, buf_str(&b));
	buf_free(&b);
}

/* Who asks, in words. False: he may not, and was told so. */
static bool admit(struct httpd_req *r, char by[BY_MAX])
{
	const struct passwd *pw;
	struct proc_id peer;
	uid_t uid;

	if (!httpd_peer(r, &peer, &uid) || (uid != 0 && uid != geteuid())) {
		refuse(r, 403, "this is for the runner's user and root alone");
		return false;
	}
	/* After the look at it: it was its own all that time. */
	if (control_is_contained(peer) || httpd_peer_ended(r)) {
		refuse(r, 403,
		       "a process that may not gain privileges, as those of jobs, commands no runner");
		return false;
	}
	pw = getpwuid(uid);
	if (pw)
		snprintf(by, BY_MAX, "%.64s on the runner's host", pw->pw_name);
	else
		snprintf(by, BY_MAX, "user id %u on the runner's host", (unsigned)uid);
	return true;
}

static void on_pause(struct sup *s, struct httpd_req *r, const char *by)
{
	struct err e = { 0 };
	struct buf note = { 0 }, b = { 0 };
	struct json_doc *doc = json_parse(r->body.n ? r->body : STR_LIT("{}"), BODY_MAX, &e);
	struct json root = doc ? json_root(doc) : (struct json){ 0 };
	int64_t for_ms = 0;
	bool kept;

	if (!json_is_object(root) ||
	    (json_present(json_get(root, "for_ms")) &&
	     !json_i64(json_get(root, "for_ms"), 1, FOR_MAX_MS, &for_ms))) {
		refuse(r, 400, "for_ms is a number of milliseconds, and note a text");
	} else {
		json_string(json_get(root, "note"), &note);
		kept = pause_begin(s, for_ms, buf_str(&note), by, &e) == 0;
		jw_obj(&b);
		jw_kbool(&b, "kept", kept);
		jw_kint(&b, "running_jobs", (int64_t)tasks_counts(s).running);
		jw_obj_end(&b);
		httpd_respond(r, 200, JSON_TYPE, NULL, buf_str(&b));
	}
	json_doc_free(doc);
	buf_free(&note);
	buf_free(&b);
}

static void on_cancel(struct sup *s, struct httpd_req *r, const char *id, const char *by)
{
	switch (tasks_cancel(s, id, by)) {
	case CANCEL_DONE:
		httpd_respond(r, 200, JSON_TYPE, NULL, STR_LIT("{}"));
		break;
	case CANCEL_OVER:
		refuse(r, 409, "the job is over already");
		break;
	default:
		refuse(r, 404, "no such job is here; daytona-runner status lists those that are");
		break;
	}
}

static void on_job(struct sup *s, struct httpd_req *r, const char *by)
{
	struct str rest = { r->path.p + 6, r->path.n - 6 }, id = { 0 };
	struct buf b = { 0 };
	bool get = str_eq(r->method, "GET");
	char *name;

	str_next(&rest, '/', &id);
	if (!str_is_id(id) || !str_eq(rest, get ? "" : "cancel")) {
		refuse(r, 404, "there is no such command");
		return;
	}
	name = mem_dupn(id.p, id.n);
	if (!get)
		on_cancel(s, r, name, by);
	else if (tasks_job(s, name, &b))
		httpd_respond(r, 200, JSON_TYPE, NULL, buf_str(&b));
	else
		refuse(r, 404, "no such job is here");
	free(name);
	buf_free(&b);
}

static void on_request(void *arg, struct httpd_req *r)
{
	struct sup *s = arg;
	bool get = str_eq(r->method, "GET"), post = str_eq(r->method, "POST");
	char by[BY_MAX];
	struct buf b = { 0 };

	if (!admit(r, by))
		return;
	if (get && str_eq(r->path, "/status")) {
		health_status(s, &b);
		httpd_respond(r, 200, JSON_TYPE, NULL, buf_str(&b));
	} else if (post && str_eq(r->path, "/pause")) {
		on_pause(s, r, by);
	} else if (post && str_eq(r->path, "/resume")) {
		bool was = pause_is_on(s);

		pause_end(s, by);
		httpd_respond(r, 200, JSON_TYPE, NULL,
		              was ? STR_LIT("{\"was_paused\":true}")
		                  : STR_LIT("{\"was_paused\":false}"));
	} else if ((get || post) && str_starts(r->path, "/jobs/")) {
		on_job(s, r, by);
	} else {
		refuse(r, 404, "there is no such command");
	}
	buf_free(&b);
}

void control_open(struct sup *s)
{
	const struct httpd_settings settings = {
		.request = on_request,
		.arg = s,
		.max_conns = 8,
		.max_body = BODY_MAX,
		.head_ms = 2000,
		.idle_ms = 10000,
	};
	struct err e = { 0 };
	char *path;

	s->control_dir = -1;
	if (!s->state_ok)
		return;
	path = control_path(s->c->state_dir, &s->control_dir, &e);
	s->control = httpd_new(&settings);
	if (!path || httpd_listen_unix(s->control, path, &e) < 0) {
		log_warn("no commands are taken (cancel, pause, resume): %s", e.msg);
		control_close(s);
	}
	free(path);
}

void control_close(struct sup *s)
{
	if (!s->control)
		return;
	httpd_free(s->control);
	s->control = NULL;
	fd_close(&s->control_dir);
}

void control_poll(struct sup *s, struct pollset *ps)
{
	if (s->control)
		httpd_poll(s->control, ps);
}

void control_step(struct sup *s)
{
	if (s->control)
		httpd_step(s->control, s->waited);
}
