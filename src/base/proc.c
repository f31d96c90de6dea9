/* SPDX-License-Identifier: Apache-2.0 */
/* See proc.h: identity and signals of one process. */
#include "base/proc.h"

#include "base/file.h"
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

void proc_boot_id(struct buf *b)
{
	struct buf id = { 0 };
	struct err ignored = { 0 }; /* without /proc there is no process identity either */

	if (file_read("/proc/sys/kernel/random/boot_id", 128, &id, &ignored) == 0)
		buf_add_str(b, str_trim(buf_str(&id)));
	buf_free(&id);
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
