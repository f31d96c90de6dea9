/* SPDX-License-Identifier: Apache-2.0 */
/* See streams.h: the table, and ports of the workspace. */
#include "agent/streams.h"

#include "agent/copy.h"
#include "agent/listen.h"
#include "agent/ssh.h"
#include "agent/toolbox/stream.h"
#include "base/attr.h"
#include "base/file.h"
#include "net/addr.h"
#include "net/httpd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 5000

bool stream_param(const struct stream_request *q, const char *name, struct buf *out)
{
	return httpd_query_get(q->query, name, out);
}

static int connect_to(const char *host, uint16_t port, struct deadline d, int *out, struct err *e)
{
	union net_addr a = { 0 };
	int fd, code = 0;
	socklen_t n = sizeof(code);

	net_addr_parse(host, &a);
	net_addr_set_port(&a, port);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "socket");
	if (connect(fd, &a.sa, net_addr_len(&a)) < 0)
		code = errno;
	if (code == EINPROGRESS) {
		if (wait_fd(fd, POLLOUT, d, e) < 0)
			code = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
			code = errno;
	}
	if (code) {
		close(fd);
		return err_sys(e, code, "port %u", (unsigned)port);
	}
	*out = fd;
	return 0;
}

/* Only the workspace's own loopback: what it could reach elsewhere is not the client's to use. */
static int port_connect(const struct stream_request *q, int *fd, struct err *e)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	struct deadline d = deadline_in_ms(CONNECT_MS);
	struct buf text = { 0 };
	struct err first = { 0 };
	int64_t port;
	bool ok = stream_param(q, "port", &text) && str_to_i64(buf_str(&text), 1, 65535, &port);

	buf_free(&text);
	if (!ok)
		return err_set(e, ERR_PARSE, 0, "the request names no port from 1 to 65535");
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (connect_to(hosts[i], (uint16_t)port, d, fd, i ? e : &first) == 0)
			return 0;
	if (first.code == ECONNREFUSED)
		return err_set(e, ERR_CONNECT, ECONNREFUSED,
		               "nothing listens on port %u in the workspace", (unsigned)port);
	*e = first;
	return -1;
}

static const struct stream_kind kinds[] = {
	{ .name = "port", .connect = port_connect },
	{ .name = "ssh", .serve = ssh_stream, .ends_own = true },
	{ .name = "listen", .serve = listen_serve },
	{ .name = "accepted", .connect = listen_fetch },
	{ .name = "get", .serve = copy_get },
	{ .name = "put", .serve = copy_put },
	{ .name = "exec", .program = true },
	{ .name = "pty", .program = true, .terminal = true },
#ifdef DR_TOOLBOX
	{ .name = "toolbox", .serve = toolbox_stream },
#endif
};

const struct stream_kind *stream_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}
