/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See health.h: what others may ask of a running supervisor. The listener answers /health as the
 * reference does, /healthz (alive), /readyz (the Server has us and jobs are taken), /metrics
 * (Prometheus text). status.json is for `daytona-runner status`: rewritten on change, and its
 * time stamp is the last accepted heartbeat.
 */
#include "runner/health.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "host/paths.h"
#include "net/httpd.h"
#include "runner/channel.h"
#include "runner/pause.h"
#include "runner/provset.h"
#include "runner/tasks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESPONSIVE_MS 30000
#define TOLD_MS 60000 /* the same reason is not told sooner again */
#define LINE_MS 5000  /* nor any two of them */
#define TOLD_N 4

struct health {
	bool ok; /* the last heartbeat was accepted */
	bool key_refused;
	bool answers;       /* the last failure was an answer of somebody */
	bool dirty;         /* the status file is to be written */
	bool untold;        /* last_error waits for its line */
	int64_t last_ok_ms; /* monotonic; 0: never */
	int64_t last_poll_ok_ms;
	int64_t last_told_ms;
	struct {
		uint32_t what;
		int64_t at_ms;
	} told[TOLD_N]; /* a ring */
	size_t told_next;
	char last_error[sizeof(((struct err *)0)->msg)];
	uint64_t heartbeats, polls;
	struct httpd *httpd;
	char listen_error[sizeof(((struct err *)0)->msg) +
	                  80]; /* why there is none although asked for; "" */
};

void health_new(struct sup *s)
{
	s->health = mem_alloc(sizeof(*s->health));
	s->health->dirty = true;
}

/* ---- what came of requests ---- */

static void touch(struct sup *s)
{
	char *path;

	if (!s->state_ok)
		return;
	path = paths_status(s->c->state_dir);
	utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
	free(path);
}

void health_changed(struct sup *s)
{
	s->health->dirty = true;
}

void health_good(struct sup *s)
{
	struct health *h = s->health;

	h->heartbeats++;
	h->last_ok_ms = clock_mono_ms();
	h->key_refused = false;
	if (!h->ok) {
		log_info("the Server accepts our heartbeats");
		h->ok = true;
		h->last_error[0] = '\0';
		h->untold = false;
		h->last_told_ms = 0;
		memset(h->told, 0, sizeof(h->told));
		health_changed(s);
		provset_server_back(s);
	}
	touch(s);
}

void health_polled(struct sup *s)
{
	s->health->polls++;
	s->health->last_poll_ok_ms = clock_mono_ms();
}

static bool told_lately(const struct health *h, uint32_t what, int64_t now)
{
	for (size_t i = 0; i < TOLD_N; i++) {
		if (h->told[i].at_ms && h->told[i].what == what && now - h->told[i].at_ms < TOLD_MS)
			return true;
	}
	return false;
}

static void tell(struct health *h, uint32_t what)
{
	int64_t now = clock_mono_ms();

	log_warn("%s", h->last_error);
	h->untold = false;
	h->last_told_ms = now;
	h->told[h->told_next].what = what;
	h->told[h->told_next].at_ms = now;
	h->told_next = (h->told_next + 1) % TOLD_N;
}

/* A refused key is one reason, whatever was asked. */
static uint32_t reason(const struct health *h)
{
	return h->key_refused ? 1 : journal_crc(str_of(h->last_error));
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
	case API_KEY:
		err_hint(e, "give a valid one with daytona-runner configure");
		break;
	default:
		break;
	}
}

void health_bad(struct sup *s, const struct err *cause, bool answered, bool heartbeat)
{
	struct health *h = s->health;
	int64_t now = clock_mono_ms();
	bool refused = api_verdict(cause) == API_KEY;
	bool known = refused &&
	             h->key_refused; /* whichever request found it out first has told it */
	bool fell = heartbeat && h->ok && !known, news = refused && !known;
	struct err told = *cause, *e = &told;

	add_remedy(s, e);
	h->answers = answered;
	h->key_refused = h->key_refused || refused;
	if (fell || news || strcmp(h->last_error, e->msg) != 0)
		health_changed(s);
	if (heartbeat)
		h->ok = false;
	snprintf(h->last_error, sizeof(h->last_error), "%s", e->msg);
	sup_ready_say(s, "%s", e->msg);
	if (!fell && !news && told_lately(h, reason(h), now))
		return;
	if (fell || news || !h->last_told_ms || now - h->last_told_ms >= LINE_MS)
		tell(h, reason(h));
	else
		h->untold = true; /* not dropped: what it is now is what helps */
}

