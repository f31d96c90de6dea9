/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_beat.h. */
#include "agent/beat.h"

#include "agent/tunnel.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "git/status.h"
#include "net/tls.h"

#include <string.h>
#include <sys/stat.h>

#define POST_MS 10000
#define BACKOFF_MAX_MS 10000 /* the Server calls a workspace unresponsive after 30 s */
#define REFUSED_MS 30000     /* key refused or workspace deleted */
#define STATUS_MS 10000      /* git status may take that long */
#define FIRST_STATUS_MS 1000 /* the first post waits for it that long */
#define STATUS_EVERY_MAX_MS 16000
#define STATUS_SHARE 20 /* git status gets at most 1/20 of the time */

static int64_t later(int64_t ms)
{
	return clock_mono_ms() + ms;
}

void beat_start(struct agent_beat *b)
{
	b->started_ms = clock_mono_ms();
	b->status_every_ms = b->interval_ms;
	b->status_at_ms = b->post_at_ms = b->started_ms;
}

/* Cheap signs of a commit, a checkout or an add: then git status need not wait for its turn. */
static int64_t change_sign(const char *dir)
{
	static const char *const files[] = { ".git/index", ".git/HEAD", ".git/logs/HEAD" };
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *path = path_join(dir, files[i]);
		struct stat st;

		if (stat(path, &st) == 0)
			sum += (int64_t)(st.st_mtim.tv_sec % 1000000000) * 1000 +
			       st.st_mtim.tv_nsec / 1000000 + (int64_t)st.st_size;
		free(path);
	}
	return sum;
}

static void run_status(void *arg, struct deadline d)
{
	(void)d; /* the helper is killed when it is over */
	git_status_exec(arg);
}

static void begin_status(struct agent_beat *b)
{
	struct err e = { 0 };
	int64_t sign = change_sign(b->dir);
	union {
		const char *from;
		void *to;
	} dir = { b->dir };

	if (sign == b->seen_change && clock_mono_ms() < b->status_at_ms)
		return;
	b->seen_change = sign;
	b->status_began_ms = clock_mono_ms();
	b->status_at_ms = later(b->status_every_ms);
	if (helper_start(&b->status, run_status, dir.to, deadline_in_ms(STATUS_MS), &e) < 0)
		log_warn("git status: %s", e.msg);
}

/* Whether it differs from the last one. */
static bool use_status(struct agent_beat *b, struct str porcelain)
{
	struct buf json = { 0 };
	bool same;

	git_status_parse(porcelain, &json);
	same = strcmp(buf_cstr(&json), buf_cstr(&b->git)) == 0; /* no NUL in JSON */
	buf_free(&b->git);
	b->git = json;
	return !same;
}

/* A status that did not come leaves the last one standing. */
static void take_status(struct agent_beat *b)
{
	struct buf answer = { 0 };
	enum helper_state s = helper_step(&b->status, &answer);
	int64_t took = clock_mono_ms() - b->status_began_ms;
	bool changed = false;

	if (s == HELPER_OK || s == HELPER_FAILED) {
		if (s == HELPER_FAILED && !b->git_failed)
			log_warn("git status: %s", buf_cstr(&answer));
		b->git_failed = s == HELPER_FAILED;
		if (s == HELPER_OK)
			changed = use_status(b, buf_str(&answer));
		b->status_every_ms = changed ? b->interval_ms : b->status_every_ms * 2;
		if (b->status_every_ms > STATUS_EVERY_MAX_MS)
			b->status_every_ms = STATUS_EVERY_MAX_MS;
		if (b->status_every_ms < took * STATUS_SHARE)
			b->status_every_ms = took * STATUS_SHARE;
		b->status_at_ms = later(b->status_every_ms);
		b->seen_change = change_sign(b->dir);
	}
	buf_free(&answer);
}

static void begin_post(struct agent_beat *b)
{
	int64_t uptime = (clock_mono_ms() - b->started_ms) / 1000;
	struct buf path = { 0 };

	buf_reset(&b->body);
	jw_obj(&b->body);
	jw_kint(&b->body, "uptime", uptime > 0 ? uptime : 1); /* 0 is refused */
	if (!b->is_target && b->git.n) {
		jw_key(&b->body, "gitStatus");
		jw_raw(&b->body, buf_str(&b->git));
	}
	jw_obj_end(&b->body);
	buf_addf(&path, "/%s/%s/metadata", b->is_target ? "target" : "workspace", b->id);
	api_prepare(b->api, &b->request, "POST", buf_cstr(&path), buf_str(&b->body), false);
	b->request.http.idempotent = true;
	buf_free(&path);
	b->post_at_ms = later(b->interval_ms);
	b->posting = true;
	http_start(api_http(b->api), &b->request.http, &b->reply, deadline_in_ms(POST_MS));
}

/* 0.5 to 1 times interval * 2^failures, bounded: many agents must not come back at once. */
static int64_t backoff(const struct agent_beat *b)
{
	int64_t ms = b->interval_ms;
	unsigned char r[1] = { 0 };
	struct err ignored = { 0 }; /* without randomness it is just a regular wait */

	for (unsigned i = 1; i < b->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	crypto_random(r, sizeof(r), &ignored);
	return ms / 2 + ms * r[0] / 510;
}

static void end_post(struct agent_beat *b, enum http_progress p, struct err *e)
{
	bool ok = p == HTTP_DONE && api_check(b->api, &b->reply, "POST metadata", e) == 0;

	b->posting = false;
	b->streams = ok && http_head_get(&b->reply.h, TUNNEL_OFFER).n > 0;
	http_reply_free(&b->reply);
	if (ok) {
		if (b->failures > 0)
			log_info("the Server takes the metadata again");
		else if (!b->posted)
			log_info("the Server takes the metadata");
		b->posted = true;
		b->failures = 0;
		return;
	}
	if (b->failures++ == 0)
		log_warn("%s; going on trying", e->msg);
	b->post_at_ms = later(backoff(b));
	if (api_verdict(e) != API_AGAIN && api_verdict(e) != API_TROUBLE)
		b->post_at_ms = later(REFUSED_MS);
}

void beat_poll(const struct agent_beat *b, struct pollset *ps)
{
	if (b->dir && !b->is_target)
		helper_poll(&b->status, ps);
	if (!b->api)
		return;
	if (b->posting)
		http_poll(api_http(b->api), ps);
	else
		pollset_until(ps, (struct deadline){ b->post_at_ms });
}

void beat_step(struct agent_beat *b)
{
	struct err e = { 0 };

	if (!b->api)
		return;
	take_status(b);
	if (b->posting) {
		enum http_progress p = http_step(api_http(b->api), &e);

		if (p != HTTP_PENDING)
			end_post(b, p, &e);
		return;
	}
	if (clock_mono_ms() < b->post_at_ms)
		return;
	/* The answer goes with the next post; the first one waits for the first status. */
	if (b->dir && !b->is_target && !b->status.busy)
		begin_status(b);
	if (b->status.busy && !b->posted && clock_mono_ms() - b->started_ms < FIRST_STATUS_MS)
		b->post_at_ms = later(20);
	else
		begin_post(b);
}

void beat_free(struct agent_beat *b)
{
	if (b->posting)
		http_abort(api_http(b->api));
	b->posting = false;
	http_reply_free(&b->reply);
	api_request_free(&b->request);
	buf_free(&b->git);
	buf_free(&b->body);
	buf_free(&b->status.answer);
}
