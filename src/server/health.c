/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a watcher asks: alive, ready, figures. The names are those of the runner's own listener; its
 * figures are for whoever has a client key here, since the Server's are of many people.
 */
#include "server/srv.h"

#include "base/metrics.h"
#include "server/polls.h"
#include "server/tunnels.h"

#define READY_MS 1000 /* so long an answer holds: anybody may ask */

void h_healthz(struct call *c)
{
	reply_text(c, 200, "ok\n");
}

void h_readyz(struct call *c)
{
	struct srv *s = c->s;

	if (deadline_passed(s->ready_until)) {
		err_clear(&s->not_ready);
		store_probe(&s->store, &s->not_ready);
		s->ready_until = deadline_in_ms(READY_MS);
	}
	if (s->not_ready.kind) {
		struct buf b = { 0 };

		buf_addf(&b, "not ready: the store cannot be written: %s\n", s->not_ready.msg);
		reply_text(c, 503, buf_cstr(&b));
		buf_free(&b);
	} else {
		reply_text(c, 200, "ready\n");
	}
}

static void http_figures(struct metrics *metrics, const struct srv *s)
{
	static const char *const classes[HTTPD_CLASSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
	struct httpd_stats st = httpd_stats(s->httpd);

	metrics_head(metrics, "requests_total", "counter", "answered requests by class of status");
	for (size_t i = 0; i < HTTPD_CLASSES; i++)
		metrics_each(metrics, "requests_total", "class", classes[i],
		             (int64_t)st.answers[i]);
	metrics_one(metrics, "log_lines_lost_total", "counter",
	            "lines of access and audit log that could not be written",
	            (int64_t)s->lines_lost);
	metrics_head(metrics, "connections", "gauge", "open connections by what they are");
	metrics_each(metrics, "connections", "kind", "with_key", (int64_t)st.known);
	metrics_each(metrics, "connections", "kind", "without_key", (int64_t)st.unknown);
	metrics_one(metrics, "websockets", "gauge", "connections that are WebSockets",
	            (int64_t)st.websockets);
	metrics_one(metrics, "files_sending", "gauge", "connections that a file is sent on",
	            (int64_t)st.files);
	metrics_one(metrics, "polls_waiting", "gauge", "long polls of runners that wait",
	            (int64_t)polls_waiting(s->polls));
	metrics_one(metrics, "log_readers", "gauge", "logs being read", (int64_t)s->log_readers);
}

static void tunnel_figures(struct metrics *metrics, const struct srv *s)
{
	struct tunnels_figures f = tunnels_figures(s->tunnels);

	metrics_head(metrics, "streams", "gauge", "byte streams into workspaces by state");
	metrics_each(metrics, "streams", "state", "open", (int64_t)f.open);
	metrics_each(metrics, "streams", "state", "waiting", (int64_t)f.waiting);
	metrics_head(metrics, "streams_total", "counter",
	             "byte streams since the start by outcome");
	metrics_each(metrics, "streams_total", "outcome", "opened", (int64_t)f.opened);
	metrics_each(metrics, "streams_total", "outcome", "failed", (int64_t)f.failed);
	metrics_one(metrics, "stream_bytes_total", "counter", "bytes passed on in streams",
	            (int64_t)f.bytes);
	metrics_one(metrics, "stream_queued_bytes", "gauge",
	            "bytes that slow readers have not taken", (int64_t)f.queued);
	metrics_one(metrics, "agents_polling", "gauge", "agents that wait for streams",
	            (int64_t)f.agents);
}

static int64_t jobs_in(const struct srv *s, const char *state)
{
	const struct rec *j = store_find(&s->store, K_JOB, "state", state);
	int64_t n = 0;

	for (; j; j = store_find_next(&s->store, j, "state"))
		n++;
	return n;
}

static void store_figures(struct metrics *metrics, const struct srv *s)
{
	int64_t responsive = 0;

	metrics_head(metrics, "records", "gauge", "what is stored, by kind");
	for (enum kind k = 0; k < K_N; k++) {
		int64_t n = 0;

		for (const struct rec *r = store_first(&s->store, k); r; r = store_next(r)) {
			struct state st;

			n++;
			if (k != K_RUNNER)
				continue;
			state_of_runner(r, &st);
			responsive += strcmp(st.name, "started") == 0;
		}
		metrics_each(metrics, "records", "kind", kind_dir(k), n);
	}
	metrics_one(metrics, "runners_responsive", "gauge", "runners whose heartbeats come",
	            responsive);
	metrics_head(metrics, "jobs_open", "gauge", "jobs that have not ended, by state");
	metrics_each(metrics, "jobs_open", "state", "pending", jobs_in(s, "pending"));
	metrics_each(metrics, "jobs_open", "state", "running", jobs_in(s, "running"));
	metrics_one(metrics, "store_bytes", "gauge", "bytes of the store's log on the disk",
	            (int64_t)store_bytes(&s->store));
}

void h_metrics(struct call *c)
{
	struct metrics metrics = { .prefix = "daytona_server_" };

	http_figures(&metrics, c->s);
	tunnel_figures(&metrics, c->s);
	store_figures(&metrics, c->s);
	metrics_process(&metrics, c->s->start_ms);
	httpd_respond(c->r, 200, METRICS_TYPE, NULL, buf_str(&metrics.b));
	buf_free(&metrics.b);
}