void health_forget_key(struct sup *s)
{
	s->health->key_refused = false;
}

bool health_is_ok(const struct sup *s)
{
	return s->health->ok;
}

bool health_key_refused(const struct sup *s)
{
	return s->health->key_refused;
}

int64_t health_last_poll_ms(const struct sup *s)
{
	return s->health->last_poll_ok_ms;
}

/* ---- the listener ---- */

static bool is_ready(const struct sup *s)
{
	return s->phase == PHASE_RUN && !pause_is_on(s) && s->health->ok &&
	       clock_mono_ms() - s->health->last_ok_ms < RESPONSIVE_MS && channels_poll_well(s) &&
	       provset_any(s);
}

static void metrics(const struct sup *s, struct metrics *out)
{
	const struct health *h = s->health;
	struct tasks_counts jobs = tasks_counts(s);
	int64_t now = clock_mono_ms();
	struct http_stats net = channels_stats(s);

	metrics_one(out, "up", "gauge", "1 if the Server accepts our heartbeats", h->ok);
	metrics_one(out, "ready", "gauge", "1 if jobs are taken", is_ready(s));
	metrics_one(out, "paused", "gauge", "1 while the operator has paused it", pause_is_on(s));
	metrics_one(out, "heartbeats_total", "counter", "accepted heartbeats",
	            (int64_t)h->heartbeats);
	metrics_one(out, "polls_total", "counter", "answered polls", (int64_t)h->polls);
	metrics_one(out, "heartbeat_age_milliseconds", "gauge",
	            "since the last accepted heartbeat, -1 before the first",
	            h->last_ok_ms ? now - h->last_ok_ms : -1);
	metrics_one(out, "jobs_running", "gauge", "jobs whose process works",
	            (int64_t)jobs.running);
	metrics_one(out, "jobs_known", "gauge", "jobs not yet settled with the Server",
	            (int64_t)jobs.known);
	metrics_one(out, "jobs_succeeded_total", "counter", "jobs that succeeded",
	            (int64_t)jobs.succeeded);
	metrics_one(out, "jobs_failed_total", "counter", "jobs that failed", (int64_t)jobs.failed);
	metrics_one(out, "connects_total", "counter", "connections made to the Server",
	            (int64_t)net.connects);
	metrics_one(out, "bytes_received_total", "counter", "bytes from the Server",
	            (int64_t)net.bytes_in);
	metrics_one(out, "bytes_sent_total", "counter", "bytes to the Server",
	            (int64_t)net.bytes_out);
	metrics_one(out, "journal_durable", "gauge", "1 if claims survive a crash",
	            journal_is_durable(s->journal));
	metrics_process(out, s->start_ms);
}

static void on_request(void *arg, struct httpd_req *r)
{
	struct sup *s = arg;
	struct metrics out = { .prefix = "daytona_runner_" };

	if (!str_eq(r->method, "GET") && !str_eq(r->method, "HEAD"))
		httpd_respond(r, 405, "text/plain; charset=utf-8", "Allow: GET, HEAD\r\n",
		              STR_LIT("405 method not allowed"));
	else if (str_eq(r->path, "/health"))
		httpd_respond(r, 200, "application/json; charset=utf-8", NULL,
		              STR_LIT("{\"status\":\"ok\"}"));
	else if (str_eq(r->path, "/healthz"))
		httpd_respond(r, 200, "text/plain; charset=utf-8", NULL,
		              channels_poll_well(s) ? STR_LIT("ok\n") : STR_LIT("degraded\n"));
	else if (str_eq(r->path, "/readyz"))
		httpd_respond(r, is_ready(s) ? 200 : 503, "text/plain; charset=utf-8", NULL,
		              is_ready(s)      ? STR_LIT("ready\n")
		              : pause_is_on(s) ? STR_LIT("paused\n")
		                               : STR_LIT("not ready\n"));
	else if (str_eq(r->path, "/metrics")) {
		metrics(s, &out);
		httpd_respond(r, 200, METRICS_TYPE, NULL, buf_str(&out.b));
	} else {
		httpd_respond(r, 404, "text/plain", NULL, STR_LIT("404 page not found"));
	}
	buf_free(&out.b);
}

