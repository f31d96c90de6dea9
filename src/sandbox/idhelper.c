/* SPDX-License-Identifier: Apache-2.0 */
/* See idhelper.h and newuidmap(1). */
#include "sandbox/idhelper.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/spawn.h"
#include "sandbox/inside.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOOL_MS 10000

static int helper = -1; /* our end of the socket */

struct wish {
	pid_t pid;
	struct userns_map map;
};

/* newuidmap PID 0 own 1 1 first n */
static int run_tool(const char *tool, pid_t pid, uint32_t own, uint32_t first, uint32_t n,
                    struct deadline d, struct err *e)
{
	char p[16], o[16], f[16], many[16];
	const char *const argv[] = { tool, p, "0", o, "1", "1", f, many, NULL };
	int status = 0;

	snprintf(p, sizeof(p), "%ld", (long)pid);
	snprintf(o, sizeof(o), "%u", own);
	snprintf(f, sizeof(f), "%u", first);
	snprintf(many, sizeof(many), "%u", n);
	if (proc_run(&(struct proc_spawn){ .argv = argv }, d, &status, e) < 0)
		return -1;
	return status == 0 ? 0
	                   : err_set(e, ERR_DENIED, status,
	                             "%s refuses ids %u to %u; see /etc/subuid and /etc/subgid",
	                             tool, first, first + n - 1);
}

static int run_tools(const struct wish *w, struct deadline d, struct err *e)
{
	const struct userns_map *map = &w->map;

	if (run_tool("newuidmap", w->pid, geteuid(), map->uids, map->n_uids, d, e) < 0)
		return -1;
	return run_tool("newgidmap", w->pid, getegid(), map->gids, map->n_gids, d, e);
}

/* Until nobody has the other end any more. */
static void serve(void *arg)
{
	int fd = *(int *)arg;
	struct wish w;

	signal(SIGPIPE, SIG_IGN);
	while (recv(fd, &w, sizeof(w), 0) == (ssize_t)sizeof(w)) {
		struct note n = { .kind = NOTE_GO, .pid = w.pid };

		if (run_tools(&w, deadline_in_ms(TOOL_MS), &n.e) < 0)
			n.kind = NOTE_ERROR;
		note_send(fd, &n);
	}
}

void idhelper_start(void)
{
	struct userns_map map = { 0 };
	struct spawned p = { 0 };
	struct buf why = { 0 };
	struct err none = {
		0
	}; /* without one there are no ranges, which is said where they are wanted */
	int fd[2];

	if (geteuid() == 0 || helper >= 0)
		return;
	userns_ordinary(&map, &why);
	buf_free(&why);
	if (map.how != MAP_TOOLS || note_pair(fd, &none) < 0)
		return;
	if (spawn_start(&(struct spawn){ .work = serve,
	                                 .arg = &fd[1],
	                                 .keep = &fd[1],
	                                 .n_keep = 1,
	                                 .death_signal = SIGKILL },
	                DEADLINE_NEVER, &p, &none) == 0) {
		spawn_forget(&p);
		helper = fd[0];
	} else {
		close(fd[0]);
	}
	close(fd[1]);
}

int idhelper_socket(void)
{
	return helper;
}

int idhelper_map(pid_t pid, const struct userns_map *map, struct deadline d, struct err *e)
{
	struct wish w = { pid, *map };
	struct note n = { 0 };
	int got;

	if (helper < 0)
		return run_tools(&w, d, e);
	if (send(helper, &w, sizeof(w), MSG_NOSIGNAL) != (ssize_t)sizeof(w))
		return err_set(e, ERR_OTHER, 0, "the process that runs newuidmap has ended");
	do /* not one that somebody did not wait for */
		got = note_receive(helper, &n, d, e);
	while (got == 1 && n.pid != pid);
	if (got == 0)
		return err_set(e, ERR_OTHER, 0, "the process that runs newuidmap has ended");
	if (got == 1 && n.kind == NOTE_ERROR)
		*e = n.e;
	return got == 1 && n.kind == NOTE_GO ? 0 : -1;
}
