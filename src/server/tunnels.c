/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tunnels.h. A stream has two ends, the client's and the agent's WebSocket; whoever closes, the
 * other is told with the same code and reason. Its identifier is known to the agent alone and good
 * for one WebSocket. Both ends always read and grant each other what may be under way, so a queue
 * that grows beyond that is somebody's fault and ends the stream.
 */
#include "server/tunnels.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "server/audit.h"
#include "server/polls.h"
#include "server/relay.h"

#include <stdlib.h>

#define OFFER "X-Daytona-Runner-Tunnel: 1\r\n"
#define STREAMS_MAX 1024
#define POLLS_MAX 4 /* of one workspace: an agent that was cut off may have left some */
#define KIND_MAX 16
#define QUERY_MAX 4096
#define MESSAGE_MAX (64u << 10)
#define QUEUE_MAX ((1u << 20) + (64u << 10)) /* four times the window: frames of one byte */
#define FAIR_QUEUE (64u << 10)               /* nobody is ended for a queue that is shorter */
#define QUEUES_MAX (256u << 20)              /* of all streams */
#define AGENT_MS 5000                        /* for a poll of the workspace's agent to come */
#define JOIN_MS 10000                        /* for the agent to open its end */
#define TICK_MS 250
#define PING_MS 1500
#define SILENT_MS 5000

/* Close codes of our own; the reason says it to people. */
enum {
	CLOSE_NO_AGENT = 4001,
	CLOSE_AGENT_SILENT = 4002,
	CLOSE_STOPPED = 4003,
	CLOSE_REVOKED = 4004,
};

enum side { CLIENT, AGENT };

struct stream {
	struct stream *next, **at; /* *at is this */
	struct tunnels *t;
	char *id, *workspace, *kind, *query, *owner; /* owner: mark of the client's key */
	struct httpd_req *end[2];                    /* NULL: not yet, or no more */
	size_t queued[2];                            /* bytes to that side, as counted */
	struct buf
		early; /* messages of the client before the agent is there, each after its size_t */
	bool told, joined, ended;
	struct relay *relay;   /* the client speaks HTTP; NULL: it has a WebSocket */
	struct deadline until; /* to be joined */
	struct deadline ping;
};

struct tunnels {
	struct srv *s;
	struct polls *polls; /* of agents, by workspace */
	struct stream *streams;
	struct deadline tick;
	struct tunnels_figures f; /* of it: what is counted since the start, and queued */
};

struct tunnels_figures tunnels_figures(const struct tunnels *t)
{
	struct tunnels_figures f = t->f;

	for (const struct stream *st = t->streams; st; st = st->next) {
		f.open += st->joined && !st->ended;
		f.waiting += !st->joined && !st->ended;
	}
	f.agents = polls_waiting(t->polls);
	return f;
}

void tunnels_offer(struct call *c)
{
	struct buf fields = { 0 };

	buf_addf(&fields, "X-Server-Version: %s\r\n" OFFER, c->s->opt.version);
	httpd_respond(c->r, 200, NULL, buf_cstr(&fields), (struct str){ NULL, 0 });
	buf_free(&fields);
}

/* ---- a stream and its ends ---- */

static enum side side_of(const struct stream *st, const struct httpd_req *r)
{
	return st->end[CLIENT] == r ? CLIENT : AGENT;
}

static void count_queue(struct stream *st, enum side to, size_t now)
{
	st->t->f.queued += now - st->queued[to];
	st->queued[to] = now;
}

static void stream_free(struct stream *st)
{
	count_queue(st, CLIENT, 0);
	count_queue(st, AGENT, 0);
	*st->at = st->next;
	if (st->next)
		st->next->at = st->at;
	free(st->id);
	free(st->workspace);
	free(st->kind);
	free(st->query);
	free(st->owner);
	buf_free(&st->early);
	relay_free(st->relay);
	free(st);
}

