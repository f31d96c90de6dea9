/* SPDX-License-Identifier: Apache-2.0 */
/* See resolve.h. */
#include "net/resolve.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "net/ip.h"
#include "net/nameservers.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define RESOLVE_MAX_MS 20000
/* One family has a usable address: the other gets this much longer. */
#define RESOLVE_GRACE_MS 250
/* With a remembered address at hand, name servers get this long. */
#define RESOLVE_PATIENCE_MS 1500
#define REPLY_MAX ((RESOLVE_ADDRS_MAX + 1) * sizeof(union net_addr) + 256)
#define HOSTS_MAX 4
#define NAME_MAX_BYTES 256

/* Process-wide on purpose: what was good for one connection is good for the next. */
static struct good {
	char host[NAME_MAX_BYTES];
	union net_addr addr;
	bool warned;  /* that it stands in for the name servers; once an outage */
	bool doubted; /* it refused a connection since: the name servers get their full time */
} good_hosts[HOSTS_MAX];
static size_t good_next;

/* One family is asked apart from the other: a failure for one
 * costs the other nothing. */
struct ask {
	int family;
	struct spawned child;
	int fd; /* -1: over */
	struct buf reply;
	struct addr_list found;
};

enum { V4, V6, FAMILIES };

struct resolver {
	const char *host;
	uint16_t port;
	struct deadline d;
	struct deadline patience;
	struct deadline grace;
	bool answered; /* one family is: grace counts */
	struct ask asks[FAMILIES];
	struct err start_err;
};

/* What the child writes: first addresses, one union each, or a text behind an AF_UNSPEC one. */

static struct good *good_find(const char *host)
{
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (good_hosts[i].host[0] && strcmp(good_hosts[i].host, host) == 0)
			return &good_hosts[i];
	return NULL;
}

void resolve_remember(const char *host, const union net_addr *a)
{
	struct good *good = good_find(host);
	union net_addr literal;

	if (net_addr_parse(host, &literal) || host_is_localhost(str_of(host)) ||
	    strlen(host) >= NAME_MAX_BYTES)
		return;
	if (!good) {
		good = &good_hosts[good_next++ % HOSTS_MAX];
		memcpy(good->host, host, strlen(host) + 1);
		good->warned = false;
	}
	good->addr = *a;
	good->doubted = false;
}

void resolve_doubt(const char *host)
{
	struct good *good = good_find(host);

	if (good)
		good->doubted = true;
}

static void child_write(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		s.p += n;
		s.n -= (size_t)n;
	}
}

struct errand {
	const char *host;
	int family;
	int fd;
};

/* Runs in the child. A name that fails is asked once more as an absolute one, since the search
 * list may have answered in its place (field case 106). */
static void child_main(void *arg)
{
	const struct errand *t = arg;
	const char *host = t->host;
	const struct addrinfo hints = { .ai_family = t->family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char absolute[NAME_MAX_BYTES + 1];
	struct buf out = { 0 };
	union net_addr a = { 0 };
	int rc;

	alarm(RESOLVE_MAX_MS / 1000 + 5);
	rc = getaddrinfo(host, NULL, &hints, &list);
	if (rc != 0 && host[strlen(host) - 1] != '.' && strlen(host) < NAME_MAX_BYTES) {
		snprintf(absolute, sizeof(absolute), "%s.", host);
		if (getaddrinfo(absolute, NULL, &hints, &list) == 0)
			rc = 0;
	}
	if (rc != 0) {
		buf_add(&out, &a, sizeof(a));
		buf_adds(&out, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	}
	for (struct addrinfo *i = rc == 0 ? list : NULL; i; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(a) || i->ai_family != t->family)
			continue;
		a = (union net_addr){ 0 };
		memcpy(&a, i->ai_addr, i->ai_addrlen);
		buf_add(&out, &a, sizeof(a));
	}
	child_write(t->fd, buf_str(&out));
}

static int start_child(struct ask *ask, const char *host, struct err *e)
{
	struct errand errand = { .host = host, .family = ask->family };
	int fds[2];
	int rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "resolve %s: pipe", host);
	errand.fd = fds[1];
	ask->fd = fds[0];
	rc = fd_set_nonblock(fds[0], e);
	if (rc == 0)
		rc = spawn_start(&(struct spawn){ .work = child_main,
		                                  .arg = &errand,
		                                  .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
		                                  .keep = &fds[1],
		                                  .n_keep = 1,
		                                  .death_signal = SIGKILL },
		                 DEADLINE_NEVER, &ask->child, e);
	close(fds[1]);
	return rc < 0 ? err_wrap(e, "resolve %s", host) : 0;
}

