/* SPDX-License-Identifier: Apache-2.0 */
/* Output of a container, see follow.h. */
#include "providers/docker/engine/follow.h"

#include "base/mask.h"
#include "base/mem.h"
#include "providers/docker/engine/frames.h"
#include "providers/docker/engine/specbody.h"

#include <stdlib.h>
#include <string.h>

#define STAMP_MAX 40
#define AGAIN_MS 1000
#define TAIL_BYTES 400

struct follow {
	struct engine *engine;
	struct http_client *http;
	struct http_reply reply;
	struct http_request req;
	struct buf target;
	char *id;
	bool tty, busy, over, silent;
	struct deadline again; /* when to open the stream next */
	struct frames frames;
	/* Of the entry being read. */
	uint64_t entry; /* its frame's number */
	bool line_start, drop;
	char stamp[STAMP_MAX];
	size_t n_stamp;
	/* Where we are: time of the last entry and how many had it; how many of these come again. */
	char started[STAMP_MAX]; /* the container's start, until there is an entry */
	char last[STAMP_MAX];
	unsigned same, repeats;
};

/* "2026-01-02T03:04:05.123456789Z" to "1767323045.123456789". */
static void add_since(struct buf *b, const char *stamp)
{
	const char *dot = strchr(stamp, '.');
	int64_t ms = 0;
	int digits = 0;

	if (!time_parse_rfc3339(stamp, &ms) || ms < 0)
		ms = 0;
	buf_addf(b, "%lld.", (long long)(ms / 1000));
	while (dot && digits < 9 && dot[1 + digits] >= '0' && dot[1 + digits] <= '9')
		buf_addc(b, dot[1 + digits++]);
	while (digits++ < 9)
		buf_addc(b, '0');
}

static void entry_begins(struct follow *f)
{
	int order = strcmp(f->stamp, f->last);

	f->drop = order < 0 || (order == 0 && f->repeats > 0);
	if (f->drop) {
		f->repeats -= order == 0;
		return;
	}
	f->repeats = 0;
	f->same = order == 0 ? f->same + 1 : 1;
	memcpy(f->last, f->stamp, sizeof(f->last));
}

/* Each entry is a time, a blank, and its bytes. Framed, an entry is a frame; raw, it is a line. */
static void take(void *arg, int stream, struct str s)
{
	struct follow *f = arg;

	(void)stream;
	if (!f->frames.raw && f->frames.count != f->entry) {
		f->entry = f->frames.count;
		f->line_start = true;
	}
	while (s.n) {
		const char *end;
		size_t n = s.n;

		if (f->line_start && f->n_stamp < STAMP_MAX - 1) {
			char c = *s.p++;

			s.n--;
			if (c != ' ' && f->n_stamp < STAMP_MAX - 2) {
				f->stamp[f->n_stamp++] = c;
				continue;
			}
			f->stamp[f->n_stamp] = '\0';
			f->n_stamp = 0;
			f->line_start = false;
			entry_begins(f);
			continue;
		}
		end = f->frames.raw ? memchr(s.p, '\n', s.n) : NULL;
		if (end) {
			n = (size_t)(end - s.p) + 1;
			f->line_start = true;
		}
		if (!f->drop)
			f->engine->env->log(f->engine->env->log_arg, (struct str){ s.p, n });
		s.p += n;
		s.n -= n;
	}
}

static int sink(void *arg, struct str bytes, struct err *e)
{
	struct follow *f = arg;

	return frames_feed(&f->frames, bytes, take, f, e);
}

static void open_stream(struct follow *f)
{
	buf_reset(&f->target);
	buf_addf(&f->target,
	         "/v1.%d/containers/%s/logs?follow=1&stdout=1&stderr=1&timestamps=1&since=",
	         f->engine->api, f->id);
	add_since(&f->target, *f->last ? f->last : f->started);
	f->frames = (struct frames){ .raw = f->tty };
	f->entry = 0;
	f->n_stamp = 0;
	f->line_start = true;
	f->repeats = f->same;
	f->req = (struct http_request){
		.method = "GET", .target = buf_cstr(&f->target), .sink = sink, .sink_arg = f
	};
	http_start(f->http, &f->req, &f->reply, DEADLINE_NEVER);
	f->busy = true;
}

struct follow *follow_start(struct engine *engine, const struct container *c)
{
	struct follow *f = mem_alloc(sizeof(*f));
	size_t n = strnlen(c->started_at, STAMP_MAX - 1);

	f->engine = engine;
	f->id = mem_dup(c->id);
	f->tty = c->tty;
	f->silent = strcmp(c->entry, PROGRAM_PATH) == 0;
	memcpy(f->started, c->started_at, n);
	f->http = http_client_new(&engine->target, "daytona-runner");
	open_stream(f);
	return f;
}

void follow_step(struct follow *f)
{
	struct err ignored = { 0 };
	struct container c;
	enum http_progress p;

	if (!f || f->over)
		return;
	if (f->busy) {
		p = http_step(f->http, &ignored);
		if (p == HTTP_PENDING)
			return;
		f->busy = false;
		f->over = p == HTTP_DONE && f->reply.status != 200;
		http_reply_free(&f->reply);
		f->again = deadline_in_ms(AGAIN_MS);
		return;
	}
	if (!deadline_passed(f->again))
		return;
	if (container_inspect(f->engine, f->id, &c, deadline_in_ms(2000), &ignored) < 0 ||
	    c.state != CS_RUNNING)
		f->over = true;
	else
		open_stream(f);
	container_free(&c);
}

void follow_finish(struct follow *f, int64_t ms)
{
	struct deadline d = deadline_in_ms(ms);
	struct pollset ps = { 0 };
	struct err ignored = { 0 };

	follow_step(f);
	while (f && !f->silent && f->busy && !deadline_passed(d) && !engine_stopped(f->engine)) {
		pollset_reset(&ps);
		http_poll(f->http, &ps);
		pollset_until(&ps, d);
		if (pollset_wait(&ps, &ignored) < 0)
			break;
		follow_step(f);
	}
	pollset_free(&ps);
	follow_free(f);
}

void follow_free(struct follow *f)
{
	if (!f)
		return;
	if (f->busy)
		http_abort(f->http);
	http_client_free(f->http);
	http_reply_free(&f->reply);
	buf_free(&f->target);
	free(f->id);
	free(f);
}

struct tail {
	struct frames frames;
	struct mask_tail text;
};

static void take_tail(void *arg, int stream, struct str s)
{
	struct tail *t = arg;

	(void)stream;
	mask_tail_add(&t->text, s);
}

static int tail_sink(void *arg, struct str bytes, struct err *e)
{
	struct tail *t = arg;

	return frames_feed(&t->frames, bytes, take_tail, t, e);
}

void follow_tail(struct engine *engine, const struct container *c, struct buf *out)
{
	struct tail t = { .frames = { .raw = c->tty }, .text = { .max = TAIL_BYTES } };
	struct buf path = { 0 }, clean = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = { .method = "GET", .sink = tail_sink, .sink_arg = &t };
	struct err ignored = { 0 };

	buf_addf(&path, "/containers/%s/logs?stdout=1&stderr=1&tail=20", c->id);
	r.path = buf_cstr(&path);
	(void)engine_send(engine, &r, &reply, deadline_in_ms(5000), &ignored);
	buf_add_printable(&clean, mask_tail_text(&t.text), true);
	for (size_t i = 0; i < clean.n; i++)
		buf_addc(out, clean.p[i] == '\n' ? ' ' : clean.p[i]);
	http_reply_free(&reply);
	buf_free(&clean);
	mask_tail_free(&t.text);
	buf_free(&path);
}