static void close_end(struct stream *st, enum side side, int code, const char *reason)
{
	if (st->end[side] && st->relay && side == CLIENT)
		relay_close(st->relay, st->end[side], code, reason);
	else if (st->end[side])
		httpd_ws_close_with(st->end[side], code, reason);
}

static void stream_end(struct stream *st, int code, const char *reason)
{
	st->t->f.failed += !st->ended && !st->joined;
	st->ended = true;
	close_end(st, CLIENT, code, reason);
	close_end(st, AGENT, code, reason);
}

/* What the other side is told of a side that closed. */
static void pass_on(struct stream *st, enum side from, int code, struct str reason)
{
	static const char *const who[] = { "client", "workspace's agent" };
	struct buf text = { 0 };

	if (code == WS_CLOSE_NONE || code == WS_CLOSE_LOST)
		buf_addf(&text, "the %s has gone", who[from]);
	else if (code != WS_CLOSE_NORMAL && !reason.n)
		buf_addf(&text, "the %s broke the protocol", who[from]);
	else
		buf_add_str(&text, reason);
	if (code == WS_CLOSE_NONE || code == WS_CLOSE_LOST)
		code = WS_CLOSE_AWAY;
	stream_end(st, code, buf_cstr(&text));
	buf_free(&text);
}

static void end_closed(struct httpd_req *r, int code)
{
	struct stream *st = r->user;
	enum side side = side_of(st, r);

	st->end[side] = NULL;
	if (st->end[!side])
		pass_on(st, side, code, httpd_ws_reason(r));
	else
		stream_free(st);
}

static void pass_message(struct stream *st, enum side to, struct str payload);

static void end_drained(struct httpd_req *r)
{
	struct stream *st = r->user;
	enum side side = side_of(st, r);
	char grant[RELAY_GRANT];

	count_queue(st, side, 0);
	if (st->relay && side == CLIENT && st->end[AGENT] && !st->ended &&
	    relay_drained(st->relay, grant))
		pass_message(st, AGENT, (struct str){ grant, sizeof(grant) });
}

/* n more bytes for that side: false, and the stream ends, when that is too much. */
static bool within_bounds(struct stream *st, enum side to, size_t queued, size_t n)
{
	if (queued + n > QUEUE_MAX) {
		stream_end(st, WS_CLOSE_POLICY, "more bytes were sent than the other side allowed");
		return false;
	}
	count_queue(st, to, queued + n);
	if (st->t->f.queued <= QUEUES_MAX || queued + n < FAIR_QUEUE)
		return true;
	stream_end(st, WS_CLOSE_AGAIN_LATER, "too many bytes wait on the Server for slow readers");
	return false;
}

static void pass_message(struct stream *st, enum side to, struct str payload)
{
	struct httpd_req *r = st->end[to];

	st->t->f.bytes += payload.n;
	if (!within_bounds(st, to, httpd_ws_queued(r), payload.n))
		return;
	if (!st->relay || to == AGENT)
		httpd_ws_send(r, WS_BINARY, payload);
	else if (!relay_message(st->relay, r, payload))
		stream_end(st, WS_CLOSE_POLICY, "the workspace's agent broke the protocol");
}

static void keep_message(struct stream *st, struct str payload)
{
	if (!within_bounds(st, AGENT, st->early.n, payload.n + sizeof(payload.n)))
		return;
	buf_add(&st->early, &payload.n, sizeof(payload.n));
	buf_add_str(&st->early, payload);
}

static void end_message(struct httpd_req *r, enum ws_opcode op, struct str payload)
{
	struct stream *st = r->user;
	enum side side = side_of(st, r);

	if (st->ended)
		return;
	if (op != WS_BINARY)
		stream_end(st, WS_CLOSE_POLICY, "only binary messages belong into a stream");
	else if (st->end[!side])
		pass_message(st, !side, payload);
	else if (!st->joined)
		keep_message(st, payload);
}

