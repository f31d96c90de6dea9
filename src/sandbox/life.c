/* SPDX-License-Identifier: Apache-2.0 */
/* See sandbox.h: whether one lives, its end, and what it leaves. */
#include "base/file.h"
#include "base/proc_stat.h"
#include "sandbox/sandbox.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define STATUS_MAX 16384
#define LOOK_MS 5

bool sandbox_alive(struct proc_id init)
{
	struct buf text = { 0 };
	struct err ignored = { 0 }; /* it has ended */
	char path[64];
	const char *at, *end;
	struct str pids, one = { 0 };
	size_t n = 0;

	if (!init.pid)
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)init.pid);
	if (file_read(path, STATUS_MAX, &text, &ignored) == 0 &&
	    (at = str_find(buf_str(&text), "\nNSpid:\t")) != NULL) {
		at += sizeof("\nNSpid:\t") - 1;
		end = strchr(at, '\n');
		pids = (struct str){ at, end ? (size_t)(end - at) : 0 };
		while (str_next(&pids, '\t', &one))
			n++;
		n = str_eq(one, "1") ? n : 0;
	}
	buf_free(&text);
	return n > 1 && proc_alive(init);
}

/* Process 1 ends after all others of its namespace have. */
static bool await_end(struct proc_id init, struct deadline d)
{
	int fd = proc_pidfd(init.pid);
	struct err ignored = { 0 };

	while (proc_alive(init) && !deadline_passed(d)) {
		if (fd >= 0)
			wait_fd(fd, POLLIN, d, &ignored);
		else
			usleep(LOOK_MS * 1000); /* before Linux 5.3 nothing tells */
	}
	fd_close(&fd);
	return !proc_alive(init);
}

int sandbox_stop(struct proc_id init, int64_t grace_ms, struct deadline d, struct err *e)
{
	if (!sandbox_alive(init))
		return 0;
	if (grace_ms > 0 && proc_signal(init, SIGTERM) &&
	    await_end(init, deadline_min(d, deadline_in_ms(grace_ms))))
		return 0;
	if (!proc_signal(init, SIGKILL) || await_end(init, d))
		return 0;
	return err_set(e, ERR_TIMEOUT, 0, "the processes of the sandbox (process %ld) do not end",
	               (long)init.pid);
}

static int remove_tree(void *arg, struct err *e)
{
	return file_remove_tree(arg, e);
}

int sandbox_remove(const struct userns_map *map, const char *path, struct deadline d, struct err *e)
{
	union {
		const char *from;
		void *to;
	} borrowed = { path };

	if (geteuid() == 0 || !file_exists(path))
		return file_remove_tree(path, e);
	return userns_run(map, remove_tree, borrowed.to, d, e);
}
