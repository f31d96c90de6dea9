/* SPDX-License-Identifier: Apache-2.0 */
/* Words between the processes; see inside.h. */
#include "base/file.h"
#include "sandbox/inside.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

int note_pair(int fd[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return err_sys(e, errno, "make a socket");
	return 0;
}

void note_send(int fd, const struct note *n)
{
	while (send(fd, n, sizeof(*n), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

void note_error(int fd, const struct err *e)
{
	struct note n = { .kind = NOTE_ERROR, .e = *e };

	note_send(fd, &n);
}

int note_receive(int fd, struct note *n, struct deadline d, struct err *e)
{
	ssize_t got;

	if (wait_fd(fd, POLLIN, d, e) < 0)
		return -1;
	do /* one that ended without reading all has said its last word all the same */
		got = recv(fd, n, sizeof(*n), 0);
	while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	if (got == 0)
		return 0;
	if (got != (ssize_t)sizeof(*n))
		return err_sys(e, got < 0 ? errno : EPROTO, "hear from a process of the sandbox");
	return 1;
}
