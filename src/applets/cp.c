/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cp: files and trees between this machine and a workspace, as a tar stream whose other end the workspace's agent is; the
 * workspace needs no program for it. A process of its own reads or writes the files, so that a slow disk holds up no ping.
 */
#include "agent/copy.h"
#include "applets/applets.h"
#include "applets/streams.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"cp SOURCE TARGET\n"
	"Copies a file or a directory with all that is in it, to a workspace or from one; WORKSPACE:PATH is there, a relative "
	"PATH begins at the checkout. A TARGET that is a directory gets it under its own name.";

#define SHOW_MS 200

struct cp {
	struct cli_admin admin;
	char *workspace;
	const char *here, *there; /* paths */
	bool up;                  /* to the workspace */
	/* Of the process: */
	int fd, said;
	bool show;
	struct deadline next;
};

/* "app:dir/file"; not "./a:b", "/a:b" or "dir/a:b". */
static const char *remote_path(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon && colon > text && text[0] != '.' && !memchr(text, '/', (size_t)(colon - text))
	               ? colon + 1
	               : NULL;
}

static void show(void *arg, const struct copy *c)
{
	struct cp *cp = arg;

	if (!cp->show || !deadline_passed(cp->next))
		return;
	cp->next = deadline_in_ms(SHOW_MS);
	fprintf(stderr, "\r%.1f MiB\033[K", (double)c->bytes / (1 << 20));
}

static void be_copier(void *arg)
{
	struct cp *cp = arg;
	struct copy c = { .progress = show, .arg = cp };
	struct err e = { 0 }, ignored = { 0 };
	int rc;

	signal(SIGPIPE, SIG_IGN);
	rc = cp->up ? copy_send(cp->fd, cp->here, &c, &e) : copy_receive(cp->fd, cp->here, &c, &e);
	if (cp->show)
		fprintf(stderr, "\r%.1f MiB\033[K\n", (double)c.bytes / (1 << 20));
	if (rc < 0)
		file_write_all(cp->said, str_of(e.msg), "pipe", &ignored);
	/* What the stream did to it, the other side tells better. */
	_exit(rc == 0 ? 0 : e.kind == ERR_SYS && e.code == EPIPE ? 2 : 1);
}

/* Starts it; *fd and *said are our ends. */
static int start(struct cp *cp, struct spawned *p, int *fd, int *said, struct err *e)
{
	int pair[2], text[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socketpair");
	if (pipe2(text, O_CLOEXEC) < 0) {
		close(pair[0]);
		close(pair[1]);
		return err_sys(e, errno, "create pipe");
	}
	cp->fd = pair[1];
	cp->said = text[1];
	rc = spawn_start(&(struct spawn){ .work = be_copier,
	                                  .arg = cp,
	                                  .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
	                                  .keep = (const int[]){ pair[1], text[1] },
	                                  .n_keep = 2,
	                                  .death_signal = SIGKILL },
	                 DEADLINE_NEVER, p, e);
	close(pair[1]);
	close(text[1]);
	*fd = pair[0];
	*said = text[0];
	if (rc < 0) {
		fd_close(fd);
		fd_close(said);
	}
	return rc;
}

static int copy(struct cp *cp, struct err *e)
{
	struct buf query = { 0 }, text = { 0 };
	struct err ignored = { 0 };
	struct spawned p = { 0 };
	struct tunnel *t;
	int fd, said, status, rc;

	if (start(cp, &p, &fd, &said, e) < 0)
		return -1;
	buf_addf(&query, "kind=%s&path=", cp->up ? "put" : "get");
	buf_add_urlenc(&query, str_of(*cp->there ? cp->there : "."));
	t = tunnel_open(cp->admin.link.api, cp->workspace, buf_cstr(&query),
	                deadline_in_ms(STREAM_OPEN_MS));
	tunnel_socket(t, TUNNEL_IN, TUNNEL_OUT, fd);
	rc = stream_run(t, e);
	tunnel_free(t); /* the process learns of the end */
	file_read_fd(said, "pipe", sizeof(e->msg), &text, &ignored);
	fd_close(&said);
	if (!spawn_collect(&p, &status))
		status = 1;
	if (cp->up && WIFEXITED(status) && WEXITSTATUS(status) == 1 && text.n)
		rc = err_set(e, ERR_OTHER, 0, "%s", buf_cstr(&text));
	else if (rc < 0)
		stream_explain(&cp->admin, e);
	else if (status != 0)
		rc = err_set(e, ERR_OTHER, 0, "%s", text.n ? buf_cstr(&text) : "it broke off");
	buf_free(&query);
	buf_free(&text);
	return rc;
}

static int cp_run(int argc, char **argv)
{
	struct cp cp = { .show = isatty(STDERR_FILENO) };
	struct err e = { 0 };
	bool recursive = false;
	const struct opt opts[] = {
		OPT_FLAG('r', "recursive", &recursive,
		         "nothing: directories are always copied whole"),
		CLI_ADMIN_OPTS(&cp.admin),
		OPT_END,
	};
	const char *from, *to;
	int rc;

	opts_parse(opts, usage, argc, argv, 2, 2);
	from = remote_path(argv[1]);
	to = remote_path(argv[2]);
	if (!from == !to)
		opts_misuse(usage, "one of SOURCE and TARGET is WORKSPACE:PATH, the other is here");
	cp.up = to != NULL;
	cp.here = argv[cp.up ? 1 : 2];
	cp.there = cp.up ? to : from;
	cp.workspace = mem_dupn(argv[cp.up ? 2 : 1], (size_t)(cp.there - argv[cp.up ? 2 : 1]) - 1);
	rc = cli_admin_open(&cp.admin, "cp", &e);
	if (rc == 0)
		rc = copy(&cp, &e);
	cli_admin_close(&cp.admin);
	free(cp.workspace);
	return rc < 0 ? applet_fail("cp", &e) : 0;
}

const struct applet cp_applet = {
	.name = "cp",
	.summary = "copy files to and from a workspace",
	.run = cp_run,
};
