/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: identity that survives pid reuse, running a program with a clean environment and
 * bounded output, ending a whole tree of processes.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include "base/buf.h"
#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A process named so that a reused pid is noticed: start time in clock ticks since boot
 * (/proc/PID/stat field 22). */
struct proc_id {
	pid_t pid;
	uint64_t start;
};

/* False if there is none (zombies count as gone). */
bool proc_identify(pid_t pid, struct proc_id *out);
bool proc_alive(struct proc_id id);
/* Sends sig only if the process is still the same one. False if it is gone. */
bool proc_signal(struct proc_id id, int sig);

/* Appends what names this boot of the machine, without which a proc_id on the disk says nothing; nothing without /proc. */
void proc_boot_id(struct buf *b);

struct proc_spawn {
	const char *const
		*argv; /* NULL-terminated; argv[0] is looked up in PATH of env or a default */
	const char *const *env; /* NULL-terminated K=V; NULL gives PATH and HOME=/ alone */
	const char *cwd;        /* NULL: as ours */
	struct str input; /* written to stdin, then closed; may be empty. SIGPIPE must be ignored */
	/* Output of stdout and stderr as it arrives; may be NULL (dropped). */
	void (*output)(void *arg, struct str bytes);
	void *arg;
	int64_t grace_ms; /* between SIGTERM and SIGKILL at the deadline; default 5000 */
	bool confined; /* it cannot look into other processes, where the kernel can see to that */
	bool end_daemons; /* what it leaves behind is ended, whatever it forks meanwhile: for a PR_SET_CHILD_SUBREAPER below
	                   * which nothing else begins until this returns */
	const volatile int *stop; /* when it becomes non-zero the program is ended; may be NULL */
};

/* Runs it in its own process group and waits. It dies with us. 0 and *status = wait status; -1 when it cannot be
 * started (ERR_NOT_FOUND names the program), or ran into the deadline (ERR_TIMEOUT) or was
 * stopped (ERR_CANCELED); then its whole group is dead when this returns. Output is read to its
 * end, at most 2 s beyond the program's exit (grandchildren may hold the pipe). */
int proc_run(const struct proc_spawn *s, struct deadline d, int *status, struct err *e);
/* "exit status 3", "killed by signal 9 (Killed)". */
void proc_describe_status(int status, struct buf *b);

/* All live descendants of root (not itself), found by walking /proc once. Caller frees *out. */
size_t proc_descendants(pid_t root, struct proc_id **out);
/* Ends ids and all their descendants: SIGTERM, up to grace_ms, then SIGKILL until none is left or
 * the deadline passes (ERR_TIMEOUT, names what is left). Descendants that appear meanwhile are
 * included, and members of a session or process group that one of them leads. Never touches itself,
 * nor a process that is not below one of ids (or was when first seen). Daemons stay below a root only if it, or we,
 * are PR_SET_CHILD_SUBREAPER: such a root needs no more than its own id. Does not reap. */
int proc_end_tree(const struct proc_id *ids, size_t n, int64_t grace_ms, struct deadline d,
                  struct err *e);

#endif
