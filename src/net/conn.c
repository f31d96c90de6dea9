/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See conn.h. The set-up is a chain of phases; each is entered by a function that begins it and left by its
 * step. How a Unix socket is reached is in conn_unix.c, the proxy's answer in conn_proxy.c.
 */
#include "net/conn.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/command.h"
#include "net/conn_parts.h"
#include "net/dial.h"
#include "net/resolve.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The set-up alone never takes longer, however far the deadline of the exchange is. */
#define SETUP_MAX_MS 30000

enum phase { RESOLVING, DIALING, UNIX, PROXY, TLS, READY, FAILED };

struct conn {
	enum phase phase;
	const struct url *url; /* NULL for an accepted one */
	const struct url *hop; /* who is dialled: the proxy or url */
	struct tls_ctx *tls_ctx;
	bool via_connect; /* hop is a proxy that is asked to CONNECT */
	struct deadline d;
	struct resolver *resolver;
	struct dial *dial;
	struct proxy_hop proxy;
	struct command command; /* name NULL: none */
	int fd;
	struct tls_conn *tls;
	short hs_wants, read_wants, write_wants;
	bool got_bytes;
	char peer[NET_ADDR_TEXT];
	struct err err; /* of a failed beginning */
};

static struct conn *conn_new(struct deadline d)
{
	struct conn *c = mem_alloc(sizeof(*c));

	c->fd = -1;
	c->command.err_fd = -1;
	c->d = deadline_min(d, deadline_in_ms(SETUP_MAX_MS));
	c->hs_wants = POLLOUT;
	c->read_wants = POLLIN;
	c->write_wants = POLLOUT;
	return c;
}

/* The descriptor stays until conn_free: whoever watches it has to give that up first. */
static void fail(struct conn *c)
{
	c->phase = FAILED;
	tls_conn_free(c->tls);
	c->tls = NULL;
}

static void begin_tls(struct conn *c)
{
	c->phase = READY;
	if (!c->tls_ctx)
		return;
	c->phase = TLS;
	if (tls_conn_new(&c->tls, c->tls_ctx, c->fd, c->url ? c->url->host : NULL,
	                 c->url ? c->url->port : 0, &c->err) < 0)
		c->phase = FAILED;
}

static void begin_resolving(struct conn *c)
{
	c->phase = RESOLVING;
	c->resolver = resolve_start(c->hop->host, c->hop->port, c->d);
}

static void begin_stream(struct conn *c)
{
	if (!c->via_connect) {
		begin_tls(c);
		return;
	}
	c->phase = PROXY;
	proxy_hop_start(&c->proxy, c->hop, c->url);
}

struct conn *conn_open(const struct conn_target *t, struct deadline d)
{
	struct conn *c = conn_new(d);
	bool tls = url_is_tls(t->url);

	c->url = c->hop = t->url;
	c->tls_ctx = tls || strcmp(t->url->scheme, "tcp") == 0 ? t->tls : NULL;
	if (tls && !t->tls) {
		c->phase = FAILED;
		err_set(&c->err, ERR_CONFIG, 0, "no TLS settings for %s://", t->url->scheme);
	} else if (t->command) {
		snprintf(c->peer, sizeof(c->peer), "%s", t->command[0]);
		if (command_start(&c->command, t->command, d, &c->fd, &c->err) < 0)
			c->phase = FAILED;
		else
			begin_tls(c);
	} else if (t->url->port == 0) {
		c->phase = UNIX;
		snprintf(c->peer, sizeof(c->peer), "%s", t->url->path);
	} else {
		if (t->proxy) {
			c->hop = t->proxy;
			/* Plain http is asked of the proxy by an absolute target instead. */
			c->via_connect = t->tunnel || strcmp(t->url->scheme, "http") != 0;
		}
		begin_resolving(c);
	}
	return c;
}

struct conn *conn_accept(int fd, struct tls_ctx *tls, struct deadline d)
{
	struct conn *c = conn_new(d);
	union net_addr a = { 0 };
	socklen_t n = sizeof(a);

	c->fd = fd;
	c->tls_ctx = tls;
	c->hs_wants = POLLIN;
	if (getpeername(fd, &a.sa, &n) == 0 &&
	    (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6))
		net_addr_text(&a, c->peer);
	else
		snprintf(c->peer, sizeof(c->peer), "local");
	if (fd_set_nonblock(fd, &c->err) < 0)
		c->phase = FAILED;
	else
		begin_tls(c);
	return c;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	tls_conn_free(c->tls);
	fd_close(&c->fd);
	resolve_free(c->resolver);
	dial_free(c->dial);
	proxy_hop_free(&c->proxy);
	command_free(&c->command);
	free(c);
}

