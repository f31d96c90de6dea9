/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs in namespaces of their own on this host, without a container engine: a root file system from lower
 * directories (of an image, say), from one directory, or the host's read-only; users, processes, mounts, host name,
 * System V IPC, cgroups and, if wanted, the network apart from the host's. Process 1 is our own executable.
 *
 * What is in the root file system is not trusted: nothing of it runs before the confinement is complete, and no path in
 * it leads out. What the caller names of the host (directories, binds) is.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "base/proc.h"
#include "base/spawn.h"
#include "sandbox/userns.h"

/* Where our executable is inside: on a mount that nobody inside can write to. */
#define SANDBOX_PROGRAM "/run/daytona/daytona-runner"

enum sandbox_net {
	SANDBOX_NET_HOST,
	SANDBOX_NET_PRIVATE, /* a namespace with a loopback device; the caller adds more by admit */
	SANDBOX_NET_NONE,
};

struct sandbox_bind {
	const char *from; /* of the host */
	const char *to;   /* inside, absolute; made if it is missing */
	bool read_only;
};

/* What a workspace asks for of its own: a link on the way to it, or inside on the way to its place, is not followed. What cannot
 * be had is said and left out. */
struct sandbox_mount {
	const char *
		dir; /* of the host, as trusted as a bind's; NULL: an empty file system in memory */
	const char *below; /* what of it, "" for all */
	const char *
		to; /* inside, without "." and ".."; made if it is missing, for the owner of the directory it is in */
	bool read_only;
	bool give; /* belongs to user, see root_give */
};

/* All paths absolute, all borrowed. */
struct sandbox {
	const struct userns_map *map;
	bool strict; /* what is weaker than asked for is an error, else it is said */
	void (*say)(void *arg, const char *line);
	/* Process 1 is there and waits: write its record, connect its network. An error ends it, and so does our own
	 * end: nothing runs that admit did not see. Its root has our mounts still. */
	int (*admit)(void *arg, struct proc_id init, struct err *e);
	/* Put it into its cgroup while it makes the root its own: it begins nothing before that is done. Or NULL. */
	int (*bound)(void *arg, struct proc_id init, struct err *e);
	void *arg;

	/* The root file system: lower directories, uppermost first, below upper (work: empty, of the same file system);
	 * or plain, which is written to; or neither: the host's. */
	const char *const *lower;
	size_t n_lower;
	bool shift; /* lower directories have ids as inside: they are mounted so (Linux 5.19). Needs MAP_RANGE */
	const char *upper, *work;
	const char *plain;
	const char *const *hide; /* of the host's root, beside what is always left out */
	size_t n_hide;
	const char *point; /* an empty directory */
	const char *
		tmp; /* a directory that becomes /tmp; emptied by the caller, if at all. NULL: the root's own */
	const char *home; /* one that becomes /root, with the host's root; or NULL */

	const struct sandbox_bind *binds;
	size_t n_binds;
	const struct sandbox_mount *mounts; /* after them, in this order */
	size_t n_mounts;
	const char *owned; /* inside: belongs, with all below, to user; or NULL */

	enum sandbox_net net;
	const char *hostname;
	const char
		*resolv; /* text of /etc/resolv.conf; NULL: the host's, or none without a network */

	const char *user;        /* as an image has it: "", "name", "uid", either with ":group" */
	const char *program;     /* of the host: SANDBOX_PROGRAM inside */
	const char *const *argv; /* of SANDBOX_PROGRAM */
	/* HOME, USER and SHELL are added from the user's entry, unless they are in it. */
	const char *const *env;
	const char *cwd; /* inside; NULL or missing: the user's home */
	int output;      /* standard output and error */
	int word;        /* a descriptor that the program has too, by the same number; or 0 */
};

/* Makes namespaces and root file system and gives them up again: whether this machine can. */
int sandbox_try(const struct sandbox *s, struct deadline d, struct err *e);
/* 0: process 1 has become SANDBOX_PROGRAM. It goes on when we end; it is a child of ours or of whoever collects
 * orphans. Else nothing of it is left. */
int sandbox_start(const struct sandbox *s, struct deadline d, struct proc_id *init, struct err *e);

/* Runs work(arg) in a process of its own, with these root file systems mounted where nobody else sees them, and hands it
 * their directories: as root outside with MAP_RANGE, else as root inside. For code of ours, which has to stay below them
 * by itself. also: a descriptor that work has as well, or -1. */
#define SANDBOX_WORK_MAX 2
int sandbox_work(const struct sandbox *s, size_t n,
                 int (*work)(void *arg, const int *roots, struct err *e), void *arg, int also,
                 struct deadline d, struct err *e);

/* Whether that process is process 1 of a sandbox, and lives. */
bool sandbox_alive(struct proc_id init);
/* SIGTERM to process 1, grace_ms, then all of its processes are killed. None there: success. */
int sandbox_stop(struct proc_id init, int64_t grace_ms, struct deadline d, struct err *e);

/* A command inside, as confined as what runs there. */
struct sandbox_command {
	struct proc_id init;
	const struct userns_map *map;
	const char *user;        /* as above */
	const char *const *argv; /* argv[0] is looked up inside, by PATH of env */
	const char *const *env;
	const char *cwd; /* as above */
	int std[3];      /* as in struct spawn */
	bool terminal;   /* the first is one, to be its own */
	/* Before it leaves the host's namespaces: into the cgroup. Or NULL. */
	int (*admit)(void *arg, pid_t pid, struct err *e);
	void *arg;
};
/* *p: a process of the host that ends as the command does: with its exit status, or 128 and the signal. Signals to it are the
 * command's. When it ends the command is killed. */
int sandbox_enter(const struct sandbox_command *c, struct deadline d, struct spawned *p,
                  struct err *e);

/* A new terminal that has a name inside, since programs look for it (ttyname): its master, and the side of the program. */
int sandbox_terminal(struct proc_id init, int *slave, struct err *e);

/* What process 1 was started with: "NAME=value", each with its NUL, appended to b; more than max bytes is an error. Its file
 * of that belongs to an id inside, so an ordinary user reads it as root of the sandbox's user namespace. Secret. */
int sandbox_environment(struct proc_id init, const struct userns_map *map, size_t max,
                        struct buf *b, struct deadline d, struct err *e);

/* Removes a tree that may hold files of the map's ids. Twice is fine. */
int sandbox_remove(const struct userns_map *map, const char *path, struct deadline d,
                   struct err *e);

#endif
