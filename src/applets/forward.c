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
#include <sys/signalfd.h>
#include <unistd.h>

static const char usage[] =
	"forward WORKSPACE LOCAL[:REMOTE]...\n"
	"Makes TCP ports of a workspace's loopback reachable at 127.0.0.1 of this machine, until it is interrupted. LOCAL 0 takes "
	"any free port; without REMOTE it is the same number.\n"
	"\nExamples:\n"
	"  daytona-runner forward app 3000\n"
	"  daytona-runner forward app 8080:80 0:5432";

#define PORTS_MAX 64
#define CONNECTIONS_MAX 512

struct port {
	int fd;
	uint16_t local, remote;
	bool said; /* that it fails */
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
	struct port ports[PORTS_MAX];
	size_t n_ports, n_connections;
	struct connection *connections;
	int signals;
};

/* "8080", "8080:80", "0:80" */
static void read_port(struct forward *f, char *text)
{
	char *colon = strchr(text, ':');
	struct str local = { text, colon ? (size_t)(colon - text) : strlen(text) };
	int64_t from, to;

	if (!str_to_i64(local, colon ? 0 : 1, 65535, &from) ||
	    !str_to_i64(colon ? str_of(colon + 1) : local, 1, 65535, &to))
		opts_misuse(usage, "\"%s\" is no LOCAL[:REMOTE] of port numbers", text);
	f->ports[f->n_ports++] = (struct port){ .fd = -1,
		                                .local = (uint16_t)from,
		                                .remote = (uint16_t)to };
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

static int listen_all(struct forward *f, struct err *e)
{
	for (size_t i = 0; i < f->n_ports; i++) {
		if (listen_at(&f->ports[i], e) < 0)
			return -1;
		printf("127.0.0.1:%u leads to port %u of %s\n", (unsigned)f->ports[i].local,
		       (unsigned)f->ports[i].remote, f->workspace);
	}
	return fflush(stdout) < 0 ? err_sys(e, errno, "write to standard output") : 0;
}

static void accept_one(struct forward *f, struct port *p)
{
	int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *c;
	char query[40];

	if (fd < 0)
		return;
	snprintf(query, sizeof(query), "kind=port&port=%u", (unsigned)p->remote);
	c = mem_alloc(sizeof(*c));
	c->port = p;
	c->fd = stream_dup(fd);
	c->t = tunnel_open(f->admin.link.api, f->workspace, query, deadline_in_ms(STREAM_OPEN_MS));
	tunnel_socket(c->t, TUNNEL_IN, TUNNEL_OUT, fd);
	c->next = f->connections;
	f->connections = c;
	f->n_connections++;
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
		for (const struct connection *c = f->connections; c; c = c->next)
			tunnel_poll(c->t, &ps);
		rc = pollset_wait(&ps, e);
		if (rc < 0 || pollset_revents(&ps, f->signals))
			break;
		for (size_t i = 0; i < f->n_ports && f->n_connections < CONNECTIONS_MAX; i++)
			accept_one(f, &f->ports[i]);
		step_all(f);
	}
	pollset_free(&ps);
	return rc;
}

static int signals_open(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "signalfd") : fd;
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
		CLI_ADMIN_OPTS(&f.admin),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 2, PORTS_MAX + 1), rc;

	f.workspace = argv[1];
	for (int i = 2; i <= n; i++)
		read_port(&f, argv[i]);
	rc = cli_admin_open(&f.admin, "forward", &e);
	if (rc == 0)
		rc = look(&f, &e);
	if (rc == 0)
		rc = f.signals = signals_open(&e);
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
	for (size_t i = 0; i < f.n_ports; i++)
		fd_close(&f.ports[i].fd);
	fd_close(&f.signals);
	cli_admin_close(&f.admin);
	return rc < 0 ? applet_fail("forward", &e) : 0;
}

const struct applet forward_applet = {
	.name = "forward",
	.summary = "ports of a workspace on this machine",
	.run = forward_run,
};
