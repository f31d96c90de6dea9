/* SPDX-License-Identifier: Apache-2.0 */
/* forward: ports of a workspace as ports of this machine's loopback. Each connection is a stream of its own. */
#include "applets/applets.h"
#include "applets/streams.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/addr.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"forward WORKSPACE [-R REMOTE[:LOCAL]]... [LOCAL[:REMOTE]]...\n"
	"Makes TCP ports of a workspace's loopback reachable at 127.0.0.1 of this machine, until it is interrupted. LOCAL 0 takes "
	"any free port; without REMOTE it is the same number. -R is the other way: a port of the workspace's loopback leads to "
	"one of this machine.";

#define PORTS_MAX 64
#define CONNECTIONS_MAX 512
#define LINE_MAX_BYTES 65536 /* of what an agent says at once */

struct port {
	int fd; /* listens; of a reverse one: tells of connections */
	uint16_t local, remote;
	bool said; /* that it fails */
	/* Of a reverse one: */
	struct tunnel *t;
	struct buf line, name; /* where connections are fetched */
};

struct connection {
	struct connection *next;
	struct tunnel *t;
	struct port *port;
	int fd; /* to break it off with */
};

struct forward {
	struct cli_admin admin;
	const char *workspace;
	struct port ports[PORTS_MAX]; /* reverse ones first */
	size_t n_ports, n_connections;
	struct opt_list reverse;
	struct connection *connections;
	int signals;
};

/* "8080", "8080:80", "0:80"; of a reverse one the remote port comes first */
static void read_port(struct forward *f, const char *text, bool reverse)
{
	const char *colon = strchr(text, ':');
	struct str local = { text, colon ? (size_t)(colon - text) : strlen(text) };
	int64_t from, to;

	if (!str_to_i64(local, colon ? 0 : 1, 65535, &from) ||
	    !str_to_i64(colon ? str_of(colon + 1) : local, 1, 65535, &to))
		opts_misuse(usage, "\"%s\" is no pair of port numbers", text);
	f->ports[f->n_ports++] = (struct port){ .fd = -1,
		                                .local = (uint16_t)(reverse ? to : from),
		                                .remote = (uint16_t)(reverse ? from : to) };
}

static int listen_at(struct port *p, struct err *e)
{
	union net_addr a = { 0 };
	socklen_t n = sizeof(a);
	int on = 1;

	net_addr_parse("127.0.0.1", &a);
	net_addr_set_port(&a, p->local);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0 || setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(p->fd, &a.sa, net_addr_len(&a)) < 0 || listen(p->fd, 64) < 0 ||
	    getsockname(p->fd, &a.sa, &n) < 0)
		return err_sys(e, errno, "listen at 127.0.0.1:%u", (unsigned)p->local);
	p->local = ntohs(a.v4.sin_port);
	return 0;
}

static int listen_there(struct forward *f, struct port *p, struct err *e)
{
	char query[40];
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_sys(e, errno, "socketpair");
	snprintf(query, sizeof(query), "kind=listen&port=%u", (unsigned)p->remote);
	p->t = tunnel_open(f->admin.link.api, f->workspace, query, deadline_in_ms(STREAM_OPEN_MS));
	tunnel_socket(p->t, TUNNEL_IN, TUNNEL_OUT, fd[0]);
	p->fd = fd[1];
	return 0;
}

static int listen_all(struct forward *f, struct err *e)
{
	for (size_t i = 0; i < f->reverse.n; i++)
		if (listen_there(f, &f->ports[i], e) < 0)
			return -1;
	for (size_t i = f->reverse.n; i < f->n_ports; i++) {
		if (listen_at(&f->ports[i], e) < 0)
			return -1;
		printf("127.0.0.1:%u leads to port %u of %s\n", (unsigned)f->ports[i].local,
		       (unsigned)f->ports[i].remote, f->workspace);
	}
	return fflush(stdout) < 0 ? err_sys(e, errno, "write to standard output") : 0;
}

