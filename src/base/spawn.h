/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to start a process, and the one to learn that it has ended. A child has no descriptor that is not named
 * here, default signals with none blocked, and a mask for new files that leaves nobody else the right to write.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum spawn_lead {
	SPAWN_FOLLOW,
	SPAWN_GROUP,
	SPAWN_SESSION
}; /* what it leads: signals go to all of that */

/* All but the first set no_new_privs: see confine.h. */
enum spawn_confine {
	SPAWN_FREE,
	SPAWN_JOB,       /* SYSCALLS_MACHINE */
	SPAWN_WORKSPACE, /* SYSCALLS_WORKSPACE */
	SPAWN_TOOL,      /* confine_self: a program that is none of ours */
};

#define SPAWN_NULL 0    /* /dev/null */
#define SPAWN_OURS (-1) /* the same as ours */

struct spawn {
	/* A function in a copy of this process, or else a program. */
	void (*work)(void *arg); /* exit status 0 when it returns */
	void *arg;
	const char *const
		*argv;       /* NULL-terminated; argv[0] is looked up in PATH of env or a default */
	const char *program; /* what is executed in place of argv[0], without a search; or NULL */
	const char *const
		*env; /* of a program, NULL-terminated K=V; NULL gives PATH and HOME=/ alone */

	const char *cwd; /* NULL: as ours */
	int std[3]; /* what become its standard streams: SPAWN_NULL, SPAWN_OURS or a descriptor > 2 */
	const int *keep; /* further descriptors that it has, by the same numbers */
	size_t n_keep;
	enum spawn_lead lead;
	enum spawn_confine confine;
	bool terminal; /* its group gets the terminal that standard input may be; a session's leader makes it its own */
	int death_signal; /* it gets this when we die; 0: none */
	int nice;
	mode_t umask; /* of a program; 0: ours, but nobody else may write */
};

/* A child of ours; zero is none. A copy is as good, until one of them was collected, ended or forgotten. */
struct spawned {
	pid_t pid;
	uint64_t serial;
};

/* 0 when the function's process is there, or the program was executed; d is for a program on a dead file system.
 * Else nothing was started: ERR_NOT_FOUND names a program that is not in PATH, e->code is exec's errno. */
int spawn_start(const struct spawn *s, struct deadline d, struct spawned *out, struct err *e);

/* As a child that is started so, from now on. */
void spawn_confine(enum spawn_confine c);

/* In place of this process, with our environment, standard streams and these descriptors. Returns, -1, when that cannot be. */
int spawn_become(const char *program, const char *const *argv, const int *keep, size_t n_keep,
                 struct err *e);

/* Lost: nobody will ever know its status (SIGCHLD was ignored), or it is none of ours. */
enum spawn_state { SPAWN_RUNS, SPAWN_ENDED, SPAWN_LOST };
enum spawn_state spawn_look(const struct spawned *p); /* its number stays its own after that */
/* Waits for its end, *status as of wait(2), and sets *p to none. False when it is lost. */
bool spawn_collect(struct spawned *p, int *status);
/* To what it leads, or to it alone. Never to another process with its number. */
void spawn_signal(const struct spawned *p, int sig);
void spawn_end(struct spawned *p);    /* SIGKILL, and waits; none is fine */
void spawn_forget(struct spawned *p); /* goes on by itself, and is collected by spawn_take */

/*
 * For those to whom orphans come (process 1, a subreaper). The next child that has ended, whosoever it is; 0: none. It is
 * a zombie still, until its owner collects it or spawn_take does; the owner of what was taken finds its status.
 */
pid_t spawn_next_ended(int *status);
void spawn_take(pid_t pid);
bool spawn_take_all(void); /* whether there was any */
/* What a program leaves comes to a subreaper when it ends: one that has no child, dead or alive, is sure that nothing is
 * left. False for all others, and on a kernel that cannot say it. */
bool spawn_childless(void);

#endif