/* Each step: 1 the phase changed, 0 it waits, -1 failed with c->err set. */

static int step_resolving(struct conn *c)
{
	struct addr_list list = { 0 };
	enum resolve_status s = resolve_step(c->resolver, &list, &c->err);

	if (s == RESOLVE_PENDING)
		return 0;
	resolve_free(c->resolver);
	c->resolver = NULL;
	if (s == RESOLVE_FAILED)
		return -1;
	err_clear(&c->err);
	c->dial = dial_start(&list, c->d);
	c->phase = DIALING;
	return 1;
}

static int step_dialing(struct conn *c)
{
	union net_addr who;
	int rc = dial_step(c->dial, &c->fd, &who, &c->err);

	if (rc == 0)
		return 0;
	dial_free(c->dial);
	c->dial = NULL;
	if (rc < 0) {
		resolve_doubt(c->hop->host);
		/* An address is in the text already. */
		return c->hop->host_is_ip
		               ? err_wrap(&c->err, "connect")
		               : err_wrap(&c->err, "connect %s:%u", c->hop->host, c->hop->port);
	}
	resolve_remember(c->hop->host, &who);
	net_addr_text(&who, c->peer);
	begin_stream(c);
	return c->phase == FAILED ? -1 : 1;
}

static int step_unix(struct conn *c)
{
	int rc = unix_connect(&c->fd, c->url->path, &c->err);

	if (rc > 0)
		begin_stream(c);
	return c->phase == FAILED ? -1 : rc;
}

static int step_proxy(struct conn *c)
{
	int rc = proxy_hop_step(&c->proxy, c->fd, &c->err);

	if (rc <= 0)
		return rc;
	begin_tls(c);
	return c->phase == FAILED ? -1 : 1;
}

static int step_tls(struct conn *c)
{
	enum tls_io rc = tls_handshake(c->tls, &c->err);

	if (rc == TLS_FAILED && tls_try_again(c->tls) && c->hop && c->hop->port &&
	    !c->command.name) {
		tls_conn_free(c->tls);
		c->tls = NULL;
		fd_close(&c->fd);
		proxy_hop_free(&c->proxy);
		err_clear(&c->err);
		begin_resolving(c);
		return 1;
	}
	if (rc == TLS_FAILED)
		return c->url ? err_wrap(&c->err, "TLS with %s:%u", c->url->host, c->url->port)
		              : -1;
	c->hs_wants = rc == TLS_WANT_WRITE ? POLLOUT : POLLIN;
	if (rc != TLS_OK)
		return 0;
	c->phase = READY;
	return 1;
}

static int step(struct conn *c)
{
	switch (c->phase) {
	case RESOLVING:
		return step_resolving(c);
	case DIALING:
		return step_dialing(c);
	case UNIX:
		return step_unix(c);
	case PROXY:
		return step_proxy(c);
	case TLS:
		return step_tls(c);
	default:
		return 0;
	}
}

static void timed_out(struct conn *c)
{
	static const char *const what[] = { "the name servers do not answer", "no answer",
		                            "the socket accepts no connection",
		                            "the proxy does not answer",
		                            "the TLS handshake does not end" };
	const struct url *u = c->url ? c->url : c->hop;

	if (u)
		err_set(&c->err, ERR_TIMEOUT, 0, "connect %s:%u: timed out: %s", u->host, u->port,
		        what[c->phase]);
	else
		err_set(&c->err, ERR_TIMEOUT, 0, "%s: timed out: %s", c->peer, what[c->phase]);
}

enum conn_status conn_step(struct conn *c, struct err *e)
{
	int rc = 1;

	while (rc > 0 && c->phase < READY)
		rc = step(c);
	if (c->phase == READY)
		return CONN_READY;
	if (c->phase != FAILED && rc == 0 && deadline_passed(c->d)) {
		timed_out(c);
		rc = -1;
	}
	if (c->phase != FAILED && rc == 0)
		return CONN_PENDING;
	fail(c);
	*e = c->err;
	return CONN_FAILED;
}

short conn_events(const struct conn *c, short want)
{
	short events = 0;

	if (c->phase == TLS)
		return c->hs_wants;
	if (want & POLLIN)
		events = (short)(events | c->read_wants);
	if (want & POLLOUT)
		events = (short)(events | c->write_wants);
	return events;
}

