/* SPDX-License-Identifier: Apache-2.0 */
/* See resolve.h. */
#include "net/resolve.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "net/ip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define RESOLVE_MAX_MS 20000
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

struct resolver {
	const char *host;
	uint16_t port;
	struct deadline d;
	struct deadline patience;
	struct addr_list found; /* without a child */
	struct err start_err;
	struct spawned child;
	int fd;
	struct buf reply;
};

/* What the child writes: first addresses, one union each, or a text behind an AF_UNSPEC one. */

socklen_t net_addr_len(const union net_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

void net_addr_text(const union net_addr *a, char out[NET_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (a->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof(ip));
		snprintf(out, NET_ADDR_TEXT, "[%s]:%u", ip, ntohs(a->v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof(ip));
		snprintf(out, NET_ADDR_TEXT, "%s:%u", ip, ntohs(a->v4.sin_port));
	}
}

static void set_port(union net_addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

static bool same_ip(const union net_addr *a, const union net_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

static bool from_literal(const char *host, union net_addr *a)
{
	unsigned char ip[IP_MAX_BYTES];
	size_t n = ip_parse(str_of(host), ip);

	*a = (union net_addr){ 0 };
	if (n == 4) {
		a->sa.sa_family = AF_INET;
		memcpy(&a->v4.sin_addr, ip, n);
	} else if (n) {
		a->sa.sa_family = AF_INET6;
		memcpy(&a->v6.sin6_addr, ip, n);
	}
	return n > 0;
}

static struct good *good_find(const char *host)
{
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (good_hosts[i].host[0] && strcmp(good_hosts[i].host, host) == 0)
			return &good_hosts[i];
	return NULL;
}

void resolve_remember(const char *host, const union net_addr *a)
{
	struct good *g = good_find(host);
	union net_addr literal;

	if (from_literal(host, &literal) || host_is_localhost(str_of(host)) ||
	    strlen(host) >= NAME_MAX_BYTES)
		return;
	if (!g) {
		g = &good_hosts[good_next++ % HOSTS_MAX];
		memcpy(g->host, host, strlen(host) + 1);
		g->warned = false;
	}
	g->addr = *a;
	g->doubted = false;
}

void resolve_doubt(const char *host)
{
	struct good *g = good_find(host);

	if (g)
		g->doubted = true;
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
	int fd;
};

/* Runs in the child. A name that fails is asked once more as an absolute one, since the search
 * list may have answered in its place (field case 106). */
static void child_main(void *arg)
{
	const struct errand *t = arg;
	const char *host = t->host;
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
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
		if (i->ai_addrlen > sizeof(a) ||
		    (i->ai_family != AF_INET && i->ai_family != AF_INET6))
			continue;
		a = (union net_addr){ 0 };
		memcpy(&a, i->ai_addr, i->ai_addrlen);
		buf_add(&out, &a, sizeof(a));
	}
	child_write(t->fd, buf_str(&out));
}

static void start_child(struct resolver *r)
{
	struct errand errand = { .host = r->host };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0) {
		err_sys(&r->start_err, errno, "resolve %s: pipe", r->host);
		return;
	}
	errand.fd = fds[1];
	if (fd_set_nonblock(fds[0], &r->start_err) == 0 &&
	    spawn_start(&(struct spawn){ .work = child_main,
	                                 .arg = &errand,
	                                 .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
	                                 .keep = &fds[1],
	                                 .n_keep = 1,
	                                 .death_signal = SIGKILL },
	                DEADLINE_NEVER, &r->child, &r->start_err) < 0)
		err_wrap(&r->start_err, "resolve %s", r->host);
	close(fds[1]);
	r->fd = fds[0];
}

struct resolver *resolve_start(const char *host, uint16_t port, struct deadline d)
{
	struct resolver *r = mem_alloc(sizeof(*r));
	struct addr_list *l = &r->found;
	const struct good *g = good_find(host);

	r->host = host;
	r->port = port;
	r->fd = -1;
	r->d = deadline_min(d, deadline_in_ms(RESOLVE_MAX_MS));
	r->patience = g && !g->doubted ? deadline_in_ms(RESOLVE_PATIENCE_MS) : DEADLINE_NEVER;
	if (from_literal(host, &l->a[0])) {
		l->n = 1;
	} else if (host_is_localhost(str_of(host))) {
		from_literal("127.0.0.1", &l->a[0]);
		from_literal("::1", &l->a[1]);
		l->n = 2;
	} else {
		start_child(r);
	}
	return r;
}

static void end_child(struct resolver *r)
{
	spawn_end(&r->child);
	fd_close(&r->fd);
}

void resolve_free(struct resolver *r)
{
	if (!r)
		return;
	end_child(r);
	buf_free(&r->reply);
	free(r);
}

static void add_servers(struct buf *b)
{
	struct buf text = { 0 };
	struct str rest, line;
	struct err ignored = { 0 };
	const char *before = " (name servers: ";

	if (file_read("/etc/resolv.conf", 65536, &text, &ignored) < 0) {
		buf_adds(b, " (no /etc/resolv.conf)");
	} else {
		rest = buf_str(&text);
		while (str_next(&rest, '\n', &line)) {
			line = str_trim(line);
			if (!str_starts(line, "nameserver") || line.n < 12)
				continue;
			line = str_trim((struct str){ line.p + 10, line.n - 10 });
			buf_adds(b, before);
			buf_add_printable(b, line, false);
			before = ", ";
		}
		buf_adds(b, before[0] == ',' ? ")" : " (no name server in /etc/resolv.conf)");
	}
	buf_free(&text);
}

static int failed(const struct resolver *r, enum err_kind kind, struct str why, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, why, false);
	add_servers(&b);
	err_set(e, kind, 0, "resolve %s: %s", r->host, buf_cstr(&b));
	buf_free(&b);
	return -1;
}

/* Families alternate, the first one's family goes first; a remembered address goes before all. */
static void arrange(const struct resolver *r, struct addr_list *in, struct addr_list *out)
{
	const struct good *g = good_find(r->host);
	sa_family_t want = in->a[0].sa.sa_family;

	out->n = 0;
	for (size_t i = 0; g && i < in->n; i++) {
		if (same_ip(&in->a[i], &g->addr)) {
			union net_addr first = in->a[i];

			memmove(&in->a[1], &in->a[0], i * sizeof(first));
			in->a[0] = first;
			want = first.sa.sa_family;
			break;
		}
	}
	while (out->n < in->n) {
		size_t i = 0;

		while (i < in->n && in->a[i].sa.sa_family != want)
			i++;
		for (size_t k = 0; i == in->n && k < in->n; k++)
			if (in->a[k].sa.sa_family != AF_UNSPEC)
				i = k;
		out->a[out->n] = in->a[i];
		set_port(&out->a[out->n++], r->port);
		want = in->a[i].sa.sa_family == AF_INET ? AF_INET6 : AF_INET;
		in->a[i].sa.sa_family = AF_UNSPEC;
	}
}

static void take_reply(struct resolver *r)
{
	union net_addr a;

	for (size_t at = 0; at + sizeof(a) <= r->reply.n && r->found.n < RESOLVE_ADDRS_MAX;
	     at += sizeof(a)) {
		memcpy(&a, r->reply.p + at, sizeof(a));
		if (a.sa.sa_family == AF_UNSPEC)
			return;
		r->found.a[r->found.n++] = a;
	}
}

/* 1 the child has ended, 0 not yet. */
static int read_child(struct resolver *r)
{
	char piece[512];

	for (;;) {
		ssize_t n = read(r->fd, piece, sizeof(piece));
		struct err ignored = { 0 };

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0 || buf_add_max(&r->reply, piece, (size_t)n, REPLY_MAX, &ignored) < 0)
			return 1;
	}
}