/* A stream of its own for fd, which is the stream's now. */
static void join(struct forward *f, struct port *p, int fd, const char *query)
{
	struct connection *c = mem_alloc(sizeof(*c));

	c->port = p;
	c->fd = stream_dup(fd);
	c->t = tunnel_open(f->admin.link.api, f->workspace, query, deadline_in_ms(STREAM_OPEN_MS));
	tunnel_socket(c->t, TUNNEL_IN, TUNNEL_OUT, fd);
	c->next = f->connections;
	f->connections = c;
	f->n_connections++;
}

static void accept_one(struct forward *f, struct port *p)
{
	int fd = net_accept(p->fd, SOCK_CLOEXEC | SOCK_NONBLOCK);
	char query[40];

	snprintf(query, sizeof(query), "kind=port&port=%u", (unsigned)p->remote);
	if (fd >= 0)
		join(f, p, fd, query);
}

/* To our own loopback, where it waits for nobody. -1: nobody listens. */
static int connect_here(uint16_t port)
{
	union net_addr a = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	net_addr_parse("127.0.0.1", &a);
	net_addr_set_port(&a, port);
	if (fd >= 0 && connect(fd, &a.sa, net_addr_len(&a)) < 0)
		fd_close(&fd);
	return fd;
}

/* Somebody came there: an id. Nobody here means that it is closed. */
static void fetch_one(struct forward *f, struct port *p, struct str id)
{
	struct buf query = { 0 };
	int fd = connect_here(p->local), none[2];

	buf_adds(&query, "kind=accepted&name=");
	buf_add_urlenc(&query, buf_str(&p->name));
	buf_adds(&query, "&id=");
	buf_add_urlenc(&query, id);
	if (fd < 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, none) == 0) {
		fd = none[0];
		close(none[1]);
	}
	if (fd >= 0)
		join(f, p, fd, buf_cstr(&query));
	buf_free(&query);
}

/* "PORT NAME", then an id a line. */
static void take_line(struct forward *f, struct port *p, struct str line)
{
	struct str port;
	int64_t n;

	if (p->name.n) {
		fetch_one(f, p, line);
		return;
	}
	if (!str_next(&line, ' ', &port) || !line.n || !str_to_i64(port, 1, 65535, &n))
		return;
	buf_add_str(&p->name, line);
	printf("port %lld of %s leads to 127.0.0.1:%u\n", (long long)n, f->workspace,
	       (unsigned)p->local);
	fflush(stdout);
}

