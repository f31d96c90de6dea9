/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sup.h: what others may ask of a running supervisor. The listener answers /health as the
 * reference does, /healthz (alive), /readyz (the Server has us and jobs are taken), /metrics
 * (Prometheus text). status.json is for `daytona-runner status`: rewritten on change, and its
 * time stamp is the last accepted heartbeat.
 */
#include "runner/sup.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "host/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESPONSIVE_MS 30000
#define TAKEN_MS 1000 /* a Server that is broken says so sooner */

static bool polls_well(const struct sup *s)
{
	int64_t now = clock_mono_ms();
	int64_t since = s->health.last_poll_ok_ms ? s->health.last_poll_ok_ms : s->start_ms;

	if (tasks_room(s) == 0 || s->poll.use == CHAN_IDLE)
		return s->poll.failures == 0 || now - since < RESPONSIVE_MS;
	/* After an outage the first poll may wait for a minute: that it was taken is a good sign. */
	if (s->poll.use == CHAN_POLL && http_request_sent(api_http(s->poll.api)) &&
	    now - s->poll.started_ms >= TAKEN_MS &&
	    now - s->poll.started_ms < s->c->poll_timeout_ms)
		return true;
	return now - since < 2 * s->c->poll_timeout_ms && s->poll.failures < 3;
}

static bool is_ready(const struct sup *s)
{
	return s->phase == PHASE_RUN && s->health.ok &&
	       clock_mono_ms() - s->health.last_ok_ms < RESPONSIVE_MS && polls_well(s);
}

static int64_t resident_bytes(void)
{
	struct buf b = { 0 };
	struct err e;
	struct str rest, piece;
	int64_t pages = 0;

	if (file_read("/proc/self/statm", 256, &b, &e) == 0) {
		rest = buf_str(&b);
		str_next(&rest, ' ', &piece);
		if (str_next(&rest, ' ', &piece))
			str_to_i64(piece, 0, INT32_MAX, &pages);
	}
	buf_free(&b);
	return pages * (int64_t)getauxval(AT_PAGESZ);
}

static int64_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = -3; /* ".", ".." and the directory itself */

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void metric(struct buf *b, const char *name, const char *type, const char *help,
                   int64_t value)
{
	buf_addf(
		b,
		"# HELP daytona_runner_%s %s\n# TYPE daytona_runner_%s %s\ndaytona_runner_%s %lld\n",
		name, help, name, type, name, (long long)value);
}

static void metrics(const struct sup *s, struct buf *b)
{
	const struct health *h = &s->health;
	int64_t now = clock_mono_ms();
	struct http_stats a = http_client_stats(api_http(s->poll.api));
	struct http_stats c = http_client_stats(api_http(s->aux.api));

	metric(b, "up", "gauge", "1 if the Server accepts our heartbeats", h->ok);
	metric(b, "ready", "gauge", "1 if jobs are taken", is_ready(s));
	metric(b, "uptime_seconds", "counter", "seconds since the start",
	       (now - s->start_ms) / 1000);
	metric(b, "heartbeats_total", "counter", "accepted heartbeats", (int64_t)h->heartbeats);
	metric(b, "polls_total", "counter", "answered polls", (int64_t)h->polls);
	metric(b, "heartbeat_age_milliseconds", "gauge",
	       "since the last accepted heartbeat, -1 before the first",
	       h->last_ok_ms ? now - h->last_ok_ms : -1);
	metric(b, "jobs_running", "gauge", "jobs whose process works", (int64_t)s->tasks.running);
	metric(b, "jobs_known", "gauge", "jobs not yet settled with the Server",
	       (int64_t)s->tasks.n);
	metric(b, "jobs_succeeded_total", "counter", "jobs that succeeded",
	       (int64_t)s->tasks.succeeded);
	metric(b, "jobs_failed_total", "counter", "jobs that failed", (int64_t)s->tasks.failed);
	metric(b, "connects_total", "counter", "connections made to the Server",
	       (int64_t)(a.connects + c.connects));
	metric(b, "bytes_received_total", "counter", "bytes from the Server",
	       (int64_t)(a.bytes_in + c.bytes_in));
	metric(b, "bytes_sent_total", "counter", "bytes to the Server",
	       (int64_t)(a.bytes_out + c.bytes_out));
	metric(b, "resident_bytes", "gauge", "resident memory", resident_bytes());
	metric(b, "open_descriptors", "gauge", "open file descriptors", open_descriptors());
	metric(b, "journal_durable", "gauge", "1 if claims survive a crash",
	       journal_is_durable(s->journal));
}

static void on_request(void *arg, struct httpd_req *r)
{
	struct sup *s = arg;
	struct buf b = { 0 };

	if (!str_eq(r->method, "GET") && !str_eq(r->method, "HEAD"))
		httpd_respond(r, 405, "text/plain; charset=utf-8", "Allow: GET, HEAD\r\n",
		              STR_LIT("405 method not allowed"));
	else if (str_eq(r->path, "/health"))
		httpd_respond(r, 200, "application/json; charset=utf-8", NULL,
		              STR_LIT("{\"status\":\"ok\"}"));
	else if (str_eq(r->path, "/healthz"))
		httpd_respond(r, 200, "text/plain; charset=utf-8", NULL,
		              polls_well(s) ? STR_LIT("ok\n") : STR_LIT("degraded\n"));
	else if (str_eq(r->path, "/readyz"))
		httpd_respond(r, is_ready(s) ? 200 : 503, "text/plain; charset=utf-8", NULL,
		              is_ready(s) ? STR_LIT("ready\n") : STR_LIT("not ready\n"));
	else if (str_eq(r->path, "/metrics")) {
		metrics(s, &b);
		httpd_respond(r, 200, "text/plain; version=0.0.4; charset=utf-8", NULL,
		              buf_str(&b));
	} else {
		httpd_respond(r, 404, "text/plain", NULL, STR_LIT("404 page not found"));
	}
	buf_free(&b);
}