/* The remembered address, when the name servers failed. */
static bool stand_in(struct resolver *r, struct addr_list *out, const struct err *why)
{
	struct good *g = good_find(r->host);
	char text[NET_ADDR_TEXT];

	if (!g)
		return false;
	out->a[0] = g->addr;
	out->n = 1;
	set_port(&out->a[0], r->port);
	net_addr_text(&out->a[0], text);
	if (!g->warned)
		log_warn("%s; using the last good address %s", why->msg, text);
	g->warned = true;
	return true;
}

static enum resolve_status finish(struct resolver *r, struct addr_list *out, struct err *e)
{
	struct good *g;
	struct str why = buf_str(&r->reply);

	take_reply(r);
	if (r->found.n) {
		g = good_find(r->host);
		if (g)
			g->warned = false;
		arrange(r, &r->found, out);
		return RESOLVE_DONE;
	}
	if (why.n > sizeof(union net_addr)) {
		why.p += sizeof(union net_addr);
		why.n -= sizeof(union net_addr);
	} else {
		why = STR_LIT("no address");
	}
	failed(r, ERR_RESOLVE, why, e);
	return stand_in(r, out, e) ? RESOLVE_DONE : RESOLVE_FAILED;
}

enum resolve_status resolve_step(struct resolver *r, struct addr_list *out, struct err *e)
{
	if (r->start_err.kind) {
		*e = r->start_err;
		return stand_in(r, out, e) ? RESOLVE_DONE : RESOLVE_FAILED;
	}
	if (r->found.n) {
		arrange(r, &r->found, out);
		return RESOLVE_DONE;
	}
	if (read_child(r)) {
		end_child(r);
		return finish(r, out, e);
	}
	if (!deadline_passed(r->d) && !deadline_passed(r->patience))
		return RESOLVE_PENDING;
	end_child(r);
	failed(r, ERR_TIMEOUT, STR_LIT("no answer in time"), e);
	return stand_in(r, out, e) ? RESOLVE_DONE : RESOLVE_FAILED;
}

void resolve_poll(const struct resolver *r, struct pollset *ps)
{
	pollset_add(ps, r->fd, POLLIN);
	pollset_until(ps, r->fd < 0 ? DEADLINE_PAST : deadline_min(r->d, r->patience));
}