static const struct httpd_ws end_ws = {
	.message = end_message,
	.drained = end_drained,
	.closed = end_closed,
	.max_message = MESSAGE_MAX,
};

/* Of a client that speaks HTTP: as much as the agent allows. */
static size_t end_bytes(struct httpd_req *r, struct str bytes)
{
	struct stream *st = r->user;
	struct buf message = { 0 };
	size_t taken = 0;
	long n;

	while (st->joined && st->end[AGENT] && !st->ended && taken < bytes.n) {
		struct str rest = { bytes.p + taken, bytes.n - taken };

		buf_reset(&message);
		n = relay_bytes(st->relay, rest, &message);
		if (!n)
			break;
		taken += n > 0 ? (size_t)n : 0;
		if (n < 0)
			stream_end(st, WS_CLOSE_POLICY, "the request's body is malformed");
		else if (message.n)
			pass_message(st, AGENT, buf_str(&message));
	}
	buf_free(&message);
	return st->ended ? bytes.n : taken;
}

static const struct httpd_ws relay_end = {
	.bytes = end_bytes,
	.drained = end_drained,
	.closed = end_closed,
};

/* False: the answer has been sent. */
static bool upgrade(struct call *c)
{
	struct buf fields = { 0 };
	int rc;

	buf_addf(&fields, "X-Server-Version: %s\r\n", c->s->opt.version);
	rc = httpd_upgrade(c->r, &end_ws, buf_cstr(&fields));
	buf_free(&fields);
	return rc == 0;
}

/* Why nothing goes into a workspace (any more); NULL: it may. */
static const char *why_not(const struct srv *s, const char *workspace)
{
	static const char *const over[] = { "stopping", "stopped", "deleting", "deleted" };
	static const char *const texts[] = { "the workspace is being stopped",
		                             "the workspace is stopped; start it first",
		                             "the workspace is being deleted",
		                             "the workspace is deleted" };
	const struct rec *w = store_find(&s->store, K_WORKSPACE, "id", workspace);
	struct state state;

	if (!w)
		return texts[3];
	state_of(s, w, &state);
	for (size_t i = 0; i < ARRAY_LEN(over); i++)
		if (strcmp(state.name, over[i]) == 0)
			return texts[i];
	return NULL;
}

/* ---- the agent's poll ---- */

/* Tells what waits for that workspace; false: nothing does, and there is no answer yet. */
static bool tell(struct call *c, const char *workspace)
{
	struct tunnels *t = c->s->tunnels;
	struct buf b = { 0 };

	for (struct stream *st = t->streams; st; st = st->next) {
		if (st->told || st->ended || strcmp(st->workspace, workspace) != 0)
			continue;
		if (!b.n)
			jw_arr(&b);
		jw_obj(&b);
		jw_kstr(&b, "id", st->id);
		jw_kstr(&b, "kind", st->kind);
		jw_kstr(&b, "query", st->query);
		jw_obj_end(&b);
		st->told = true;
		st->until = deadline_in_ms(JOIN_MS);
	}
	if (!b.n)
		return false;
	jw_arr_end(&b);
	reply_json(c, 200, &b);
	return true;
}

void h_tunnel_poll(struct call *c)
{
	polls_wait(c->s->tunnels->polls, c, c->param[0]);
}

/* ---- opening and joining ---- */

static bool kind_ok(const struct buf *kind)
{
	size_t n = strspn(buf_cstr(kind), "abcdefghijklmnopqrstuvwxyz");

	return n > 0 && n <= KIND_MAX && n == kind->n;
}

static struct stream *stream_add(struct call *c, const char *workspace, const char *kind,
                                 struct relay *relay, char *id)
{
	struct tunnels *t = c->s->tunnels;
	struct stream *st = mem_alloc(sizeof(*st));
	struct buf owner = { 0 };

