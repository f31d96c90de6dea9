/* SPDX-License-Identifier: Apache-2.0 */
/* See dial.h. */
#include "net/dial.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* The head start of an address before the next one is tried beside it, and its whole time. */
#define HEAD_START_MS 250
#define ADDRESS_MAX_MS 10000

struct attempt {
	int fd;    /* -1: not begun, or over */
	int error; /* errno once it failed */
	struct deadline d;
};

struct dial {
	struct addr_list list;
	struct attempt t[RESOLVE_ADDRS_MAX];
	size_t begun;
	struct deadline next; /* when the next address is tried */
	struct deadline d;
};

struct dial *dial_start(const struct addr_list *l, struct deadline d)
{
	struct dial *dial = mem_alloc(sizeof(*dial));

	dial->list = *l;
	dial->d = d;
	for (size_t i = 0; i < RESOLVE_ADDRS_MAX; i++)
		dial->t[i].fd = -1;
	return dial;
}

void dial_free(struct dial *dial)
{
	if (!dial)
		return;
	for (size_t i = 0; i < dial->begun; i++)
		fd_close(&dial->t[i].fd);
	free(dial);
}

/* A path that died without a word is noticed within half a minute (field case 16). */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },   { SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 20 }, { IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },   { IPPROTO_TCP, TCP_USER_TIMEOUT, 30000 },
	};

	/* Each is a help only: a kernel without one of them still connects. */
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
		                 sizeof(options[i].value));
}

static void begin(struct dial *dial)
{
	const union net_addr *a = &dial->list.a[dial->begun];
	struct attempt *t = &dial->t[dial->begun++];

	dial->next = deadline_in_ms(HEAD_START_MS);
	t->d = deadline_min(dial->d, deadline_in_ms(ADDRESS_MAX_MS));
	t->fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0) {
		t->error = errno;
		return;
	}
	set_options(t->fd);
	if (connect(t->fd, &a->sa, net_addr_len(a)) == 0 || errno == EINPROGRESS || errno == EINTR)
		return;
	t->error = errno;
	fd_close(&t->fd);
}

/* True when it is connected. A failed or late one is closed with its error noted. */
static bool check(struct attempt *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };
	socklen_t n = sizeof(t->error);

	if (poll(&p, 1, 0) > 0) {
		if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &t->error, &n) < 0)
			t->error = errno;
		if (t->error == 0)
			return true;
	} else if (deadline_passed(t->d)) {
		t->error = ETIMEDOUT;
	}
	if (t->error)
		fd_close(&t->fd);
	return false;
}

static int all_failed(const struct dial *dial, struct err *e)
{
	struct buf b = { 0 };
	enum err_kind kind = ERR_TIMEOUT;
	int code = 0;

	for (size_t i = 0; i < dial->begun; i++) {
		char text[NET_ADDR_TEXT];

		net_addr_text(&dial->list.a[i], text);
		buf_addf(&b, "%s%s: %s", i ? ", " : "", text, strerror(dial->t[i].error));
		code = dial->t[i].error;
		if (code != ETIMEDOUT)
			kind = ERR_CONNECT;
	}
	err_set(e, kind, code, "%s", b.n ? buf_cstr(&b) : "timed out");
	buf_free(&b);
	return -1;
}

int dial_step(struct dial *dial, int *fd, union net_addr *who, struct err *e)
{
	for (;;) {
		size_t open = 0;

		for (size_t i = 0; i < dial->begun; i++) {
			struct attempt *t = &dial->t[i];

			if (t->fd < 0)
				continue;
			if (check(t)) {
				*fd = t->fd;
				*who = dial->list.a[i];
				t->fd = -1;
				return 1;
			}
			open += t->fd >= 0;
		}
		if (dial->begun == dial->list.n || deadline_passed(dial->d))
			return open ? 0 : all_failed(dial, e);
		if (open && !deadline_passed(dial->next))
			return 0;
		begin(dial);
	}
}

void dial_poll(const struct dial *dial, struct pollset *ps)
{
	for (size_t i = 0; i < dial->begun; i++) {
		if (dial->t[i].fd < 0)
			continue;
		pollset_add(ps, dial->t[i].fd, POLLOUT);
		pollset_until(ps, dial->t[i].d);
	}
	if (dial->begun < dial->list.n)
		pollset_until(ps, dial->begun ? dial->next : DEADLINE_PAST);
}
