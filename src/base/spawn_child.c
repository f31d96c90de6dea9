/* SPDX-License-Identifier: Apache-2.0 */
/* See spawn_child.h. */
#include "base/spawn_child.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same number on every architecture that we build for. */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

void spawn_reset_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &sa,
		          NULL); /* SIGKILL, SIGSTOP and the C library's own are refused */
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool contains(const int *list, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] == fd)
			return true;
	}
	return false;
}

/* For kernels before 5.9. Closing moves no other entry, but the list is read again until clean. */
static void close_listed(const int *keep, size_t n_keep)
{
	bool again = true;

	while (again) {
		DIR *dir = opendir("/proc/self/fd");
		struct dirent *ent;
		int64_t fd;

		again = false;
		if (!dir) {
			for (int i = 3; i < 1024; i++) {
				if (!contains(keep, n_keep, i))
					close(i);
			}
			return;
		}
		while ((ent = readdir(dir)) != NULL) {
			if (!str_to_i64(str_of(ent->d_name), 3, INT_MAX, &fd) || fd == dirfd(dir) ||
			    contains(keep, n_keep, (int)fd))
				continue;
			if (close((int)fd) == 0)
				again = true;
		}
		closedir(dir);
	}
}

void spawn_close_fds(const int *keep, size_t n_keep)
{
	unsigned from = 3;

	for (;;) {
		unsigned next = UINT_MAX; /* the lowest one to keep from `from` on */

		for (size_t i = 0; i < n_keep; i++) {
			if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		}
		if (next > from &&
		    syscall(SYS_close_range, from, next == UINT_MAX ? next : next - 1, 0) < 0) {
			close_listed(keep, n_keep);
			return;
		}
		if (next == UINT_MAX)
			return;
		from = next + 1;
	}
}

static const char *find_path(const char *const *env)
{
	for (; *env; env++) {
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	}
	return SPAWN_DEFAULT_PATH;
}

int spawn_exec(const char *path, const char *const *argv, const char *const *env)
{
	union {
		const char *const *from;
		char *const *to;
	} a = { argv }, v = { env }; /* execve changes neither, but says so only in prose */
	struct str rest = str_of(find_path(env)), dir;
	char found[PATH_MAX];
	int code = ENOENT;

	if (path || strchr(argv[0], '/')) {
		execve(path ? path : argv[0], a.to, v.to);
		return errno;
	}
	while (str_next(&rest, ':', &dir)) {
		int n = snprintf(found, sizeof(found), "%.*s/%s", STR_ARG(dir), argv[0]);

		if (dir.n == 0 || n < 0 || (size_t)n >= sizeof(found))
			continue;
		execve(found, a.to, v.to);
		/* A directory that may not be searched says nothing about what is in it. */
		if (errno != ENOENT && errno != ENOTDIR &&
		    !(errno == EACCES && access(found, F_OK) < 0))
			code = errno;
	}
	return code;
}