bool conn_has_more(const struct conn *c)
{
	return c->phase == READY && c->tls && tls_pending(c->tls);
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

void conn_poll(const struct conn *c, struct pollset *ps, short want)
{
	short events;

	if (c->phase < READY)
		pollset_until(ps, c->d);
	switch (c->phase) {
	case RESOLVING:
		resolve_poll(c->resolver, ps);
		return;
	case DIALING:
		dial_poll(c->dial, ps);
		return;
	case UNIX:
		pollset_until(ps, deadline_in_ms(c->fd < 0 ? 0 : UNIX_RETRY_MS));
		return;
	case PROXY:
		pollset_add(ps, c->fd, proxy_hop_wants(&c->proxy));
		return;
	case TLS:
		pollset_add(ps, c->fd, conn_events(c, want));
		return;
	case FAILED:
		pollset_until(ps, DEADLINE_PAST);
		return;
	case READY:
		break;
	}
	events = conn_events(c, want);
	if (events)
		pollset_add(ps, c->fd, events);
	if (events && c->command.name)
		command_poll(&c->command, ps);
	if ((want & POLLIN) && conn_has_more(c))
		pollset_until(ps, DEADLINE_PAST);
}

/* An errno of an established stream. */
static long io_failed(int code, struct err *e)
{
	enum err_kind kind = ERR_SYS;

	if (code == ECONNRESET || code == EPIPE || code == ENOTCONN)
		kind = ERR_CLOSED;
	else if (code == ETIMEDOUT || code == EHOSTUNREACH || code == ENETUNREACH)
		kind = ERR_TIMEOUT;
	err_set(e, kind, code, "connection lost: %s", strerror(code));
	return CONN_ERROR;
}

static long from_tls(long n, short *wants, short usual)
{
	*wants = usual;
	if (n == TLS_WANT_READ || n == TLS_WANT_WRITE) {
		*wants = n == TLS_WANT_READ ? POLLIN : POLLOUT;
		return CONN_AGAIN;
	}
	return n == TLS_FAILED ? CONN_ERROR : n;
}

long conn_read(struct conn *c, void *p, size_t n, bool *truncated, struct err *e)
{
	ssize_t got;

	*truncated = false;
	if (c->tls)
		return from_tls(tls_read(c->tls, p, n, truncated, e), &c->read_wants, POLLIN);
	if (c->proxy.early.n) {
		size_t k = c->proxy.early.n < n ? c->proxy.early.n : n;

		memcpy(p, c->proxy.early.p, k);
		buf_drop(&c->proxy.early, k);
		return (long)k;
	}
	if (c->command.name)
		command_drain(&c->command);
	do
		got = recv(c->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return CONN_AGAIN;
	/* What the program said on its way out tells more than how the stream ended. */
	if (got <= 0 && c->command.name && !c->got_bytes)
		return command_ended(&c->command, e) < 0 ? CONN_ERROR : CONN_AGAIN;
	if (got < 0)
		return io_failed(errno, e);
	c->got_bytes |= got > 0;
	return got;
}

long conn_write(struct conn *c, const void *p, size_t n, struct err *e)
{
	ssize_t put;

	if (c->tls)
		return from_tls(tls_write(c->tls, p, n, e), &c->write_wants, POLLOUT);
	do
		put = send(c->fd, p, n, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put < 0 && errno == EAGAIN)
		return CONN_AGAIN;
	return put < 0 ? io_failed(errno, e) : put;
}

bool conn_is_quiet(const struct conn *c, const struct pollset *ps)
{
	return c->phase == READY && !c->command.name && !c->proxy.early.n &&
	       !(c->tls && tls_pending(c->tls)) && pollset_is_quiet(ps, c->fd);
}

int conn_shutdown_write(struct conn *c)
{
	return c->tls ? tls_shutdown_write(c->tls) : shutdown(c->fd, SHUT_WR);
}

int conn_unacked(const struct conn *c)
{
	int n = 0;

	return ioctl(c->fd, TIOCOUTQ, &n) < 0 ? 0 : n;
}

bool conn_is_stale(struct conn *c)
{
	struct err ignored = { 0 };
	bool truncated;
	char byte;

	if (c->phase != READY)
		return true;
	/* With TLS the bytes may be a session ticket, so only reading tells. */
	return conn_read(c, &byte, 1, &truncated, &ignored) != CONN_AGAIN;
}

const char *conn_peer(const struct conn *c)
{
	return c->peer[0] ? c->peer : c->hop ? c->hop->host : "";
}