static void stop_listening(struct sup *s)
{
	httpd_free(s->health->httpd);
	s->health->httpd = NULL;
}

void health_listen(struct sup *s)
{
	struct httpd_settings settings = {
		.request = on_request,
		.arg = s,
		.max_conns = 16,
		.max_body = 1024,
		.head_ms = 2000, /* mute callers must not keep the others waiting */
	};
	struct err e = { 0 };

	stop_listening(s);
	s->health->listen_error[0] = '\0';
	health_changed(s);
	if (s->c->port == 0)
		return;
	s->health->httpd = httpd_new(&settings);
	/* All interfaces, as the reference: orchestrators ask from outside. Nothing secret is answered. */
	if (httpd_listen(s->health->httpd, "*", (uint16_t)s->c->port, NULL, &e) < 0) {
		snprintf(
			s->health->listen_error, sizeof(s->health->listen_error),
			"no health listener: %s; set [runner] port to a free one, or to 0 for none",
			e.msg);
		log_warn("%s", s->health->listen_error);
		stop_listening(s);
	}
}

void health_free(struct sup *s)
{
	if (!s->health)
		return;
	stop_listening(s);
	free(s->health);
	s->health = NULL;
}

void health_poll(struct sup *s, struct pollset *ps)
{
	if (s->health->untold)
		pollset_until(ps, (struct deadline){ s->health->last_told_ms + LINE_MS });
	if (s->health->httpd)
		httpd_poll(s->health->httpd, ps);
}

void health_status(const struct sup *s, struct buf *b)
{
	jw_obj(b);
	jw_kint(b, "pid", getpid());
	jw_kstr(b, "version", DR_VERSION);
	jw_kint(b, "started_wall_ms", s->start_wall_ms);
	jw_kstr(b, "id", s->c->id);
	jw_kstr(b, "name", s->c->name);
	jw_kbool(b, "draining", s->phase != PHASE_RUN);
	jw_key(b, "paused");
	pause_status(s, b);
	jw_kbool(b, "server_ok", s->health->ok);
	jw_kbool(b, "server_answers", s->health->ok || s->health->answers);
	jw_kbool(b, "key_refused", s->health->key_refused);
	jw_kstr(b, "last_error", s->health->last_error[0] ? s->health->last_error : NULL);
	jw_kstr(b, "port_error", s->health->listen_error[0] ? s->health->listen_error : NULL);
	jw_kbool(b, "durable", journal_is_durable(s->journal));
	jw_kint(b, "running_jobs", (int64_t)tasks_counts(s).running);
	jw_key(b, "jobs");
	tasks_status(s, b);
	jw_key(b, "providers");
	provset_status(s, b);
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

	s->health->dirty = false;
	if (!s->state_ok)
		goto out;
	health_status(s, &b);
	buf_addc(&b, '\n');
	buf_addf(&tmp, "%s.tmp", path);
	fd = open(buf_cstr(&tmp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		goto out;
	if (file_write_all(fd, buf_str(&b), "status", &e) == 0) {
		struct timespec times[2] = { { 0, UTIME_NOW }, { 0, 0 } };

		if (s->health->last_ok_ms && stat(path, &old) == 0)
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
	if (s->health->httpd)
		httpd_step(s->health->httpd, s->waited);
	if (s->health->dirty)
		write_status(s);
	if (s->health->untold && clock_mono_ms() - s->health->last_told_ms >= LINE_MS)
		tell(s->health, reason(s->health));
}

void health_dump(struct sup *s)
{
	struct buf b = { 0 };

	health_status(s, &b);
	log_info("status %s", buf_cstr(&b));
	buf_free(&b);
}
