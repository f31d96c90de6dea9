/* SPDX-License-Identifier: Apache-2.0 */
/* See listen.h. Processes meet at an abstract socket with a name that cannot be guessed, and look who the other is. */
#include "agent/listen.h"

#include "base/attr.h"
#include "base/deadline.h"
#include "base/file.h"
#include "net/addr.h"
#include "net/pollset.h"
#include "net/tls.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define PREFIX "daytona-runner-"
#define NAME_BYTES 16
#define WAITING_MAX 128
#define FETCH_MS 30000
#define TALK_MS 2000
#define ID_MAX 20

struct waiting {
	int fd; /* -1: free */
	uint64_t id;
	struct deadline until;
};

struct listener {
	int client, tcp, meeting;
	uint64_t last_id;
	struct waiting waiting[WAITING_MAX];
};

static socklen_t meeting_addr(const char *name, struct sockaddr_un *a)
{
	size_t n = strlen(name);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a->sun_path + 1, PREFIX, sizeof(PREFIX) - 1);
	memcpy(a->sun_path + sizeof(PREFIX), name, n);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(PREFIX) + n);
}

static int meeting_open(struct buf *name, struct err *e)
{
	unsigned char raw[NAME_BYTES];
	struct sockaddr_un a;
	socklen_t n;
	int fd;

	if (crypto_random(raw, sizeof(raw), e) < 0)
		return -1;
	buf_add_hex(name, raw, sizeof(raw));
	n = meeting_addr(buf_cstr(name), &a);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, WAITING_MAX) < 0) {
		err_sys(e, errno, "a meeting place");
		fd_close(&fd);
	}
	return fd;
}

static int port_open(uint16_t *port, struct err *e)
{
	union net_addr a = { 0 };
	socklen_t n = sizeof(a);
	int on = 1, fd;

	net_addr_parse("127.0.0.1", &a);
	net_addr_set_port(&a, *port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, &a.sa, net_addr_len(&a)) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, &a.sa, &n) < 0) {
		err_sys(e, errno, "port %u in the workspace", (unsigned)*port);
		fd_close(&fd);
		return -1;
	}
	*port = ntohs(a.v4.sin_port);
	return fd;
}

static bool is_ours(int fd)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.uid == geteuid();
}

/* One byte and a descriptor. */
static bool hand_over(int to, int fd)
{
	char byte = 0;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io,
		            .msg_iovlen = 1,
		            .msg_control = control.room,
		            .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &m, MSG_NOSIGNAL) == 1;
}

static int take_over(int from, struct err *e)
{
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io,
		            .msg_iovlen = 1,
		            .msg_control = control.room,
		            .msg_controllen = sizeof(control.room) };
	ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	int fd;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return err_set(e, ERR_NOT_FOUND, 0, "the connection has gone");
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Somebody comes to fetch: the id in digits, then the end of what it says. */
static void meet(struct listener *l)
{
	int fd = net_accept(l->meeting, SOCK_CLOEXEC);
	struct deadline d = deadline_in_ms(TALK_MS);
	struct err ignored = { 0 };
	char text[ID_MAX + 1];
	size_t n = 0;
	ssize_t got = 1;
	int64_t id;

	if (fd < 0)
		return;
	while (is_ours(fd) && got > 0 && n < sizeof(text) && wait_fd(fd, POLLIN, d, &ignored) > 0) {
		got = recv(fd, text + n, sizeof(text) - n, MSG_DONTWAIT);
		n += got > 0 ? (size_t)got : 0;
	}
	for (size_t i = 0; i < WAITING_MAX; i++) {
		struct waiting *w = &l->waiting[i];

		if (got == 0 && w->fd >= 0 &&
		    str_to_i64((struct str){ text, n }, 1, INT64_MAX, &id) &&
		    w->id == (uint64_t)id) {
			hand_over(fd, w->fd);
			fd_close(&w->fd);
		}
	}
	close(fd);
}

static struct waiting *free_place(struct listener *l)
{
	for (size_t i = 0; i < WAITING_MAX; i++)
		if (l->waiting[i].fd < 0)
			return &l->waiting[i];
	return NULL;
}