/* What a reverse port tells; its end is the end of all. */
static int step_reverse(struct forward *f, struct port *p, struct err *e)
{
	char piece[256];
	const char *lf;
	ssize_t n = 1;

	while (p->line.n < LINE_MAX_BYTES &&
	       (n = recv(p->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
		buf_add(&p->line, piece, (size_t)n);
	while (p->line.n && f->n_connections < CONNECTIONS_MAX &&
	       (lf = memchr(p->line.p, '\n', p->line.n)) != NULL) {
		size_t used = (size_t)(lf - p->line.p);

		take_line(f, p, (struct str){ p->line.p, used });
		buf_drop(&p->line, used + 1);
	}
	if (tunnel_step(p->t, e) != TUNNEL_CLOSED && p->line.n < LINE_MAX_BYTES)
		return 0;
	if (!e->kind)
		err_set(e, ERR_CLOSED, 0, "the workspace listens no more");
	stream_explain(&f->admin, e);
	return err_wrap(e, "port %u", (unsigned)p->remote);
}

static void failed(struct forward *f, struct connection *c, struct err *e)
{
	struct linger now = { 1, 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* a reset, no clean end */
	stream_explain(&f->admin, e);
	err_wrap(e, "port %u", (unsigned)c->port->remote);
	if (!c->port->said)
		applet_fail("forward", e);
	c->port->said = true;
}

static void step_all(struct forward *f)
{
	struct connection **at = &f->connections, *c;

	while ((c = *at) != NULL) {
		struct err e = { 0 };

		if (tunnel_step(c->t, &e) != TUNNEL_CLOSED) {
			c->port->said = c->port->said && !tunnel_heard(c->t);
			at = &c->next;
			continue;
		}
		if (e.kind)
			failed(f, c, &e);
		*at = c->next;
		f->n_connections--;
		tunnel_free(c->t);
		fd_close(&c->fd);
		free(c);
	}
}

static int loop(struct forward *f, struct err *e)
{
	struct pollset ps = { 0 };
	int rc = 0;

	for (;;) {
		pollset_reset(&ps);
		pollset_add(&ps, f->signals, POLLIN);
		for (size_t i = 0; i < f->n_ports && f->n_connections < CONNECTIONS_MAX; i++)
			pollset_add(&ps, f->ports[i].fd, POLLIN);
		for (size_t i = 0; i < f->reverse.n; i++)
			tunnel_poll(f->ports[i].t, &ps);
		for (const struct connection *c = f->connections; c; c = c->next)
			tunnel_poll(c->t, &ps);
		rc = pollset_wait(&ps, e);
		if (rc < 0 || pollset_revents(&ps, f->signals))
			break;
		for (size_t i = 0; i < f->reverse.n && rc == 0; i++)
			rc = step_reverse(f, &f->ports[i], e);
		if (rc < 0)
			break;
		for (size_t i = f->reverse.n; i < f->n_ports && f->n_connections < CONNECTIONS_MAX;
		     i++)
			accept_one(f, &f->ports[i]);
		step_all(f);
	}
	pollset_free(&ps);
	return rc;
}

/* A workspace that is not there is said at once, not by the first connection. */
static int look(struct forward *f, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/workspace/");
	buf_add_urlenc(&path, str_of(f->workspace));
	buf_adds(&path, "/state");
	rc = api_call(f->admin.link.api, "GET", buf_cstr(&path), (struct str){ NULL, 0 }, NULL,
	              deadline_in_ms(CLI_CALL_MS), e);
	buf_free(&path);
	return rc < 0 ? cli_explain(&f->admin, e) : 0;
}

static int forward_run(int argc, char **argv)
{
	struct forward f = { .signals = -1 };
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_LIST('R', "reverse", "REMOTE[:LOCAL]", &f.reverse,
		         "a port there leads to one here"),
		CLI_ADMIN_OPTS(&f.admin),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 1, -1), rc;
	size_t wanted = (size_t)n - 1 + f.reverse.n;

	if (!wanted || wanted > PORTS_MAX)
		opts_misuse(usage, "give one to %d ports", PORTS_MAX);
	f.workspace = argv[1];
	for (size_t i = 0; i < f.reverse.n; i++)
		read_port(&f, f.reverse.v[i], true);
	for (int i = 2; i <= n; i++)
		read_port(&f, argv[i], false);
	rc = cli_admin_open(&f.admin, "forward", &e);
	if (rc == 0)
		rc = look(&f, &e);
	if (rc == 0)
		rc = f.signals = cli_signals(&e);
	if (rc >= 0)
		rc = listen_all(&f, &e);
	if (rc >= 0)
		rc = loop(&f, &e);
	while (f.connections) {
		struct connection *c = f.connections;

		f.connections = c->next;
		tunnel_free(c->t);
		fd_close(&c->fd);
		free(c);
	}
	for (size_t i = 0; i < f.n_ports; i++) {
		fd_close(&f.ports[i].fd);
		tunnel_free(f.ports[i].t);
		buf_free(&f.ports[i].line);
		buf_free(&f.ports[i].name);
	}
	free(f.reverse.v);
	fd_close(&f.signals);
	cli_admin_close(&f.admin);
	return rc < 0 ? applet_fail("forward", &e) : 0;
}

const struct applet forward_applet = {
	.name = "forward",
	.summary = "ports of a workspace on this machine",
	.run = forward_run,
};
