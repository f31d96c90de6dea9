/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server's loop: connections are read, requests cut out of the bytes and handed over,
 * peers that are slow, idle or gone are dropped. Answers are in httpd_answer.c, WebSockets in
 * httpd_ws.c, listening sockets in httpd_listen.c.
 */
#include "net/httpd.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/httpd_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 16384
#define READ_PER_STEP (256u << 10)
/* With what was there already, less than for what an allocator asks the kernel each time. */
#define READ_PER_STEP_WS (24u << 10)
#define LINGER_MS 1000
#define PEERPIDFD 77 /* SO_PEERPIDFD of asm-generic/socket.h, which may be older */
#define ACCEPTS_PER_STEP 64
#define EVENTS_PER_STEP 256  /* the others are there in the next */
#define DRAIN_SILENT_MS 1000 /* for the request of who has just connected */

struct httpd *httpd_new(const struct httpd_settings *s)
{
	struct httpd *h = mem_alloc(sizeof(*h));

	h->s = *s;
	h->epoll = -1;
	h->ps_at = SIZE_MAX;
	h->earliest = DEADLINE_NEVER;
	h->s.max_conns = s->max_conns ? s->max_conns : 128;
	h->s.max_unknown = s->max_unknown ? s->max_unknown : h->s.max_conns;
	h->s.max_ws = s->max_ws ? s->max_ws : h->s.max_conns;
	h->s.max_files = s->max_files ? s->max_files : h->s.max_conns;
	h->s.max_body = s->max_body ? s->max_body : 1u << 20;
	h->s.max_held = s->max_held ? s->max_held : 32u << 20;
	h->s.max_held_unknown = s->max_held_unknown ? s->max_held_unknown : 4u << 20;
	h->s.head_ms = s->head_ms ? s->head_ms : 10000;
	h->s.body_ms = s->body_ms ? s->body_ms : 60000;
	h->s.idle_ms = s->idle_ms ? s->idle_ms : 150000;
	h->s.silent_ms = s->silent_ms ? s->silent_ms : h->s.head_ms;
	h->s.unknown_idle_ms = s->unknown_idle_ms ? s->unknown_idle_ms : h->s.idle_ms;
	h->s.stall_ms = s->stall_ms ? s->stall_ms : 30000;
	h->s.ws_queue_max = s->ws_queue_max ? s->ws_queue_max : 256u << 10;
	return h;
}

void hconn_touch(struct hconn *c)
{
	struct httpd *h = c->h;

	if (c->touched)
		return;
	c->touched = true;
	c->touched_prev = h->touched_last;
	c->touched_next = NULL;
	*(h->touched_last ? &h->touched_last->touched_next : &h->touched) = c;
	h->touched_last = c;
	h->n_touched++;
}

static void untouch(struct hconn *c)
{
	struct httpd *h = c->h;

	if (!c->touched)
		return;
	c->touched = false;
	*(c->touched_prev ? &c->touched_prev->touched_next : &h->touched) = c->touched_next;
	*(c->touched_next ? &c->touched_next->touched_prev : &h->touched_last) = c->touched_prev;
	h->n_touched--;
}

void hconn_drop(struct hconn *c)
{
	c->state = H_DEAD;
	hconn_touch(c);
}

/* The kernel forgets it before its descriptor is closed: while a copy is open in a child, it would
 * go on to announce what is none any more. */
static void unwatch(struct hconn *c)
{
	if (c->watched)
		epoll_ctl(c->h->epoll, EPOLL_CTL_DEL, conn_fd(c->c), NULL);
	c->watched = 0;
}