static int accept_one(struct listener *l, struct waiting *w, struct err *e)
{
	char line[ID_MAX + 2];

	w->fd = net_accept(l->tcp, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (w->fd < 0)
		return 0;
	w->id = ++l->last_id;
	w->until = deadline_in_ms(FETCH_MS);
	snprintf(line, sizeof(line), "%llu\n", (unsigned long long)w->id);
	return file_write_all(l->client, str_of(line), "the stream", e);
}

static int loop(struct listener *l, struct err *e)
{
	struct pollset ps = { 0 };
	bool over = false;
	int rc = 0;

	while (rc == 0 && !over) {
		struct waiting *w = free_place(l);

		pollset_reset(&ps);
		pollset_add(&ps, l->client, POLLIN);
		pollset_add(&ps, l->meeting, POLLIN);
		pollset_add(&ps, w ? l->tcp : -1, POLLIN);
		for (size_t i = 0; i < WAITING_MAX; i++)
			if (l->waiting[i].fd >= 0)
				pollset_until(&ps, l->waiting[i].until);
		rc = pollset_wait(&ps, e);
		over = pollset_revents(&ps, l->client); /* it says nothing: its end */
		if (rc == 0 && !over && pollset_revents(&ps, l->meeting))
			meet(l);
		if (rc == 0 && !over && w && pollset_revents(&ps, l->tcp))
			rc = accept_one(l, w, e);
		for (size_t i = 0; i < WAITING_MAX; i++)
			if (deadline_passed(l->waiting[i].until))
				fd_close(&l->waiting[i].fd);
	}
	pollset_free(&ps);
	return rc;
}

int listen_serve(int fd, const struct stream_request *q, struct err *e)
{
	struct listener l = { .client = fd, .tcp = -1, .meeting = -1 };
	struct buf text = { 0 }, name = { 0 }, line = { 0 };
	int64_t n;
	bool ok = stream_param(q, "port", &text) && str_to_i64(buf_str(&text), 0, 65535, &n);
	uint16_t port = ok ? (uint16_t)n : 0;
	int rc = ok ? 0 : err_set(e, ERR_PARSE, 0, "the request names no port up to 65535");

	for (size_t i = 0; i < WAITING_MAX; i++)
		l.waiting[i].fd = -1;
	if (rc == 0)
		rc = l.tcp = port_open(&port, e);
	if (rc >= 0)
		rc = l.meeting = meeting_open(&name, e);
	if (rc >= 0) {
		buf_addf(&line, "%u %s\n", (unsigned)port, buf_cstr(&name));
		rc = file_write_all(fd, buf_str(&line), "the stream", e);
	}
	if (rc == 0)
		rc = loop(&l, e);
	buf_free(&text);
	buf_free(&name);
	buf_free(&line);
	return rc < 0 ? -1 : 0;
}

static int fetch(const char *name, struct str id, struct err *e)
{
	struct timeval patience = { .tv_sec = TALK_MS / 1000 };
	struct sockaddr_un a;
	socklen_t n = meeting_addr(name, &a);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&a, n) < 0)
		err_set(e, ERR_NOT_FOUND, errno, "nobody listens there any more");
	else if (!is_ours(fd))
		err_set(e, ERR_DENIED, 0, "somebody else listens there");
	else if (file_write_all(fd, id, "the listener", e) == 0 && shutdown(fd, SHUT_WR) == 0)
		got = take_over(fd, e);
	fd_close(&fd);
	return got;
}

int listen_fetch(const struct stream_request *q, int *fd, struct err *e)
{
	struct buf name = { 0 }, id = { 0 };
	int64_t n;
	bool ok = stream_param(q, "name", &name) && stream_param(q, "id", &id) &&
	          name.n == 2 * NAME_BYTES &&
	          strspn(buf_cstr(&name), "0123456789abcdef") == name.n &&
	          str_to_i64(buf_str(&id), 1, INT64_MAX, &n);

	*fd = ok ? fetch(buf_cstr(&name), buf_str(&id), e)
	         : err_set(e, ERR_PARSE, 0, "the request names no connection");
	buf_free(&name);
	buf_free(&id);
	return *fd < 0 ? -1 : 0;
}