	st->t = t;
	st->id = id;
	st->workspace = mem_dup(workspace);
	st->kind = mem_dup(kind);
	st->query = relay ? mem_dup("") : mem_dupn(c->r->query.p, c->r->query.n);
	st->relay = relay;
	key_mark(c->key, &owner);
	st->owner = buf_take(&owner);
	st->end[CLIENT] = c->r;
	st->until = deadline_in_ms(AGENT_MS);
	st->ping = deadline_in_ms(PING_MS);
	st->next = t->streams;
	st->at = &t->streams;
	if (st->next)
		st->next->at = &st->next;
	t->streams = st;
	c->r->user = st;
	return st;
}

static void note_opened(const struct call *c, const struct stream *st)
{
	struct buf did = { 0 }, one = { 0 };

	if (st->relay)
		buf_addf(&one, "%.*s %s in the toolbox of workspace %s", STR_ARG(c->r->method),
		         c->param[1], st->workspace);
	else
		buf_addf(&one, "open %s stream into workspace %s", st->kind, st->workspace);
	jw_arr(&did);
	jw_str(&did, buf_str(&one));
	jw_arr_end(&did);
	audit_committed(c->s, buf_str(&did));
	buf_free(&one);
	buf_free(&did);
}

static void begin(struct call *c, const char *workspace, const char *kind, struct relay *relay,
                  char *id)
{
	struct tunnels *t = c->s->tunnels;
	const char *why = why_not(c->s, workspace);
	struct stream *st;
	size_t n = 0;

	for (st = t->streams; st; st = st->next)
		n++;
	st = stream_add(c, workspace, kind, relay, id);
	if (why) {
		stream_end(st, CLOSE_STOPPED, why);
	} else if (n >= STREAMS_MAX) {
		stream_end(st, WS_CLOSE_AGAIN_LATER, "the Server has as many streams as it can");
	} else {
		note_opened(c, st);
		polls_wake(t->polls, workspace);
	}
}

void h_tunnel_open(struct call *c)
{
	bool deleted;
	const struct rec *w = find_live(c->s, K_WORKSPACE, c->param[0], &deleted);
	struct buf kind = { 0 }, id = { 0 };
	struct err e = { 0 };

	if (!w)
		reply_error(c, 404, "workspace %s not found", c->param[0]);
	else if (!call_query(c, "kind", &kind) || !kind_ok(&kind))
		reply_error(c, 400, "kind=… is missing, or none: port, exec, pty, ssh, toolbox");
	else if (c->r->query.n > QUERY_MAX)
		reply_error(c, 400, "the query is longer than %d bytes", QUERY_MAX);
	else if (new_hex_id(&id, &e) < 0)
		reply_error(c, 500, "%s", e.msg);
	else if (upgrade(c))
		begin(c, rec_text(w, "id"), buf_cstr(&kind), NULL, buf_take(&id));
	buf_free(&kind);
	buf_wipe(&id);
}

void h_toolbox(struct call *c)
{
	bool deleted;
	const struct rec *w = find_live(c->s, K_WORKSPACE, c->param[0], &deleted);
	struct buf id = { 0 };
	struct err e = { 0 };

	if (!w) {
		reply_error(c, 404, "workspace %s not found", c->param[0]);
	} else if (new_hex_id(&id, &e) < 0) {
		reply_error(c, 500, "%s", e.msg);
	} else {
		struct relay *relay = relay_new(c); /* while the head is there */

		if (httpd_take_over(c->r, &relay_end) < 0)
			relay_free(relay);
		else
			begin(c, rec_text(w, "id"), "toolbox", relay, buf_take(&id));
	}
	buf_wipe(&id);
}

/* What the client said meanwhile. */
static void send_early(struct stream *st)
{
	struct buf early = st->early;
	size_t n;

	st->early = (struct buf){ 0 };
	count_queue(st, AGENT, 0);
	for (size_t i = 0; i < early.n && !st->ended; i += n) {
		memcpy(&n, early.p + i, sizeof(n));
		i += sizeof(n);
		pass_message(st, AGENT, (struct str){ early.p + i, n });
	}
	buf_free(&early);
}

