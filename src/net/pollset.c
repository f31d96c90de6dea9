/* SPDX-License-Identifier: Apache-2.0 */
/* See pollset.h. */
#include "net/pollset.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

void pollset_free(struct pollset *ps)
{
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

void pollset_until(struct pollset *ps, struct deadline d)
{
	ps->next = deadline_min(ps->next, d);
}

int pollset_wait(struct pollset *ps, struct err *e)
{
	int n = poll(ps->fds, (nfds_t)ps->n, deadline_poll_ms(ps->next));

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
