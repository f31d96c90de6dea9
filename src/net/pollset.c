/* SPDX-License-Identifier: Apache-2.0 */
/* See pollset.h. */
#include "net/pollset.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define AT_ONCE 256 /* events that are taken in one turn; the others are there in the next */

/* What the kernel has been told of a descriptor. */
struct told {
	bool there;
	short events;
	uint64_t turn; /* in which it was wanted last, at entry i */
	size_t i;
};

struct pollmem {
	int fd; /* of epoll */
	struct told *told;
	size_t n;
	uint64_t turn;
};

void pollset_free(struct pollset *ps)
{
	if (ps->mem) {
		fd_close(&ps->mem->fd);
		free(ps->mem->told);
		free(ps->mem);
	}
	free(ps->fds);
	*ps = (struct pollset){ 0 };
}

void pollset_reset(struct pollset *ps)
{
	ps->n = 0;
	ps->next = DEADLINE_NEVER;
}

void pollset_add(struct pollset *ps, int fd, short events)
{
	if (fd < 0)
		return;
	if (ps->n == ps->cap) {
		ps->cap = ps->cap ? ps->cap * 2 : 8;
		ps->fds = mem_realloc(ps->fds, ps->cap * sizeof(*ps->fds));
	}
	ps->fds[ps->n++] = (struct pollfd){ .fd = fd, .events = events };
}

void pollset_renew(struct pollset *ps, size_t i)
{
	struct pollmem *poll_memory = ps->mem;

	if (poll_memory && i < ps->n && (size_t)ps->fds[i].fd < poll_memory->n)
		poll_memory->told[ps->fds[i].fd].there = false;
}

void pollset_until(struct pollset *ps, struct deadline d)
{
	ps->next = deadline_min(ps->next, d);
}

static struct told *told_of(struct pollmem *poll_memory, int fd)
{
	if ((size_t)fd >= poll_memory->n) {
		size_t n = (size_t)fd + 64;

		poll_memory->told = mem_realloc(poll_memory->told, n * sizeof(*poll_memory->told));
		for (; poll_memory->n < n; poll_memory->n++)
			poll_memory->told[poll_memory->n] = (struct told){ 0 };
	}
	return &poll_memory->told[fd];
}

/* False: epoll cannot have it. */
static bool tell(struct pollmem *poll_memory, const struct pollfd *want, size_t i)
{
	struct told *t = told_of(poll_memory, want->fd);
	struct epoll_event ev = { .events = (uint32_t)(unsigned short)want->events,
		                  .data.fd = want->fd };

	if (t->turn == poll_memory->turn)
		return false; /* it is wanted twice */
	t->turn = poll_memory->turn;
	t->i = i;
	if (t->there && t->events == want->events)
		return true;
	if (epoll_ctl(poll_memory->fd, EPOLL_CTL_MOD, want->fd, &ev) < 0 &&
	    (errno != ENOENT || epoll_ctl(poll_memory->fd, EPOLL_CTL_ADD, want->fd, &ev) < 0))
		return t->there = false;
	t->events = want->events;
	return t->there = true;
}

static bool tell_all(struct pollset *ps)
{
	struct pollmem *poll_memory = ps->mem;

	if (!ps->many)
		return false;
	if (!poll_memory) {
		poll_memory = ps->mem = mem_alloc(sizeof(*poll_memory));
		poll_memory->fd = -1;
	}
	if (poll_memory->fd < 0 && (poll_memory->fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return false; /* for want of descriptors: poll(2) needs none */
	poll_memory->turn++;
	for (size_t i = 0; i < ps->n; i++)
		if (!tell(poll_memory, &ps->fds[i], i))
			return false;
	return true;
}

/* Nobody asks for fd now. When it is none any more, but a copy of it is open in another process, only
 * a new beginning helps. */
static void untell(struct pollmem *poll_memory, int fd)
{
	poll_memory->told[fd].there = false;
	if (epoll_ctl(poll_memory->fd, EPOLL_CTL_DEL, fd, NULL) == 0)
		return;
	fd_close(&poll_memory->fd);
	for (size_t i = 0; i < poll_memory->n; i++)
		poll_memory->told[i].there = false;
}

static int wait_many(struct pollset *ps)
{
	struct pollmem *poll_memory = ps->mem;
	struct epoll_event ev[AT_ONCE];
	int n = epoll_wait(poll_memory->fd, ev, AT_ONCE, deadline_poll_ms(ps->next));

	for (int k = 0; k < n; k++) {
		const struct told *t = told_of(poll_memory, ev[k].data.fd);

		if (t->turn == poll_memory->turn)
			ps->fds[t->i].revents = (short)ev[k].events;
		else if (poll_memory->fd >= 0)
			untell(poll_memory, ev[k].data.fd);
	}
	return n;
}

int pollset_wait(struct pollset *ps, struct err *e)
{
	int n = tell_all(ps) ? wait_many(ps)
	                     : poll(ps->fds, (nfds_t)ps->n, deadline_poll_ms(ps->next));

	if (n >= 0)
		return 0;
	for (size_t i = 0; i < ps->n; i++)
		ps->fds[i].revents = 0;
	if (errno == EINTR || errno == EAGAIN)
		return 0;
	return err_sys(e, errno, "poll of %zu descriptors", ps->n);
}

short pollset_revents(const struct pollset *ps, int fd)
{
	short all = 0;

	for (size_t i = 0; i < ps->n; i++)
		if (ps->fds[i].fd == fd)
			all = (short)(all | ps->fds[i].revents);
	return all;
}

bool pollset_is_quiet(const struct pollset *ps, int fd)
{
	bool asked = false;

	for (size_t i = 0; i < ps->n; i++) {
		if (ps->fds[i].fd != fd)
			continue;
		if (ps->fds[i].revents)
			return false;
		asked = asked || (ps->fds[i].events & POLLIN);
	}
	return asked;
}
