/* SPDX-License-Identifier: Apache-2.0 */
/* ssh_serve KEY DIR: an agent's stream of the kind ssh between standard input and output, as a ProxyCommand wants it.
 * sftp: the subsystem alone. key FILE: a client's key. */
#include "agent/sftp.h"
#include "agent/ssh.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
	int fd;
	char **argv;
};

static void serve(void *arg)
{
	struct stream *s = arg;
	struct err e = { 0 };

	ssh_serve(s->fd, str_of(s->argv[1]), s->argv[2], &e);
	log_error("%s", e.msg);
	_exit(1);
}

/* Until from ends: a process a direction, so that one which stands still does not hold up the other. */
static void copy(int from, int to)
{
	static char piece[1 << 16];
	struct err e = { 0 };
	ssize_t n;

	do
		n = read(from, piece, sizeof(piece));
	while (n > 0 && file_write_all(to, (struct str){ piece, (size_t)n }, "stream", &e) == 0);
}

static void send_input(void *arg)
{
	struct stream *s = arg;

	copy(0, s->fd);
	shutdown(s->fd, SHUT_WR);
}

static int start(void (*work)(void *arg), struct stream *s, struct spawned *p)
{
	struct err e = { 0 };
	int rc = spawn_start(&(struct spawn){ .work = work,
	                                      .arg = s,
	                                      .std = { work == serve ? SPAWN_NULL : SPAWN_OURS,
	                                               SPAWN_NULL, SPAWN_OURS },
	                                      .keep = &s->fd,
	                                      .n_keep = 1,
	                                      .lead = SPAWN_SESSION },
	                     deadline_in_ms(10000), p, &e);

	if (rc < 0)
		log_error("%s", e.msg);
	return rc;
}

int main(int argc, char **argv)
{
	struct spawned server = { 0 }, input = { 0 };
	struct stream s = { .argv = argv };
	struct err e = { 0 };
	struct buf line = { 0 };
	int fd[2], rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "sftp") == 0)
		return sftp_serve(0, 1, &e) < 0;
	if (argc == 3 && strcmp(argv[1], "key") == 0) {
		rc = ssh_client_key(argv[2], &line, &e);
		puts(rc == 0 ? buf_cstr(&line) : e.msg);
		buf_free(&line);
		return rc < 0;
	}
	if (argc != 3 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return 2;
	s.fd = fd[1];
	if (start(serve, &s, &server) < 0)
		return 1;
	close(fd[1]);
	s.fd = fd[0];
	if (start(send_input, &s, &input) == 0)
		copy(fd[0], 1);
	spawn_end(&input);
	spawn_signal(&server, SIGHUP);
	return 0;
}
