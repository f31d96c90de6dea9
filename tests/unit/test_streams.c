/* SPDX-License-Identifier: Apache-2.0 */
/* agent/streams.h: ports of the workspace, and how a stream that cannot be is refused. */
#include "agent/streams.h"

#include "net/addr.h"
#include "tests/test.h"

#include <sys/socket.h>

static int listen_on(const char *host, unsigned *port)
{
	union net_addr a = { 0 };
	socklen_t n = sizeof(a);
	int fd;

	net_addr_parse(host, &a);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, &a.sa, net_addr_len(&a)) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, &a.sa, &n) < 0)
		return -1;
	*port = ntohs(a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	return fd;
}

static int ask(const char *query, int *fd, struct err *e)
{
	struct stream_request q = { .kind = "port", .query = str_of(query) };

	return stream_kind("port")->connect(&q, fd, e);
}

static void a_port_of_either_loopback_is_reached(void)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };

	for (size_t i = 0; i < 2; i++) {
		struct err e = { 0 };
		char query[64], byte = 'x';
		unsigned port;
		int fd = -1, peer, listener = listen_on(hosts[i], &port);

		if (listener < 0) {
			TEST_SKIP("no address ::1");
			continue;
		}
		snprintf(query, sizeof(query), "kind=port&port=%u", port);
		CHECK_INT(ask(query, &fd, &e), 0);
		peer = accept(listener, NULL, NULL);
		CHECK(peer >= 0 && write(fd, &byte, 1) == 1 && read(peer, &byte, 1) == 1);
		close(peer);
		close(fd);
		close(listener);
		/* Nobody is there any more. */
		CHECK_INT(ask(query, &fd, &e), -1);
		CHECK(strstr(e.msg, "nothing listens on port"));
	}
}

static void what_is_no_port_is_refused(void)
{
	static const char *const queries[] = { "",        "port",          "port=",     "port=0",
		                               "port=-1", "port=65536",    "port=80x",  "port=%",
		                               "Port=80", "port=127.1:80", "port=80%00" };

	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		struct err e = { 0 };
		int fd = -1;

		TEST_ROW(i);
		CHECK_INT(ask(queries[i], &fd, &e), -1);
		CHECK_INT(fd, -1);
		CHECK_STR(e.msg, "the request names no port from 1 to 65535");
	}
	CHECK(!stream_kind("ports") && !stream_kind(""));
}

TEST_MAIN(TEST(a_port_of_either_loopback_is_reached), TEST(what_is_no_port_is_refused))