static void add_found(struct resolver *r, const union net_addr *a)
{
	struct addr_list *l = &r->asks[a->sa.sa_family == AF_INET6 ? V6 : V4].found;

	if (l->n == RESOLVE_ADDRS_MAX)
		return;
	l->a[l->n] = *a;
	net_addr_set_port(&l->a[l->n++], r->port);
}

struct resolver *resolve_start(const char *host, uint16_t port, struct deadline d)
{
	struct resolver *r = mem_alloc(sizeof(*r));
	const struct good *good = good_find(host);
	union net_addr literal;

	r->host = host;
	r->port = port;
	r->asks[V4] = (struct ask){ .family = AF_INET, .fd = -1 };
	r->asks[V6] = (struct ask){ .family = AF_INET6, .fd = -1 };
	r->d = deadline_min(d, deadline_in_ms(RESOLVE_MAX_MS));
	r->patience = good && !good->doubted ? deadline_in_ms(RESOLVE_PATIENCE_MS) : DEADLINE_NEVER;
	if (net_addr_parse(host, &literal)) {
		add_found(r, &literal);
	} else if (host_is_localhost(str_of(host))) {
		net_addr_parse("127.0.0.1", &literal);
		add_found(r, &literal);
		net_addr_parse("::1", &literal);
		add_found(r, &literal);
	} else {
		for (size_t i = 0; i < FAMILIES && !r->start_err.kind; i++)
			start_child(&r->asks[i], host, &r->start_err);
	}
	return r;
}

static void end_ask(struct ask *ask)
{
	spawn_end(&ask->child);
	fd_close(&ask->fd);
}

void resolve_free(struct resolver *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < FAMILIES; i++) {
		end_ask(&r->asks[i]);
		buf_free(&r->asks[i].reply);
	}
	free(r);
}

static int failed(const struct resolver *r, enum err_kind kind, struct str why, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, why, false);
	nameservers_add(&b, "/etc/resolv.conf");
	err_set(e, kind, 0, "resolve %s: %s", r->host, buf_cstr(&b));
	buf_free(&b);
	return -1;
}

/* IPv6 goes first where it leads somewhere, as RFC 6724 has it. */
static size_t first_family(const struct resolver *r)
{
	const struct addr_list *six = &r->asks[V6].found;
	union net_addr from = { 0 };

	if (!six->n || host_is_localhost(str_of(r->host)) || !net_addr_has_route(&six->a[0], &from))
		return V4;
	return net_addr_is_local(&from) == net_addr_is_local(&six->a[0]) ? V6 : V4;
}

/* The remembered address goes before its family. */
static bool recall(const struct good *good, struct addr_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (net_addr_same_ip(&l->a[i], &good->addr)) {
			union net_addr first = l->a[i];

			memmove(&l->a[1], &l->a[0], i * sizeof(first));
			l->a[0] = first;
			return true;
		}
	}
	return false;
}

/* Families alternate; a remembered address goes before all. */
static void arrange(struct resolver *r, struct addr_list *out)
{
	const struct good *good = good_find(r->host);
	size_t first = first_family(r);

	for (size_t i = 0; good && i < FAMILIES; i++)
		if (recall(good, &r->asks[i].found))
			first = i;
	out->n = 0;
	for (size_t i = 0; i < RESOLVE_ADDRS_MAX; i++) {
		for (size_t k = 0; k < FAMILIES; k++) {
			const struct addr_list *l = &r->asks[(first + k) % FAMILIES].found;

			if (i < l->n && out->n < RESOLVE_ADDRS_MAX)
				out->a[out->n++] = l->a[i];
		}
	}
}

static void take_reply(struct resolver *r, const struct ask *ask)
{
	union net_addr a;

	for (size_t at = 0; at + sizeof(a) <= ask->reply.n; at += sizeof(a)) {
		memcpy(&a, ask->reply.p + at, sizeof(a));
		if (a.sa.sa_family != ask->family)
			return;
		add_found(r, &a);
	}
}

