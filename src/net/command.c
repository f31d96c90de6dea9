/* SPDX-License-Identifier: Apache-2.0 */
/* See command.h. */
#include "net/command.h"

#include "base/file.h"
#include "base/kv.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STDERR_MAX 1024
#define LAST_WORDS_MS 1000

/* Of our environment only what such a program needs; ours may hold keys. */
static char **child_env(void)
{
	static const char *const names[] = { "PATH",
		                             "HOME",
		                             "USER",
		                             "LOGNAME",
		                             "SSH_AUTH_SOCK",
		                             "SSH_ASKPASS",
		                             "SSH_ASKPASS_REQUIRE",
		                             "DAYTONA_ASKPASS_SSH", /* what our askpass answers */
		                             "DAYTONA_ASKPASS_SECRET",
		                             "XDG_RUNTIME_DIR",
		                             "LANG",
		                             "LC_ALL",
		                             "KRB5CCNAME" };
	char **env = mem_array(ARRAY_LEN(names) + 1, sizeof(*env));
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = { 0 };
		const char *v = getenv(names[i]);

		if (!v)
			continue;
		buf_addf(&b, "%s=%s", names[i], v);
		env[n++] = buf_take(&b);
	}
	return env;
}

int command_start(struct command *c, const char *const *argv, struct deadline d, int *fd,
                  struct err *e)
{
	int io[2] = { -1, -1 }, errors[2] = { -1, -1 };
	char **env = child_env();
	int rc = -1;

	*c = (struct command){ .name = argv[0], .err_fd = -1, .said = { .max = STDERR_MAX } };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io) < 0 ||
	    pipe2(errors, O_CLOEXEC) < 0)
		err_sys(e, errno, "run %s", argv[0]);
	else if (fd_set_nonblock(io[0], e) == 0 && fd_set_nonblock(errors[0], e) == 0)
		/* The other end is ours and may be non-blocking; this one must not be. */
		rc = spawn_start(&(struct spawn){ .argv = argv,
		                                  .env = (const char *const *)env,
		                                  .std = { io[1], io[1], errors[1] },
		                                  .lead = SPAWN_SESSION },
		                 d, &c->process, e);
	kv_env_free(env);
	fd_close(&io[1]);
	fd_close(&errors[1]);
	if (rc < 0) {
		fd_close(&io[0]);
		fd_close(&errors[0]);
		return -1;
	}
	*fd = io[0];
	c->err_fd = errors[0];
	return 0;
}

void command_drain(struct command *c)
{
	char piece[256];

	while (c->err_fd >= 0) {
		ssize_t n = read(c->err_fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			fd_close(&c->err_fd);
			return;
		}
		mask_head_add(&c->said, (struct str){ piece, (size_t)n });
	}
}

int command_ended(struct command *c, struct err *e)
{
	struct buf line = { 0 }, shown = { 0 };
	struct str said;

	if (c->grace.at_ms == 0)
		c->grace = deadline_in_ms(LAST_WORDS_MS);
	command_drain(c);
	if (c->err_fd >= 0 && !deadline_passed(c->grace))
		return 0;
	said = mask_head_text(&c->said);
	for (size_t i = 0; i < said.n; i++)
		buf_addc(&line, said.p[i] == '\n' || said.p[i] == '\r' ? ' ' : said.p[i]);
	buf_add_printable(&shown, buf_str(&line), false);
	err_set(e, ERR_CLOSED, 0, "%s ended: %s", c->name,
	        shown.n ? buf_cstr(&shown) : "without a message");
	buf_free(&line);
	buf_free(&shown);
	return -1;
}

void command_poll(const struct command *c, struct pollset *ps)
{
	if (c->process.pid)
		pollset_add(ps, c->err_fd, POLLIN);
	if (c->grace.at_ms)
		pollset_until(ps, c->grace);
}

void command_free(struct command *c)
{
	spawn_end(&c->process);
	if (c->name)
		fd_close(&c->err_fd);
	mask_head_free(&c->said);
	*c = (struct command){ .err_fd = -1 };
}
