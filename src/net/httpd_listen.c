/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's listening sockets. */
#include "base/file.h"
#include "base/mem.h"
#include "net/httpd_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

union sock_addr {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static int listener_add(struct httpd *h, int fd, const union sock_addr *a, socklen_t len,
                        struct tls_ctx *tls, const char *name, struct err *e)
{
	if (h->n_listeners == HTTPD_LISTENERS_MAX) {
		close(fd);
		return err_set(e, ERR_LIMIT, 0, "listen on %s: too many listeners", name);
	}
	if (h->s.n_inherited) {
		close(fd);
		fd = *h->s.inherited++;
		h->s.n_inherited--;
	} else if (bind(fd, &a->sa, len) < 0 || listen(fd, BACKLOG) < 0) {
		int code = errno;

		close(fd);
		if (code == EADDRINUSE)
			return err_set(e, ERR_BUSY, code, "listen on %s: the address is in use",
			               name);
		return err_sys(e, code, "listen on %s", name);
	}
	h->listeners[h->n_listeners++] = (struct listener){ .fd = fd,
		                                            .tls = tls,
		                                            .ps_at = SIZE_MAX };
	return 0;
}

int httpd_listen(struct httpd *h, const char *addr, uint16_t port, struct tls_ctx *tls,
                 struct err *e)
{
	union sock_addr a = { 0 };
	socklen_t len = sizeof(a.in4);
	bool any = addr[0] == '\0' || (addr[0] == '*' && addr[1] == '\0');
	int on = 1, off = 0;
	char name[80];

	if (inet_pton(AF_INET, addr, &a.in4.sin_addr) == 1) {
		a.in4.sin_family = AF_INET;
		a.in4.sin_port = htons(port);
	} else if (any || inet_pton(AF_INET6, addr, &a.in6.sin6_addr) == 1) {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons(port);
		len = sizeof(a.in6);
	} else {
		return err_set(e, ERR_USAGE, 0,
		               "listen on \"%s\": no IP address; give one such as "
		               "127.0.0.1, ::1 or 0.0.0.0",
		               addr);
	}
	int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 && any) { /* a kernel without IPv6 */
		a = (union sock_addr){ .in4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
		len = sizeof(a.in4);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	snprintf(name, sizeof(name), "%s port %u", any ? "all addresses" : addr, (unsigned)port);
	if (fd < 0)
		return err_sys(e, errno, "listen on %s", name);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a.sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
	if (listener_add(h, fd, &a, len, tls, name, e) < 0)
		return -1;
	h->listeners[h->n_listeners - 1].tcp = true;
	return 0;
}

int httpd_listen_unix(struct httpd *h, const char *path, struct err *e)
{
	union sock_addr a = { .un = { .sun_family = AF_UNIX } };
	size_t n = strlen(path);
	struct stat st;

	if (n >= sizeof(a.un.sun_path))
		return err_set(e, ERR_LIMIT, 0, "listen on %s: the path is longer than %zu bytes",
		               path, sizeof(a.un.sun_path) - 1);
	memcpy(a.un.sun_path, path, n + 1);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		/* Only a socket that nobody listens on is stale. */
		int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (probe >= 0 && connect(probe, &a.sa, sizeof(a.un)) < 0 && errno == ECONNREFUSED)
			unlink(path);
		fd_close(&probe);
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "listen on %s", path);
	mode_t old = umask(0177);
	int rc = listener_add(h, fd, &a, sizeof(a.un), NULL, path, e);

	umask(old);
	if (rc == 0)
		h->listeners[h->n_listeners - 1].unix_path = mem_dup(path);
	return rc;
}

uint16_t httpd_port(const struct httpd *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		union sock_addr a = { 0 };
		socklen_t len = sizeof(a);

		if (!h->listeners[i].tcp || getsockname(h->listeners[i].fd, &a.sa, &len) < 0)
			continue;
		return ntohs(a.sa.sa_family == AF_INET6 ? a.in6.sin6_port : a.in4.sin_port);
	}
	return 0;
}

void httpd_set_tls(struct httpd *h, struct tls_ctx *tls)
{
	for (size_t i = 0; i < h->n_listeners; i++)
		if (h->listeners[i].tls)
			h->listeners[i].tls = tls;
}

size_t httpd_listeners(const struct httpd *h, int fds[HTTPD_LISTENERS_MAX])
{
	for (size_t i = 0; i < h->n_listeners; i++)
		fds[i] = h->listeners[i].fd;
	return h->n_listeners;
}

void httpd_stop_listening(struct httpd *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		fd_close(&h->listeners[i].fd);
		if (h->listeners[i].unix_path)
			unlink(h->listeners[i].unix_path);
		free(h->listeners[i].unix_path);
	}
	h->n_listeners = 0;
}
