/* SPDX-License-Identifier: Apache-2.0 */
/* See joblog.h. */
#include "jobs/joblog.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/ws.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define QUEUE_MAX (256u << 10) /* entries that wait for the Server */
#define LOCAL_MAX \
	(64ll << 20) /* of one job in the local file; then a marker, and the job goes on */
#define LOOK_EACH (64ll << 10) /* how much is written between two looks at the disk */
#define ROOM_SHARE 8           /* of the disk is left to journal and state, … */
#define ROOM_MAX (32ull << 20) /* … but not more than that */
#define RECONNECT_MS 2000
#define RECONNECT_MAX_MS 60000
#define CONNECT_MS 15000

struct joblog {
	const struct api *api;
	char *socket_path;
	char *label;
	const char *say_source, *output_source;
	const char *source; /* of what the cutter emits */
	int fd;             /* local file; -1 if it cannot be written */
	int64_t local_bytes, look_at;
	struct log_cutter *cutter;
	struct ws_client *ws;
	struct deadline retry;
	struct api_log_tries tries;
	struct buf queue; /* entries not yet given to the socket, whole, in order */
	unsigned dropped;
};

const char *joblog_kind_dir(enum resource_type kind)
{
	switch (kind) {
	case RES_WORKSPACE:
		return "workspaces";
	case RES_TARGET:
		return "targets";
	case RES_BUILD:
		return "builds";
	default:
		return "runners";
	}
}

static void log_dir(const char *state_dir, enum resource_type kind, const char *id, struct buf *b)
{
	buf_addf(b, "%s/logs/%s/%s", state_dir, joblog_kind_dir(kind), id);
}

char *joblog_path(const char *state_dir, enum resource_type kind, const char *id)
{
	struct buf b = { 0 };

	log_dir(state_dir, kind, id, &b);
	buf_adds(&b, "/log");
	return buf_take(&b);
}

void joblog_remove(const char *state_dir, enum resource_type kind, const char *id)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	if (str_is_id(str_of(id))) {
		log_dir(state_dir, kind, id, &b);
		if (file_remove_tree(buf_cstr(&b), &e) < 0)
			log_warn("%s", e.msg);
	}
	buf_free(&b);
}

/* A resource lives long and has many jobs: what is full becomes log.1, in place of the one before. */
static void rotate(const char *path)
{
	struct buf old = { 0 };
	struct stat st;

	buf_addf(&old, "%s.1", path);
	if (lstat(path, &st) == 0 && st.st_size >= LOCAL_MAX && rename(path, buf_cstr(&old)) < 0)
		log_warn("rename %s: %s", path, strerror(errno));
	buf_free(&old);
}

static int open_local(const char *state_dir, enum resource_type kind, const char *id)
{
	struct buf dir = { 0 };
	struct err e = { 0 };
	char *path = joblog_path(state_dir, kind, id);
	int fd = -1;

	log_dir(state_dir, kind, id, &dir);
	if (file_mkdirs(buf_cstr(&dir), 0700, &e) == 0) {
		rotate(path);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			err_sys(&e, errno, "open %s", path);
	}
	if (fd < 0)
		log_warn("the local log of %s %s is not written: %s", resource_type_name(kind), id,
		         e.msg);
	buf_free(&dir);
	free(path);
	return fd;
}

static bool has_room(int fd)
{
	struct statvfs v;
	uint64_t keep;

	if (fstatvfs(fd, &v) < 0)
		return true;
	keep = (uint64_t)v.f_blocks * v.f_frsize / ROOM_SHARE;
	return (uint64_t)v.f_bavail * v.f_frsize >= (keep < ROOM_MAX ? keep : ROOM_MAX);
}

/* Why nothing more is written here; NULL: go on. */
static const char *local_end(struct joblog *l, size_t n)
{
	l->local_bytes += (int64_t)n;
	if (l->local_bytes >= LOCAL_MAX)
		return "output limit of the local log reached, the job goes on\n";
	if (l->local_bytes < l->look_at)
		return NULL;
	l->look_at = l->local_bytes + LOOK_EACH;
	if (has_room(l->fd))
		return NULL;
	l->local_bytes = LOCAL_MAX;
	return "the disk of the runner's state is nearly full: the local log ends here, the job goes on\n";
}

static void add_local(struct joblog *l, struct str entry)
{
	struct buf marker = { 0 };
	struct err e = { 0 };
	const char *end;

	if (l->fd < 0 || l->local_bytes >= LOCAL_MAX)
		return;
	end = local_end(l, entry.n);
	if (end) {
		log_entry_add(&marker, l->say_source, l->label, str_of(end));
		entry = buf_str(&marker);
	}
	if (file_write_all(l->fd, entry, "local log", &e) < 0) {
		log_warn("%s", e.msg);
		fd_close(&l->fd);
	}
	buf_free(&marker);
}