/* 1 the child has ended, 0 not yet. */
static int read_child(struct ask *ask)
{
	char piece[512];

	for (;;) {
		ssize_t n = read(ask->fd, piece, sizeof(piece));
		struct err ignored = { 0 };

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0 || buf_add_max(&ask->reply, piece, (size_t)n, REPLY_MAX, &ignored) < 0)
			return 1;
	}
}

/* The remembered address, when the name servers failed. */
static bool stand_in(struct resolver *r, struct addr_list *out, const struct err *why)
{
	struct good *good = good_find(r->host);
	char text[NET_ADDR_TEXT];

	if (!good)
		return false;
	out->a[0] = good->addr;
	out->n = 1;
	net_addr_set_port(&out->a[0], r->port);
	net_addr_text(&out->a[0], text);
	if (!good->warned)
		log_warn("%s; using the last good address %s", why->msg, text);
	good->warned = true;
	return true;
}

static size_t found(const struct resolver *r)
{
	return r->asks[V4].found.n + r->asks[V6].found.n;
}

/* What a family's child said instead of addresses. */
static struct str reason(const struct ask *ask)
{
	struct str why = buf_str(&ask->reply);

	if (why.n <= sizeof(union net_addr))
		return STR_LIT("no address");
	return (struct str){ why.p + sizeof(union net_addr), why.n - sizeof(union net_addr) };
}

static void both_reasons(const struct resolver *r, struct buf *b)
{
	struct str four = reason(&r->asks[V4]), six = reason(&r->asks[V6]);

	if (four.n == six.n && memcmp(four.p, six.p, six.n) == 0) {
		buf_add(b, four.p, four.n);
		return;
	}
	buf_adds(b, "IPv4: ");
	buf_add(b, four.p, four.n);
	buf_adds(b, "; IPv6: ");
	buf_add(b, six.p, six.n);
}

static enum resolve_status finish(struct resolver *r, bool in_time, struct addr_list *out,
                                  struct err *e)
{
	struct good *good = good_find(r->host);
	struct buf why = { 0 };

	for (size_t i = 0; i < FAMILIES; i++)
		end_ask(&r->asks[i]);
	if (found(r)) {
		if (good)
			good->warned = false;
		arrange(r, out);
		return RESOLVE_DONE;
	}
	if (in_time)
		both_reasons(r, &why);
	else
		buf_adds(&why, "no answer in time");
	failed(r, in_time ? ERR_RESOLVE : ERR_TIMEOUT, buf_str(&why), e);
	buf_free(&why);
	return stand_in(r, out, e) ? RESOLVE_DONE : RESOLVE_FAILED;
}

static bool read_asks(struct resolver *r)
{
	union net_addr from;
	bool over = true;

	for (size_t i = 0; i < FAMILIES; i++) {
		struct ask *ask = &r->asks[i];

		if (ask->fd >= 0 && read_child(ask)) {
			end_ask(ask);
			take_reply(r, ask);
			/* Addresses that lead nowhere from here are no reason to hurry. */
			if (!r->answered && ask->found.n &&
			    net_addr_has_route(&ask->found.a[0], &from)) {
				r->answered = true;
				r->grace = deadline_in_ms(RESOLVE_GRACE_MS);
			}
		}
		over = over && ask->fd < 0;
	}
	return over;
}

enum resolve_status resolve_step(struct resolver *r, struct addr_list *out, struct err *e)
{
	if (r->start_err.kind) {
		*e = r->start_err;
		return stand_in(r, out, e) ? RESOLVE_DONE : RESOLVE_FAILED;
	}
	if (read_asks(r))
		return finish(r, true, out, e);
	if (r->answered && deadline_passed(r->grace))
		return finish(r, true, out, e);
	if (deadline_passed(r->d) || deadline_passed(r->patience))
		return finish(r, false, out, e);
	return RESOLVE_PENDING;
}

void resolve_poll(const struct resolver *r, struct pollset *ps)
{
	struct deadline until = deadline_min(r->d, r->patience);
	bool over = true;

	for (size_t i = 0; i < FAMILIES; i++) {
		if (r->asks[i].fd >= 0) {
			pollset_add(ps, r->asks[i].fd, POLLIN);
			over = false;
		}
	}
	if (r->answered)
		until = deadline_min(until, r->grace);
	pollset_until(ps, over ? DEADLINE_PAST : until);
}