/* Tells the owner that a request or WebSocket is over, once, and frees the connection. */
static void conn_end(struct hconn *c)
{
	*(c->prev ? &c->prev->next : &c->h->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	if (c->ws && c->ws->closed)
		c->ws->closed(&c->req, c->ws_code);
	else if (c->req.gone)
		c->req.gone(&c->req);
	hconn_done(c);
	untouch(c);
	unwatch(c);
	hconn_leave(c);
	fd_close(&c->peer_fd);
	conn_free(c->c);
	tls_ctx_free(c->tls);
	hconn_file_end(c);
	ws_reader_free(&c->reader);
	buf_wipe(&c->head);
	buf_wipe(&c->in);
	buf_wipe(&c->body);
	buf_wipe(&c->out);
	buf_free(&c->ws_reason);
	free(c);
}

void httpd_free(struct httpd *h)
{
	if (!h)
		return;
	httpd_stop_listening(h);
	while (h->conns)
		conn_end(h->conns);
	fd_close(&h->epoll);
	free(h);
}

static void reap(struct httpd *h)
{
	for (struct hconn *c = h->touched, *next; c; c = next) {
		next = c->touched_next;
		if (c->state == H_DEAD)
			conn_end(c);
	}
}

/* Of who connected, even if its number is another's by now; -1: Linux has it since 6.5. */
static int peer_process(int fd)
{
	int process = -1;
	socklen_t n = sizeof(process);

	return getsockopt(fd, SOL_SOCKET, PEERPIDFD, &process, &n) < 0 ? -1 : process;
}

static void conn_add(struct httpd *h, int fd, const struct listener *l, const struct sockaddr *who)
{
	struct hconn *c = mem_alloc(sizeof(*c));
	int on = 1, idle_s = 60, interval_s = 15, count = 4;
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t cred_n = sizeof(cred);

	if (l->tcp) {
		/* A peer that vanished without a word must not hold a long poll for ever. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_n) < 0) {
		cred = (struct ucred){ .uid = (uid_t)-1 };
	}
	c->process.pid = cred.pid;
	if (cred.pid > 0)
		proc_identify(cred.pid, &c->process);
	c->peer_fd = cred.pid > 0 ? peer_process(fd) : -1;
	c->uid = cred.uid;
	c->h = h;
	memcpy(&c->from, who, who->sa_family == AF_UNIX ? sizeof(c->from.sa) : sizeof(c->from));
	c->file_fd = -1;
	c->ws_code = 1006;
	c->req.tls = l->tls != NULL;
	c->silent = true;
	/* Whether anything has come is hidden behind a handshake. */
	c->until = deadline_in_ms(l->tls ? h->s.head_ms : h->s.silent_ms);
	c->tls = tls_ctx_ref(l->tls);
	c->c = conn_accept(fd, c->tls, deadline_in_ms(h->s.head_ms));
	hconn_touch(c);
	c->next = h->conns;
	if (c->next)
		c->next->prev = c;
	h->conns = c;
	hconn_enter(c, who);
	hconn_keep_share(c);
}

static void accept_pause(struct httpd *h)
{
	h->accept_after = deadline_in_ms(200);
	httpd_make_room(h);
}

static void accept_all(struct httpd *h, struct listener *l)
{
	if (h->epoll < 0 && (h->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) {
		accept_pause(h);
		return;
	}
	for (int i = 0; i < ACCEPTS_PER_STEP; i++) {
		union {
			struct sockaddr sa;
			struct sockaddr_storage room;
		} who = { 0 };
		socklen_t len = sizeof(who);

		/* One is sure to be waiting; whether more are, the next poll tells. */
		if (i == 0)
			httpd_make_room(h);
		if (!httpd_is_open(h))
			reap(h);
		if (!httpd_is_open(h))
			return;
		int fd = accept4(l->fd, &who.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_add(h, fd, l, &who.sa);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		           errno == ENOBUFS) {
			accept_pause(h);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static void peer_left(struct hconn *c)
{
	void (*gone)(struct httpd_req * r) = c->req.gone;

	switch (c->state) {
	case H_HANDLER:
		/* Half closed, maybe: an answer can do no harm, and shows in a proxy's log. */
		c->req.gone = NULL;
		if (gone)
			gone(&c->req);
		c->keep = false;
		httpd_respond(&c->req, 408, NULL, NULL, (struct str){ NULL, 0 });
		break;
	case H_WS:
		hconn_ws_eof(c);
		break;
	case H_ANSWER:
	case H_WS_END:
		break;
	default:
		hconn_drop(c);
		break;
	}
}

static bool wants_input(const struct hconn *c)
{
	return !c->eof && c->state != H_DEAD && c->in.n < HTTP_HEAD_MAX + HTTPD_AHEAD_MAX;
}

/* False when what comes is of no use: the last answer is under way, or out. */
static bool takes_input(const struct hconn *c)
{
	return c->hears ||
	       (c->state != H_LINGER && c->state != H_WS_END && (c->state != H_ANSWER || c->keep));
}

/* The first byte: from now on it is the whole head that has a limit. */
static void heard(struct hconn *c)
{
	if (!c->silent)
		return;
	c->silent = false;
	if (c->state == H_HEAD)
		c->until = deadline_in_ms(c->h->s.head_ms);
}

/* Reads what there is. */
static void read_all(struct hconn *c)
{
	char chunk[READ_CHUNK];
	struct err e = { 0 };
	size_t total = 0;

	while (wants_input(c)) {
		bool truncated = false;
		long n = conn_read(c->c, chunk, sizeof(chunk), &truncated, &e);

		if (n == CONN_AGAIN)
			return;
		if (n == CONN_ERROR) {
			hconn_drop(c);
			return;
		}
		if (n == 0) {
			c->eof = true;
			return;
		}
		heard(c);
		c->alive_ms = clock_mono_ms();
		if (takes_input(c)) {
			buf_add(&c->in, chunk, (size_t)n);
			if (c->state == H_WS || c->hears)
				hconn_ws_input(c);
		} else if ((c->drained += (size_t)n) > HTTPD_DRAIN_MAX) {
			hconn_drop(c);
			return;
		}
		if (!c->tls && (size_t)n < sizeof(chunk))
			return; /* what comes later is announced */
		total += (size_t)n;
		if (total >= (c->state == H_WS ? READ_PER_STEP_WS : READ_PER_STEP)) {
			hconn_touch(c); /* others have their turn first */
			return;
		}
	}
}

/* The answer is out: next request, or the end. */
static void answered(struct hconn *c)
{
	hconn_done(c);
	if (c->keep && (!c->eof || c->in.n)) {
		c->state = H_HEAD;
		c->kept = true;
		c->until = deadline_in_ms(c->kind == H_KNOWN ? c->h->s.idle_ms
		                                             : c->h->s.unknown_idle_ms);
		c->parsed_n = c->seen_n = 0;
		buf_free(&c->out);
		if (!c->in.n)
			buf_free(&c->in);
		return;
	}
	if (c->eof || conn_shutdown_write(c->c) < 0) {
		hconn_drop(c);
		return;
	}
	buf_free(&c->in);
	c->state = H_LINGER;
	c->until = deadline_in_ms(LINGER_MS);
}

static void step_conn(struct hconn *c, bool readable)
{
	struct err e = { 0 };

	if (deadline_passed(c->until)) {
		hconn_drop(c);
		return;
	}
	if (c->state == H_SETUP) {
		enum conn_status s = conn_step(c->c, &e);

		if (s == CONN_FAILED)
			hconn_drop(c);
		if (s != CONN_READY)
			return;
		c->state = H_HEAD;
		readable = true;
	}
	unsigned requests = 0;
	bool was_full = !wants_input(c);

	if (readable)
		read_all(c);
	for (bool more = true; more && c->state != H_DEAD;) {
		more = false;
		if (c->state == H_HEAD)
			more = hconn_input_head(c);
		else if (c->state == H_BODY)
			more = hconn_input_body(c);
		else if (c->state == H_WS)
			hconn_ws_input(c);
		hconn_flush(c);
		if ((c->state == H_ANSWER || c->state == H_WS_END) && !c->out.n && !c->file_left) {
			answered(c);
			more = c->state == H_HEAD && c->in.n > 0;
			if (more && ++requests >= HTTPD_REQUESTS_PER_STEP) {
				hconn_touch(c); /* others have their turn first */
				break;
			}
		}
	}
	if (c->eof && c->state != H_DEAD)
		peer_left(c);
	if (was_full && wants_input(c))
		hconn_touch(c); /* bytes may wait inside TLS, where poll does not see them */
}

void httpd_poll(struct httpd *h, struct pollset *ps)
{
	bool room = !h->draining && httpd_has_room(h);

	for (size_t i = 0; i < h->n_listeners; i++) {
		h->listeners[i].ps_at = ps->n;
		if (!room)
			h->listeners[i].ps_at = SIZE_MAX;
		else if (!deadline_passed(h->accept_after))
			pollset_until(ps, h->accept_after), h->listeners[i].ps_at = SIZE_MAX;
		else
			pollset_add(ps, h->listeners[i].fd, POLLIN);
	}
	h->ps_at = ps->n;
	if (h->conns)
		pollset_add(ps, h->epoll, POLLIN);
	pollset_until(ps, h->n_touched ? DEADLINE_PAST : h->earliest);
}

static bool has_events(const struct pollset *ps, size_t at)
{
	return !ps || (at < ps->n && ps->fds[at].revents);
}

/* What a connection waits for from now on. */
static void watch(struct hconn *c)
{
	struct httpd *h = c->h;
	bool reads = wants_input(c), writes = c->out.n || c->file_left;
	short events = conn_events(c->c, (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)));
	struct epoll_event ev = { .events = (uint32_t)(unsigned short)events, .data.ptr = c };

	h->earliest = deadline_min(h->earliest, c->until);
	if (reads && conn_has_more(c->c))
		hconn_touch(c);
	if (events == c->watched)
		return;
	if (!events)
		unwatch(c); /* one without a wish is still told of an end, again and again */
	else if (epoll_ctl(h->epoll, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn_fd(c->c),
	                   &ev) < 0)
		hconn_drop(c);
	else
		c->watched = events;
}

static void touch_ready(struct httpd *h)
{
	struct epoll_event ev[EVENTS_PER_STEP];
	int n = epoll_wait(h->epoll, ev, EVENTS_PER_STEP, 0);

	for (int i = 0; i < n; i++)
		hconn_touch(ev[i].data.ptr);
}

/* Touches those whose time is up, or all. */
static void touch_late(struct httpd *h, bool all)
{
	h->earliest = DEADLINE_NEVER;
	for (struct hconn *c = h->conns; c; c = c->next) {
		if (all || deadline_passed(c->until))
			hconn_touch(c);
		else
			h->earliest = deadline_min(h->earliest, c->until);
	}
}

/* Those that are touched now; who is touched anew in the meantime has a turn later. */
static void step_touched(struct httpd *h)
{
	for (size_t n = h->n_touched; n && h->touched; n--) {
		struct hconn *c = h->touched;

		untouch(c);
		if (c->state == H_DEAD) {
			hconn_touch(c); /* for reap */
			continue;
		}
		h->stepping = c;
		step_conn(c, true);
		h->stepping = NULL;
		hconn_count_held(c);
		if (c->state != H_DEAD)
			watch(c);
	}
}

void httpd_step(struct httpd *h, const struct pollset *ps)
{
	if (!ps || deadline_passed(h->earliest))
		touch_late(h, !ps);
	if (h->conns && has_events(ps, h->ps_at))
		touch_ready(h);
	/* Handlers may answer other requests than their own: a few rounds write these out, too. */
	for (int round = 0; h->n_touched && round < 4; round++)
		step_touched(h);
	for (size_t i = 0; i < h->n_listeners; i++) {
		size_t at = h->listeners[i].ps_at;

		if (!h->draining && at != SIZE_MAX && has_events(ps, at))
			accept_all(h, &h->listeners[i]);
	}
	reap(h);
}

size_t httpd_drain(struct httpd *h)
{
	size_t n = 0;

	for (struct hconn *c = h->conns; c; c = c->next) {
		c->keep = false;
		if (!h->draining && c->state == H_HEAD && c->silent)
			c->until = deadline_min(c->until, deadline_in_ms(DRAIN_SILENT_MS));
		h->earliest = deadline_min(h->earliest, c->until);
		if (c->state == H_HEAD && c->kept && !c->in.n)
			hconn_drop(c);
		n += c->state != H_DEAD && c->state != H_LINGER;
	}
	h->draining = true;
	reap(h);
	return n;
}

void httpd_drop_others(struct httpd *h, const struct httpd_req *r)
{
	for (struct hconn *c = h->conns; c; c = c->next)
		if (&c->req != r)
			hconn_drop(c);
	reap(h);
}

void httpd_resume(struct httpd *h)
{
	h->draining = false;
}

size_t httpd_conns(const struct httpd *h)
{
	return h->n_conns;
}

struct httpd_stats httpd_stats(const struct httpd *h)
{
	struct httpd_stats st = {
		h->kinds[H_KNOWN], h->kinds[H_UNKNOWN], h->n_ws, h->n_files, { 0 }
	};

	memcpy(st.answers, h->answers, sizeof(st.answers));
	return st;
}