static void add_entry(struct joblog *l, struct str msg)
{
	struct buf entry = { 0 };

	log_entry_add(&entry, l->source, l->label, msg);
	add_local(l, buf_str(&entry));
	if (l->queue.n + entry.n > QUEUE_MAX)
		l->dropped++;
	else
		buf_add_str(&l->queue, buf_str(&entry));
	buf_free(&entry);
}

static void emit(void *arg, struct str msg)
{
	add_entry(arg, msg);
}

struct joblog *joblog_open(const struct api *api, const char *state_dir, enum resource_type kind,
                           const char *id, const char *label)
{
	struct joblog *l = mem_alloc(sizeof(*l));
	struct buf path = { 0 };

	buf_addf(&path, "/log/%s/%s/write", resource_type_name(kind), id);
	l->api = api;
	l->socket_path = buf_take(&path);
	l->label = mem_dup(label);
	l->say_source = kind == RES_BUILD ? "builder" : "server";
	l->output_source = kind == RES_BUILD ? "builder" : "provider";
	l->source = l->output_source;
	l->fd = open_local(state_dir, kind, id);
	l->cutter = log_cutter_new(emit, l);
	return l;
}

static void hand_over(struct joblog *l)
{
	if (l->dropped) {
		struct buf text = { 0 };
		unsigned dropped = l->dropped;

		buf_addf(
			&text,
			"%u log entries are missing here: the Server was away; the runner's copy has them\n",
			dropped);
		l->dropped = 0;
		log_entry_add(&l->queue, l->say_source, l->label, buf_str(&text));
		buf_free(&text);
	}
	log_entries_send(&l->queue, l->ws, QUEUE_MAX);
}

/* It is tried again with growing pauses. */
static void closed(struct joblog *l, const struct err *e)
{
	int64_t wait_ms = RECONNECT_MS;

	api_log_closed(&l->tries, l->socket_path, e);
	for (unsigned i = 1; i < l->tries.failures && wait_ms < RECONNECT_MAX_MS; i++)
		wait_ms *= 2;
	l->retry = deadline_in_ms(wait_ms < RECONNECT_MAX_MS ? wait_ms : RECONNECT_MAX_MS);
}

/* Drives the socket without blocking; called by output and say too. */
static void joblog_pump(struct joblog *l)
{
	enum ws_status now;
	struct err e = { 0 };

	if (!l->ws) {
		if (l->queue.n == 0 || !deadline_passed(l->retry))
			return;
		l->ws = api_log_socket(l->api, l->socket_path, deadline_in_ms(CONNECT_MS));
	}
	now = ws_client_step(l->ws, NULL, NULL, &e);
	if (now == WS_OPEN) {
		api_log_opened(&l->tries);
		hand_over(l);
		now = ws_client_step(l->ws, NULL, NULL, &e);
	}
	if (now == WS_CLOSED) {
		ws_client_free(l->ws);
		l->ws = NULL;
		closed(l, &e);
	}
}

void joblog_say(struct joblog *l, const char *fmt, ...)
{
	struct buf b = { 0 };
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_addf(&b, "%s\n", line);
	log_cutter_flush(l->cutter);
	l->source = l->say_source;
	log_cutter_feed(l->cutter, buf_str(&b));
	log_cutter_flush(l->cutter);
	l->source = l->output_source;
	buf_free(&b);
	joblog_pump(l);
}

void joblog_output(void *joblog, struct str bytes)
{
	struct joblog *l = joblog;

	log_cutter_feed(l->cutter, bytes);
	joblog_pump(l);
}

static bool flushed(const struct joblog *l)
{
	return l->queue.n == 0 && l->ws && ws_client_queued(l->ws) == 0;
}

void joblog_close(struct joblog *l, int64_t flush_ms)
{
	struct deadline d = deadline_in_ms(flush_ms);
	struct pollset ps = { 0 };
	struct err e = { 0 };

	if (!l)
		return;
	log_cutter_free(l->cutter);
	l->cutter = NULL;
	l->retry = (struct deadline){ 0 };
	joblog_pump(l);
	while (l->ws && !flushed(l) &&
	       !deadline_passed(d)) { /* a socket that fails now is not tried again */
		pollset_reset(&ps);
		pollset_until(&ps, d);
		ws_client_poll(l->ws, &ps);
		if (pollset_wait(&ps, &e) < 0)
			break;
		joblog_pump(l);
	}
	if (flushed(l)) {
		ws_client_close(l->ws);
		ws_client_step(l->ws, NULL, NULL, &e);
	}
	pollset_free(&ps);
	ws_client_free(l->ws);
	fd_close(&l->fd);
	buf_free(&l->queue);
	free(l->socket_path);
	free(l->label);
	free(l);
}
