/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that works on hostile bytes, and all that it starts, can no longer do. Landlock keeps it out
 * of other processes (ptrace, /proc/PID/mem and environ, signals, abstract sockets) and away from the files named
 * here; seccomp refuses system calls. Each takes what this kernel has, and less is no error.
 */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include "base/buf.h"

#include <stdbool.h>

/*
 * Process-wide, since what is to be protected is known far from where a program is started. A hidden file cannot be
 * read or changed, nor can "FILE.*", nor anything in a hidden directory; it has to exist. The price: in each directory
 * above one, what is created later is out of reach as well, and of more than 512 entries only the first 512: names with a
 * dot in front, directories, then the rest; of one that cannot be listed, all but the way to what is hidden.
 */
enum confine_who { HIDE_FROM_JOB, HIDE_FROM_TOOLS };       /* the former from both */
void confine_hide(const char *path, enum confine_who who); /* NULL is none */
/* Whether that happens above a path, and the directory. */
bool confine_crowded(const char *path, struct buf *dir);
/* One path below those hidden from tools is left to them; it is made before the tool starts. Borrowed. */
void confine_keep(const char *path);

/* Each refuses more than the one before. */
enum confine_syscalls {
	SYSCALLS_MACHINE, /* what only changes the machine itself: modules, kexec, reboot, swap; other ABIs */
	SYSCALLS_WORKSPACE, /* and the kernel's large surfaces: io_uring, bpf, rare sockets */
	SYSCALLS_SANDBOX, /* and namespaces, mounts, keyrings, quotas, clocks, NUMA, all that is newer than this program:
			* no less than Docker's default profile; a debugger works (Linux 4.8) */
	SYSCALLS_TOOL, /* and tracing, and the memory of other processes */
};
/* False where there is no filter. Needs no_new_privs. Calls fail with EPERM, or as if they were unknown. */
bool confine_syscalls(enum confine_syscalls level);
/* For a job's own process, which has no_new_privs: Landlock alone. */
bool confine_job(void);
/* No abstract socket of others can be reached (Linux 6.12). Needs no_new_privs. */
bool confine_sockets(void);
/* The hidden paths, whoever they are hidden from; NULL beyond the last. */
const char *confine_hidden(size_t i);
/* For a program that is none of ours, between fork and exec: SYSCALLS_TOOL, and of root's capabilities only those for
 * files survive. Sets no_new_privs. False where the kernel has no Landlock of version 2 (Linux 5.19). */
bool confine_self(void);
/* "Landlock 7, seccomp" for a person. */
void confine_describe(struct buf *b);

#endif