void health_open(struct sup *s)
{
	struct httpd_settings settings = {
		.request = on_request,
		.arg = s,
		.max_conns = 16,
		.max_body = 1024,
		.head_ms = 2000, /* mute callers must not keep the others waiting */
	};
	struct err e = { 0 };

	if (s->c->port == 0)
		return;
	s->httpd = httpd_new(&settings);
	/* All interfaces, as the reference: orchestrators ask from outside. Nothing secret is answered. */
	if (httpd_listen(s->httpd, "*", (uint16_t)s->c->port, NULL, &e) < 0) {
		log_warn(
			"no health listener: %s; set [runner] port to a free one, or to 0 for none",
			e.msg);
		httpd_free(s->httpd);
		s->httpd = NULL;
	}
}

void health_close(struct sup *s)
{
	httpd_free(s->httpd);
	s->httpd = NULL;
}

void health_poll(struct sup *s, struct pollset *ps)
{
	if (s->httpd)
		httpd_poll(s->httpd, ps);
}

static const char *stage_name(enum task_stage st)
{
	static const char *const names[] = { "wait",    "claim",   "claim",  "running",
		                             "unknown", "unknown", "report", "report" };

	return names[st];
}

static void status_json(const struct sup *s, struct buf *b)
{
	jw_obj(b);
	jw_kint(b, "pid", getpid());
	jw_kstr(b, "version", DR_VERSION);
	jw_kint(b, "started_wall_ms", s->start_wall_ms);
	jw_kstr(b, "id", s->c->id);
	jw_kstr(b, "name", s->c->name);
	jw_kbool(b, "draining", s->phase != PHASE_RUN);
	jw_kbool(b, "server_ok", s->health.ok);
	jw_kbool(b, "key_refused", s->health.key_refused);
	jw_kstr(b, "last_error", s->health.last_error[0] ? s->health.last_error : NULL);
	jw_kbool(b, "durable", journal_is_durable(s->journal));
	jw_kint(b, "running_jobs", (int64_t)s->tasks.running);
	jw_key(b, "jobs");
	jw_arr(b);
	for (const struct task *t = s->tasks.first; t; t = t->next) {
		jw_obj(b);
		jw_kstr(b, "id", t->job.id);
		jw_kstr(b, "resource", t->job.type_text);
		jw_kstr(b, "resource_id", t->job.resource_id);
		jw_kstr(b, "action", t->job.action_text);
		jw_kstr(b, "stage", stage_name(t->stage));
		jw_obj_end(b);
	}
	jw_arr_end(b);
	jw_key(b, "providers");
	jw_arr(b);
	for (size_t i = 0; i < s->provs.n; i++) {
		const struct provset_item *it = &s->provs.items[i];

		jw_obj(b);
		jw_kstr(b, "name", it->p->name);
		jw_kstr(b, "version", it->version);
		jw_kbool(b, "enabled", it->enabled);
		jw_kbool(b, "usable", it->enabled && it->usable);
		jw_kstr(b, "why", it->why);
		jw_obj_end(b);
	}
	jw_arr_end(b);
	jw_obj_end(b);
}

/* No sync: after a power cut it is of no use anyway. The time stamp is that of the last heartbeat, kept. */
static void write_status(struct sup *s)
{
	struct buf b = { 0 }, tmp = { 0 };
	char *path = paths_status(s->c->state_dir);
	struct stat old = { 0 };
	struct err e = { 0 };
	int fd;

	s->status_dirty = false;
	if (!s->state_ok)
		goto out;
	status_json(s, &b);
	buf_addc(&b, '\n');
	buf_addf(&tmp, "%s.tmp", path);
	fd = open(buf_cstr(&tmp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		goto out;
	if (file_write_all(fd, buf_str(&b), "status", &e) == 0) {
		struct timespec times[2] = { { 0, UTIME_NOW }, { 0, 0 } };

		if (s->health.last_ok_ms && stat(path, &old) == 0)
			times[1] = old.st_mtim;
		futimens(fd, times);
		if (rename(buf_cstr(&tmp), path) < 0)
			unlink(buf_cstr(&tmp));
	} else {
		unlink(buf_cstr(&tmp));
	}
	close(fd);
out:
	buf_free(&tmp);
	buf_free(&b);
	free(path);
}

void health_step(struct sup *s)
{
	if (s->httpd)
		httpd_step(s->httpd, NULL); /* few connections: each is simply tried */
	if (s->status_dirty)
		write_status(s);
}

void health_touch(struct sup *s)
{
	char *path;

	if (!s->state_ok)
		return;
	path = paths_status(s->c->state_dir);
	utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
	free(path);
}

void health_dump(struct sup *s)
{
	struct buf b = { 0 };

	status_json(s, &b);
	log_info("status %s", buf_cstr(&b));
	buf_free(&b);
}
