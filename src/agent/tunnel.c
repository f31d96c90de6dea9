/* SPDX-License-Identifier: Apache-2.0 */
/* See agent/tunnel.h. */
#include "agent/tunnel.h"

#include "agent/stream.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

#include <stdlib.h>

#define POLL_MS \
	(11 * 60 * \
	 1000) /* the Server's longest and a minute; a dead one is learnt by the heartbeat */
#define LIST_MAX (1u << 20)
#define STREAMS_MAX 1024 /* of one answer */
#define BACKOFF_MAX_MS 10000
#define REFUSED_MS 30000
#define QUICK_MS 500

/* 0.5 to 1 times 250 ms * 2^n: many agents must not come back at once. */
static struct deadline backoff(unsigned n)
{
	int64_t ms = 250;
	unsigned char r = 0;
	struct err ignored = { 0 }; /* without randomness it is just a regular wait */

	while (n-- > 1 && ms < BACKOFF_MAX_MS)
		ms *= 2;
	crypto_random(&r, 1, &ignored);
	return deadline_in_ms(ms / 2 + ms * r / 510);
}

static void start_poll(struct agent_tunnel *t)
{
	struct buf path = { 0 };

	if (!t->api)
		t->api = api_new(t->settings);
	buf_addf(&path, "/workspace/%s/tunnel/poll", t->id);
	api_prepare(t->api, &t->request, "GET", buf_cstr(&path), (struct str){ NULL, 0 }, true);
	buf_free(&path);
	t->request.http.max_body = LIST_MAX;
	t->polling = true;
	t->began_ms = clock_mono_ms();
	http_start(api_http(t->api), &t->request.http, &t->reply, deadline_in_ms(POLL_MS));
}

static void start_stream(const struct agent_tunnel *t, struct json member)
{
	struct stream_order o = {
		.settings = t->settings,
		.workspace = t->id,
		.dir = t->dir,
		.id = json_dup_or_empty(json_get(member, "id")),
		.kind = json_dup_or_empty(json_get(member, "kind")),
		.query = json_dup_or_empty(json_get(member, "query")),
	};
	struct err e = { 0 };

	if (!str_is_id(str_of(o.id)))
		log_warn("a stream without a usable id was asked for");
	else if (stream_start(&o, &e) < 0)
		log_warn("%s stream: %s", o.kind, e.msg);
	free(o.id);
	free(o.kind);
	free(o.query);
}

static int take_streams(const struct agent_tunnel *t, struct err *e)
{
	struct json_doc *doc;
	size_t n = 0;

	if (t->reply.status == 204)
		return 0;
	doc = json_parse(buf_str(&t->reply.body), LIST_MAX, e);
	if (!doc || !json_is_array(json_root(doc))) {
		json_doc_free(doc);
		return err_set(e, ERR_PARSE, 0, "the answer is no list of streams");
	}
	for (struct json member = json_first(json_root(doc));
	     json_present(member) && n < STREAMS_MAX; n++) {
		start_stream(t, member);
		member = json_next(member);
	}
	json_doc_free(doc);
	return 0;
}

static void poll_ended(struct agent_tunnel *t, enum http_progress p, struct err *e)
{
	bool quick = clock_mono_ms() - t->began_ms < QUICK_MS;
	bool ok = p == HTTP_DONE && api_check(t->api, &t->reply, "GET tunnel/poll", e) == 0 &&
	          take_streams(t, e) == 0;

	t->polling = false;
	if (!ok) {
		/* One that lasted and was cut is an idle one. */
		if (quick || p == HTTP_DONE) {
			if (t->failures++ == 0)
				log_warn("%s; going on trying", e->msg);
			t->not_before = backoff(t->failures);
		}
		if (p == HTTP_DONE && api_verdict(e) != API_AGAIN && api_verdict(e) != API_TROUBLE)
			t->not_before = deadline_in_ms(REFUSED_MS);
	} else {
		t->failures = 0;
		t->idle = quick && t->reply.status == 204 ? t->idle + 1 : 0;
		t->not_before = t->idle > 1 ? backoff(t->idle) : DEADLINE_PAST;
	}
	http_reply_free(&t->reply);
}

void tunnel_watch_poll(const struct agent_tunnel *t, bool offered, struct pollset *ps)
{
	if (t->polling)
		http_poll(api_http(t->api), ps);
	else if (offered && t->id)
		pollset_until(ps, t->not_before);
}

static void stop_poll(struct agent_tunnel *t)
{
	if (t->polling)
		http_abort(api_http(t->api));
	t->polling = false;
	http_reply_free(&t->reply);
}

void tunnel_watch_step(struct agent_tunnel *t, bool offered)
{
	struct err e = { 0 };
	enum http_progress p;

	if (!t->id)
		return;
	if (t->polling && !offered)
		stop_poll(
			t); /* by a Server that is away the heartbeat fails, and this would hang */
	if (t->polling) {
		p = http_step(api_http(t->api), &e);
		if (p != HTTP_PENDING)
			poll_ended(t, p, &e);
	}
	if (!t->polling && offered && deadline_passed(t->not_before)) {
		start_poll(t);
		p = http_step(api_http(t->api), &e);
		if (p != HTTP_PENDING)
			poll_ended(t, p, &e);
	}
}

void tunnel_watch_free(struct agent_tunnel *t)
{
	stop_poll(t);
	api_request_free(&t->request);
	api_free(t->api);
	t->api = NULL;
}
