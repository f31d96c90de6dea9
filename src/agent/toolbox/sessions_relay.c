/* SPDX-License-Identifier: Apache-2.0 */
/* The calls about sessions, in a connection's process: passed on to the process that has them. */
#include "agent/toolbox/handlers.h"
#include "agent/toolbox/sessions.h"
#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 15000
#define SEND_MS 30000
#define CHUNK 65536

/* 1: more has come; 0: the peer of to has gone, or from has ended; -1: an error. Waits for ever: a command may. */
static int receive(int from, int to, struct buf *b, struct err *e)
{
	for (;;) {
		struct pollfd p[] = { { .fd = from, .events = POLLIN },
			              { .fd = to, .events = POLLRDHUP } };
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
		if (p[0].revents) {
			n = read(from, buf_reserve(b, CHUNK), CHUNK);
			if (n >= 0) {
				b->n += (size_t)n;
				return n > 0;
			}
			if (errno != EINTR && errno != EAGAIN)
				return err_sys(e, errno, "read");
		}
		if (p[1].revents)
			return 0;
	}
}

static void add_request(struct buf *b, const struct exchange *exchange, struct str body)
{
	bool ws = http_head_websocket(&exchange->head);
	static const char *const passed[] = { "Upgrade", "Sec-WebSocket-Key",
		                              "Sec-WebSocket-Version" };

	buf_addf(b, "%.*s %.*s HTTP/1.1\r\nHost: toolbox\r\nContent-Length: %zu\r\n",
	         STR_ARG(exchange->head.method), STR_ARG(exchange->head.target), body.n);
	for (size_t i = 0; ws && i < ARRAY_LEN(passed); i++) {
		struct str value = http_head_get(&exchange->head, passed[i]);

		if (value.p)
			buf_addf(b, "%s: %.*s\r\n", passed[i], STR_ARG(value));
	}
	buf_addf(b, "Connection: %s\r\n\r\n", ws ? "upgrade" : "close");
	buf_add_str(b, body);
}

static int send_all(int fd, struct str bytes, struct err *e)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno != EINTR &&
		    (errno != EAGAIN || wait_fd(fd, POLLOUT, deadline_in_ms(SEND_MS), e) < 0))
			return err_sys(e, errno, "write");
		if (n > 0)
			bytes = (struct str){ bytes.p + n, bytes.n - (size_t)n };
	}
	return 0;
}

/* A WebSocket: bytes both ways until one side ends. */
static void join(struct exchange *exchange, int fd)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN },
			              { .fd = exchange->fd, .events = POLLIN } };
		int i = 0;
		ssize_t n;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		i = p[0].revents ? 0 : 1;
		if (!p[i].revents)
			continue;
		buf_reset(&b);
		n = read(p[i].fd, buf_reserve(&b, CHUNK), CHUNK);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			break;
		if (i == 0 ? !exchange_write(exchange, (struct str){ b.p, (size_t)n })
		           : send_all(fd, (struct str){ b.p, (size_t)n }, &e) < 0)
			break;
	}
	buf_free(&b);
}

/* in: begins with a whole head of n bytes. */
static int pass_answer(struct exchange *exchange, int fd, struct buf *in, const struct http_head *h,
                       size_t n, struct err *e)
{
	uint64_t left = h->framing == HTTP_LENGTH ? h->length : 0;
	struct buf type = { 0 };
	int status = h->status;

	if (status == 101) {
		exchange->answered = true;
		exchange->keep = false;
		if (exchange_write(exchange, buf_str(in)))
			join(exchange, fd);
		return 0;
	}
	buf_add_str(&type, http_head_get(h, "Content-Type"));
	exchange_begin(exchange, status, type.n ? buf_cstr(&type) : NULL, NULL, left);
	buf_free(&type);
	buf_drop(in, n); /* h borrows from it */
	for (;;) {
		size_t take = in->n < left ? in->n : (size_t)left;

		if (!exchange_write(exchange, (struct str){ in->p, take }))
			return 0;
		left -= take;
		buf_reset(in);
		if (!left)
			return 0;
		if (receive(fd, exchange->fd, in, e) <= 0) {
			exchange->broken = true; /* its length was said */
			return 0;
		}
	}
}

static int ask(struct exchange *exchange, int fd, struct str body, struct err *e)
{
	struct buf request = { 0 }, in = { 0 };
	struct http_head h;
	long n = 0;
	int rc;

	add_request(&request, exchange, body);
	rc = send_all(fd, buf_str(&request), e);
	while (rc == 0 && n == 0) {
		int got = receive(fd, exchange->fd, &in, e);

		if (got < 0)
			rc = -1;
		else if (got == 0)
			rc = err_set(e, ERR_CLOSED, 0,
			             "the sessions have ended; create them again");
		else
			n = http_parse_response(buf_str(&in), "GET", &h, e);
	}
	if (n < 0)
		rc = -1;
	if (rc == 0)
		rc = pass_answer(exchange, fd, &in, &h, (size_t)n, e);
	buf_free(&request);
	buf_free(&in);
	return rc;
}

static int connect_and_ask(struct exchange *exchange, const struct toolbox *t, struct str body,
                           struct err *e)
{
	int fd = sessions_connect(t, deadline_in_ms(CONNECT_MS), e);
	int rc = fd < 0 ? -1 : ask(exchange, fd, body, e);

	fd_close(&fd);
	return rc;
}

void process_session(struct exchange *exchange, const struct toolbox *t)
{
	struct buf body = { 0 };
	struct err e = { 0 };

	if (exchange_body(exchange, &body)) {
		int rc = connect_and_ask(exchange, t, buf_str(&body), &e);

		/* They may have been about to end. What changes something may have been done. */
		if (rc < 0 && !exchange->answered && str_eq(exchange->head.method, "GET"))
			rc = connect_and_ask(exchange, t, buf_str(&body), &e);
		if (rc < 0)
			exchange_fail(exchange, 500, "%s", e.msg);
	}
	buf_wipe(&body);
}
