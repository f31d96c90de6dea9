/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The toolbox alone, for tests/applets/test_toolbox.py:
 *   toolbox_serve DIR RUN_DIR SELF_EXE
 * prints a port of 127.0.0.1, and serves each connection in a process of its own, as an agent does.
 */
#include "agent/toolbox/toolbox.h"
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct service {
	struct toolbox t;
	int fd;
};

static void serve(void *arg)
{
	const struct service *s = arg;
	struct err e = { 0 };

	if (toolbox_serve(s->fd, &s->t, &e) < 0)
		log_info("connection: %s", e.msg);
}

static int start_one(struct service *s, struct err *e)
{
	struct spawned p;
	int rc = spawn_start(&(struct spawn){ .work = serve,
	                                      .arg = s,
	                                      .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
	                                      .keep = &s->fd,
	                                      .n_keep = 1,
	                                      .lead = SPAWN_SESSION },
	                     DEADLINE_NEVER, &p, e);

	if (rc == 0)
		spawn_forget(&p);
	return rc;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	struct service s = { .t = { .owner = getpid() } };
	struct err e = { 0 };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 4)
		return 2;
	s.t.dir = argv[1];
	s.t.run_dir = argv[2];
	s.t.self_exe = argv[3];
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 64) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &len) < 0)
		return 1;
	printf("%u\n", (unsigned)ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		s.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		spawn_take_all();
		if (s.fd < 0 && errno != EINTR)
			return 1;
		if (s.fd >= 0 && start_one(&s, &e) < 0)
			log_error("%s", e.msg);
		fd_close(&s.fd);
	}
}
