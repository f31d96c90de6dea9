/* SPDX-License-Identifier: Apache-2.0 */
/* See proc.h: identity and signals of one process, and what a fresh child does first. */
#include "base/proc.h"

#include "base/proc_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The same number on every architecture that we build for. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static ssize_t read_stat(pid_t pid, char *text, size_t size)
{
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	do
		n = read(fd, text, size - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

bool proc_stat_read(pid_t pid, struct proc_stat *out)
{
	int64_t f[23] = { 0 }; /* by their numbers in proc(5); 4 to 22 are used */
	char text[1024];
	struct str rest, word;
	const char *paren;
	char state;

	if (pid <= 0 || read_stat(pid, text, sizeof(text)) <= 0)
		return false;
	paren = strrchr(text, ')'); /* the name before it may hold anything */
	if (!paren || paren[1] != ' ' || !paren[2] || paren[3] != ' ')
		return false;
	state = paren[2];
	rest = str_of(paren + 4);
	for (size_t i = 4; i <= 22; i++) {
		if (!str_next(&rest, ' ', &word) || !str_to_i64(word, INT64_MIN, INT64_MAX, &f[i]))
			return false;
	}
	*out = (struct proc_stat){
		.id = { pid, (uint64_t)f[22] },
		.ppid = (pid_t)f[4],
		.pgid = (pid_t)f[5],
		.sid = (pid_t)f[6],
		.gone = (state == 'Z' || state == 'X') && f[20] <= 1,
		.stopped = state == 'T',
	};
	return true;
}

bool proc_identify(pid_t pid, struct proc_id *out)
{
	struct proc_stat s;

	if (!proc_stat_read(pid, &s) || s.gone)
		return false;
	*out = s.id;
	return true;
}

bool proc_alive(struct proc_id id)
{
	struct proc_id now;

	return proc_identify(id.pid, &now) && now.start == id.start;
}

int proc_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool proc_signal(struct proc_id id, int sig)
{
	int fd = proc_pidfd(id.pid); /* holds on to the process, then it is checked to be the one */
	bool alive = proc_alive(id);

	if (alive && (fd < 0 || syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0))
		alive = kill(id.pid, sig) == 0 || errno == EPERM;
	if (fd >= 0)
		close(fd);
	return alive;
}

void proc_reset_signals(void)
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

void proc_close_fds(const int *keep, size_t n_keep)
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

void proc_describe_status(int status, struct buf *b)
{
	if (WIFEXITED(status))
		buf_addf(b, "exit status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		buf_addf(b, "killed by signal %d (%s)", WTERMSIG(status),
		         strsignal(WTERMSIG(status)));
	else
		buf_addf(b, "wait status 0x%04x", (unsigned)status);
}
