/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server in one process, for its tests: a client socket that writes chosen bytes, and the
 * server's loop turned until nothing moves.
 */
#ifndef TESTS_UNIT_HTTPDCASE_H
#define TESTS_UNIT_HTTPDCASE_H

#include "base/mem.h"
#include "net/httpd.h"
#include "net/ws.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	struct httpd *h;
	struct buf log;         /* "METHOD path?query [body];" for each request */
	struct httpd_req *kept; /* request to be answered later */
	int gone, closed_code;
	size_t allow; /* of bytes that "/raw" takes at a time */
	struct httpd_req *raw;
	struct buf messages;
};

static inline void on_gone(struct httpd_req *r)
{
	struct fixture *f = r->user;

	f->gone++;
	f->kept = NULL;
}

static inline void on_message(struct httpd_req *r, enum ws_opcode op, struct str payload)
{
	struct fixture *f = r->user;

	buf_addf(&f->messages, "%d:%.*s;", (int)op, STR_ARG(payload));
	httpd_ws_send(r, op, payload);
}

static inline void on_closed(struct httpd_req *r, int code)
{
	struct fixture *f = r->user;

	f->closed_code = code;
}

/* Takes what it may, and answers the end. */
static inline size_t on_bytes(struct httpd_req *r, struct str bytes)
{
	struct fixture *f = r->user;
	size_t n = bytes.n < f->allow ? bytes.n : f->allow;

	buf_add(&f->messages, bytes.p, n);
	if (str_ends(buf_str(&f->messages), "end")) {
		httpd_answered(r, 299);
		httpd_ws_send(r, WS_BINARY, STR_LIT("answer"));
		httpd_ws_close(r, 1000);
	}
	return n;
}

static inline void on_raw(struct fixture *f, struct httpd_req *r)
{
	static const struct httpd_ws raw = { .bytes = on_bytes, .closed = on_closed };

	if (httpd_take_over(r, &raw) < 0)
		return;
	r->user = f;
	f->raw = r;
}

static const struct httpd_ws echo = { .message = on_message,
	                              .closed = on_closed,
	                              .eof_code = 1011 };

static inline void on_request(void *arg, struct httpd_req *r)
{
	struct fixture *f = arg;

	buf_addf(&f->log, "%.*s %.*s?%.*s [%.*s];", STR_ARG(r->method), STR_ARG(r->path),
	         STR_ARG(r->query), STR_ARG(r->body));
	if (str_eq(r->path, "/later")) {
		f->kept = r;
		r->user = f;
		r->gone = on_gone;
	} else if (str_eq(r->path, "/none")) {
		return;
	} else if (str_eq(r->path, "/ws")) {
		if (httpd_upgrade(r, &echo, "X-A: b\r\n") == 0)
			r->user = f;
	} else if (str_eq(r->path, "/file")) {
		int fd = open("tests/unit/test_httpd.c", O_RDONLY | O_CLOEXEC);

		httpd_respond_file(r, 200, "text/plain", NULL, fd, 100);
	} else if (str_eq(r->path, "/big")) {
		struct buf b = { 0 };

		buf_reserve(&b, 1u << 20);
		memset(b.p, 'x', 1u << 20);
		b.n = 1u << 20;
		httpd_respond(r, 200, NULL, NULL, buf_str(&b));
		buf_free(&b);
	} else if (str_eq(r->path, "/raw")) {
		on_raw(f, r);
	} else if (str_eq(r->path, "/204")) {
		httpd_respond(r, 204, NULL, NULL, STR_LIT("no body"));
	} else {
		httpd_respond(r, 200, "text/plain", "X-B: c\r\n", STR_LIT("hello"));
	}
}

/* Who says so is known; /refused is refused, /small takes little. */
static inline void on_admit(void *arg, struct httpd_req *r)
{
	struct fixture *f = arg;

	buf_addf(&f->log, "admit %.*s %.*s [%zu];", STR_ARG(r->method), STR_ARG(r->path),
	         r->body.n);
	CHECK(r->body_max > 0);
	if (http_head_get(r->head, "Authorization").n)
		httpd_vouch(r);
	if (str_eq(r->path, "/refused"))
		httpd_respond(r, 401, NULL, NULL, STR_LIT("no"));
	else if (str_eq(r->path, "/small"))
		r->body_max = 4;
	else if (str_eq(r->path, "/raw"))
		on_raw(f, r);
}

static inline void fixture_open(struct fixture *f, const struct httpd_settings *with)
{
	struct httpd_settings s = with ? *with : (struct httpd_settings){ 0 };
	struct err e = { 0 };

	*f = (struct fixture){ 0 };
	s.request = on_request;
	if (s.max_unknown)
		s.admit = on_admit;
	s.arg = f;
	f->h = httpd_new(&s);
	CHECK_INT(httpd_listen(f->h, "127.0.0.1", 0, NULL, &e), 0);
	CHECK(httpd_port(f->h) != 0);
}

static inline void fixture_close(struct fixture *f)
{
	httpd_free(f->h);
	buf_free(&f->log);
	buf_free(&f->messages);
}

static inline int client(const struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons(httpd_port(f->h)),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	int on = 1;

	/* Pieces must leave at once, not when the one before is acknowledged. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	CHECK_INT(connect(fd, (struct sockaddr *)(void *)&a, sizeof(a)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Turns the loop until nothing is ready for wait_ms. */
static inline void turn(struct fixture *f, int wait_ms)
{
	struct pollset ps = { 0 };
	struct err e = { 0 };

	for (int i = 0; i < 10000; i++) {
		pollset_reset(&ps);
		httpd_poll(f->h, &ps);
		bool now = deadline_passed(ps.next);

		if (!now && poll(ps.fds, (nfds_t)ps.n, wait_ms) == 0 && !deadline_passed(ps.next))
			break;
		if (now)
			pollset_wait(&ps, &e);
		httpd_step(f->h, &ps);
	}
	pollset_free(&ps);
}

/* What the client has received; *closed when the server ended the connection. */
static inline void receive(int fd, struct buf *out, bool *closed)
{
	char chunk[65536];
	ssize_t n;

	*closed = false;
	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		buf_add(out, chunk, (size_t)n);
	*closed = n == 0 || errno != EAGAIN;
}

/* One exchange on a connection of its own, the request in pieces of `piece` bytes. */
static inline void exchange(struct fixture *f, const char *request, size_t n, size_t piece,
                            struct buf *out, bool *closed)
{
	int fd = client(f);

	for (size_t at = 0; at < n; at += piece) {
		size_t k = n - at < piece ? n - at : piece;

		if (send(fd, request + at, k, MSG_NOSIGNAL) < 0)
			break;
		turn(f, piece == n ? 2 : 0);
	}
	turn(f, 2);
	receive(fd, out, closed);
	close(fd);
	turn(f, 2);
}

static inline void exchange_text(struct fixture *f, const char *request, struct buf *out,
                                 bool *closed)
{
	exchange(f, request, strlen(request), strlen(request), out, closed);
}

static inline void send_text(int fd, const char *text)
{
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static inline void strip_date(struct buf *b)
{
	char *at;

	while ((at = strstr(buf_cstr(b), "Date: "))) {
		char *end = strstr(at, "\r\n") + 2;

		memmove(at, end, strlen(end) + 1);
		b->n -= (size_t)(end - at);
	}
}

#define H "Host: x\r\n"
#define HANDSHAKE \
	"GET /ws HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

#endif
