/* SPDX-License-Identifier: Apache-2.0 */
/* See conn_parts.h. */
#include "net/conn_parts.h"

#include "base/mem.h"
#include "net/http_parse.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void proxy_authorization(const struct url *proxy, struct buf *b)
{
	struct buf plain = { 0 };

	if (!proxy->user)
		return;
	buf_addf(&plain, "%s:%s", proxy->user, proxy->password ? proxy->password : "");
	buf_adds(b, "Basic ");
	buf_add_base64(b, plain.p, plain.n, false, true);
	buf_wipe(&plain);
}

void proxy_hop_start(struct proxy_hop *h, const struct url *proxy, const struct url *to)
{
	bool six = strchr(to->host, ':') != NULL;
	struct buf at = { 0 };

	h->proxy = proxy;
	h->to = to;
	buf_addf(&at, "%s%s%s:%u", six ? "[" : "", to->host, six ? "]" : "", to->port);
	buf_addf(&h->out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", buf_cstr(&at), buf_cstr(&at));
	if (proxy->user) {
		buf_adds(&h->out, "Proxy-Authorization: ");
		proxy_authorization(proxy, &h->out);
		buf_adds(&h->out, "\r\n");
	}
	buf_adds(&h->out, "\r\n");
	buf_free(&at);
}

static int lost(const struct proxy_hop *h, const char *why, struct err *e)
{
	return err_set(e, ERR_CLOSED, 0, "proxy %s:%u: %s", h->proxy->host, h->proxy->port, why);
}

static int refused(const struct proxy_hop *h, const struct http_head *head, struct err *e)
{
	struct buf reason = { 0 };

	buf_add_printable(&reason, head->reason, false);
	if (head->status == 407)
		err_set(e, ERR_HTTP, 407,
		        "proxy %s:%u: %s (HTTP 407); put user:password@ into the proxy's URL",
		        h->proxy->host, h->proxy->port,
		        h->proxy->user ? "it does not accept the user or password"
		                       : "it wants a user and password");
	else
		err_set(e, ERR_HTTP, head->status,
		        "proxy %s:%u refuses a connection to %s:%u: HTTP %d %s", h->proxy->host,
		        h->proxy->port, h->to->host, h->to->port, head->status, buf_cstr(&reason));
	buf_free(&reason);
	return -1;
}

static int take_head(struct proxy_hop *h, struct err *e)
{
	struct http_head *head = mem_alloc(sizeof(*head));
	long n = http_parse_response(buf_str(&h->in), "CONNECT", head, e);
	int rc = 0;

	if (n < 0)
		rc = err_wrap(e, "proxy %s:%u", h->proxy->host, h->proxy->port);
	else if (n > 0 && head->status / 100 == 1)
		buf_drop(&h->in, (size_t)n);
	else if (n > 0 && head->status / 100 != 2)
		rc = refused(h, head, e);
	else if (n > 0)
		rc = 1;
	if (rc > 0) {
		buf_add(&h->early, h->in.p + n, h->in.n - (size_t)n);
		buf_free(&h->in);
	}
	free(head);
	return rc;
}

int proxy_hop_step(struct proxy_hop *h, int fd, struct err *e)
{
	char piece[1024];
	ssize_t n;
	int rc = 0;

	while (h->out.n) {
		n = send(fd, h->out.p, h->out.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return lost(h, strerror(errno), e);
		buf_drop(&h->out, (size_t)n);
		if (h->out.n == 0)
			buf_wipe(&h->out);
	}
	while (rc == 0) {
		n = recv(fd, piece, sizeof(piece), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return lost(h, strerror(errno), e);
		if (n == 0)
			return lost(h, "it closed the connection without an answer", e);
		if (buf_add_max(&h->in, piece, (size_t)n, HTTP_HEAD_MAX + sizeof(piece), e) < 0)
			return err_wrap(e, "proxy %s:%u", h->proxy->host, h->proxy->port);
		do
			rc = take_head(h, e);
		while (rc == 0 && str_find(buf_str(&h->in), "\r\n\r\n"));
	}
	return rc;
}

short proxy_hop_wants(const struct proxy_hop *h)
{
	return h->out.n ? POLLOUT : POLLIN;
}

void proxy_hop_free(struct proxy_hop *h)
{
	buf_wipe(&h->out);
	buf_free(&h->in);
	buf_free(&h->early);
	*h = (struct proxy_hop){ 0 };
}
