/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See runlog.h: the runner's own log. Every line goes to the local file first (entries as in protocol 6),
 * then into a bounded queue for the Server's WebSocket, which may come and go.
 */
#include "runner/runlog.h"

#include "api/logentry.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/logfile.h"
#include "jobs/joblog.h"
#include "net/ws.h"
#include "runner/channel.h"
#include "runner/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX (64u << 10)
#define CONNECT_MS 15000

struct runlog {
	struct sup *s;
	struct logfile *file;
	bool file_failed; /* told once */
	bool busy;        /* guards against logging about logging */
	struct ws_client *ws;
	char *socket_path;
	struct api_log_tries tries;
	struct deadline retry;
	struct buf queue; /* whole entries */
	unsigned dropped;
};

static void open_file(struct runlog *l)
{
	const struct config *c = l->s->c;
	struct logfile_limits limits = {
		.max_bytes = c->log_max_size_mb * 1024 * 1024,
		.max_backups = c->log_max_backups,
		.max_age_days = c->log_max_age_days,
		.local_time = c->log_local_time,
		.compress = c->log_compress,
	};
	char *path;
	struct err e = { 0 };

	if (!l->s->state_ok)
		return;
	path = joblog_path(c->state_dir, RES_RUNNER, c->id);
	l->file = logfile_open(path, &limits, &e);
	free(path);
	if (!l->file)
		log_warn("the log goes to standard error only: %s", e.msg);
}

static const char *level_text(enum log_level level)
{
	static const char *const names[] = { "ERRO", "WARN", "INFO", "DEBU" };

	return names[level];
}

static void sink(void *arg, enum log_level level, struct str line)
{
	struct runlog *l = arg;
	struct buf msg = { 0 }, entry = { 0 };
	struct err e = { 0 };

	if (l->busy)
		return;
	l->busy = true;
	buf_addf(&msg, "%s[%04lld] %.*s\n", level_text(level),
	         (long long)((clock_mono_ms() - l->s->start_ms) / 1000), STR_ARG(line));
	log_entry_add(&entry, "runner", l->s->c->name, buf_str(&msg));
	if (l->file && logfile_append(l->file, buf_str(&entry), &e) < 0) {
		if (!l->file_failed)
			log_error("the local log cannot be written: %s", e.msg);
		l->file_failed = true;
	} else {
		l->file_failed = false;
	}
	if (l->queue.n + entry.n <= QUEUE_MAX)
		buf_add_str(&l->queue, buf_str(&entry));
	else
		l->dropped++;
	buf_free(&entry);
	buf_free(&msg);
	l->busy = false;
}

void runlog_open(struct sup *s)
{
	struct runlog *l = mem_alloc(sizeof(*l));
	struct buf path = { 0 };

	s->runlog = l;
	l->s = s;
	buf_addf(&path, "/log/runner/%s/write", s->c->id);
	l->socket_path = buf_take(&path);
	open_file(l);
	log_set_sink(sink, l);
}

static void hand_over(struct runlog *l)
{
	log_entries_send(&l->queue, l->ws, QUEUE_MAX);
	if (l->queue.n == 0) {
		buf_free(&l->queue); /* idle: no memory kept */
		if (l->dropped) {
			unsigned dropped = l->dropped;

			l->dropped = 0;
			log_warn("%u log lines are only in the local log: the Server was away",
			         dropped);
		}
	}
}

void runlog_step(struct sup *s)
{
	struct runlog *l = s->runlog;
	struct err e = { 0 };

	/* Not before a heartbeat was accepted: it is the heartbeat that finds out about the Server. */
	if (!l || (!l->ws && (l->queue.n == 0 || !health_is_ok(s) || !deadline_passed(l->retry))))
		return;
	if (l->ws && l->queue.n == 0 && s->waited && ws_client_is_quiet(l->ws, s->waited))
		return;
	if (!l->ws)
		l->ws = api_log_socket(channels_api(s), l->socket_path, deadline_in_ms(CONNECT_MS));
	switch (ws_client_step(l->ws, NULL, NULL, &e)) {
	case WS_OPEN:
		api_log_opened(&l->tries);
		if (l->queue.n) {
			hand_over(l);
			ws_client_step(l->ws, NULL, NULL, &e);
		}
		break;
	case WS_CLOSED:
		ws_client_free(l->ws);
		l->ws = NULL;
		api_log_closed(&l->tries, l->socket_path, &e);
		l->retry = deadline_in_ms(backoff_ms(l->tries.failures, 30000));
		break;
	default:
		break;
	}
}

void runlog_poll(struct sup *s, struct pollset *ps)
{
	struct runlog *l = s->runlog;

	if (!l)
		return;
	if (l->ws)
		ws_client_poll(l->ws, ps);
	else if (l->queue.n && health_is_ok(s))
		pollset_until(ps, l->retry);
}

void runlog_reopen(struct sup *s)
{
	struct runlog *l = s->runlog;

	if (!l)
		return;
	logfile_close(l->file);
	l->file = NULL;
	open_file(l);
}

void runlog_hang_up(struct sup *s)
{
	struct runlog *l = s->runlog;

	if (!l)
		return;
	ws_client_free(l->ws);
	l->ws = NULL;
	l->retry = (struct deadline){ 0 };
}

void runlog_close(struct sup *s, int64_t flush_ms)
{
	struct runlog *l = s->runlog;
	struct deadline d = deadline_in_ms(flush_ms);
	struct pollset ps = { 0 };
	struct err e = { 0 };

	if (!l)
		return;
	runlog_step(s);
	while (l->ws && l->queue.n + ws_client_queued(l->ws) > 0 && !deadline_passed(d)) {
		pollset_reset(&ps);
		pollset_until(&ps, d);
		ws_client_poll(l->ws, &ps);
		if (pollset_wait(&ps, &e) < 0)
			break;
		runlog_step(s);
	}
	if (l->ws) {
		ws_client_close(l->ws);
		ws_client_step(l->ws, NULL, NULL, &e);
	}
	log_set_sink(NULL, NULL);
	pollset_free(&ps);
	ws_client_free(l->ws);
	logfile_close(l->file);
	buf_free(&l->queue);
	free(l->socket_path);
	free(l);
	s->runlog = NULL;
}