void h_tunnel_join(struct call *c)
{
	struct stream *st = c->s->tunnels->streams;

	while (st && (!st->told || st->joined || st->ended || strcmp(st->id, c->param[1]) != 0 ||
	              strcmp(st->workspace, c->param[0]) != 0))
		st = st->next;
	if (!st) {
		reply_error(c, 404, "no such stream: its client has left, or it is joined already");
		return;
	}
	if (!upgrade(c))
		return;
	c->r->user = st;
	st->end[AGENT] = c->r;
	st->joined = true;
	st->t->f.opened++;
	if (st->relay && st->end[CLIENT]) {
		pass_message(st, AGENT, relay_head(st->relay));
		httpd_more(st->end[CLIENT]);
	}
	send_early(st);
}

/* ---- time ---- */

/* Who speaks HTTP is pinged by nobody: the connection is looked after by TCP and by what it takes. */
static bool has_pings(const struct stream *st, enum side side)
{
	return st->end[side] && !(st->relay && side == CLIENT);
}

static bool silent(const struct stream *st, enum side side)
{
	return has_pings(st, side) &&
	       clock_mono_ms() - httpd_ws_alive_ms(st->end[side]) > SILENT_MS;
}

static void look_after(struct stream *st)
{
	const char *why = why_not(st->t->s, st->workspace);

	if (why)
		stream_end(st, CLOSE_STOPPED, why);
	else if (!key_lasts(st->t->s, st->owner))
		stream_end(st, CLOSE_REVOKED, "the API key that opened it was deleted");
	else if (silent(st, CLIENT))
		pass_on(st, CLIENT, WS_CLOSE_LOST, (struct str){ NULL, 0 });
	else if (silent(st, AGENT))
		pass_on(st, AGENT, WS_CLOSE_LOST, (struct str){ NULL, 0 });
	for (enum side i = CLIENT; i <= AGENT && !st->ended; i++)
		if (has_pings(st, i))
			httpd_ws_send(st->end[i], WS_PING, (struct str){ NULL, 0 });
	st->ping = deadline_in_ms(PING_MS);
}

static void too_late(struct stream *st)
{
	if (st->told)
		stream_end(st, CLOSE_AGENT_SILENT,
		           "the workspace's agent was told, but did not open its end");
	else
		stream_end(st, CLOSE_NO_AGENT,
		           "no agent of the workspace is connected that can do this; is the "
		           "workspace running?");
}

void tunnels_poll(const struct tunnels *t, struct pollset *ps)
{
	polls_poll(t->polls, ps);
	if (t->streams)
		pollset_until(ps, t->tick);
}

void tunnels_part(struct tunnels *t)
{
	polls_release(t->polls);
	for (struct stream *st = t->streams; st; st = st->next)
		if (!st->ended && !(st->relay && st->joined))
			stream_end(st, WS_CLOSE_RESTART, "the Server restarts; connect again");
}

void tunnels_step(struct tunnels *t)
{
	polls_step(t->polls);
	if (!deadline_passed(t->tick))
		return;
	t->tick = deadline_in_ms(TICK_MS);
	for (struct stream *st = t->streams; st; st = st->next) {
		if (st->ended)
			continue;
		if (!st->joined && deadline_passed(st->until))
			too_late(st);
		else if (deadline_passed(st->ping))
			look_after(st);
	}
}

struct tunnels *tunnels_new(struct srv *s)
{
	struct tunnels *t = mem_alloc(sizeof(*t));

	t->s = s;
	t->polls = polls_new(s, tell, POLLS_MAX);
	return t;
}

void tunnels_free(struct tunnels *t)
{
	if (t)
		polls_free(t->polls);
	free(t);
}
