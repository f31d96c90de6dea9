/* SPDX-License-Identifier: Apache-2.0 */
/* What start.c and enter.c share: words between the processes, and the last steps before a program runs inside. */
#ifndef SANDBOX_INSIDE_H
#define SANDBOX_INSIDE_H

#include "sandbox/sandbox.h"
#include "sandbox/users.h"

/* On a socket that keeps messages apart; its end without one means that a program was executed. */
struct note {
	enum { NOTE_ERROR, NOTE_SAY, NOTE_PROCESS, NOTE_HERE, NOTE_GO } kind;
	pid_t pid;
	struct err e; /* NOTE_SAY: its text */
};
void note_send(int fd, const struct note *n);
void note_error(int fd, const struct err *e);
/* 1, or 0 at the end of the other side, -1. */
int note_receive(int fd, struct note *n, struct deadline d, struct err *e);
int note_pair(int fd[2], struct err *e);

/* root_build.c: the root file system at s->point, in a mount namespace of our own. userns: for shifted directories. */
int root_build(const struct sandbox *s, int userns, struct err *e);
/* root_enter.c: makes it the root and fills in what the host lends: /dev, /proc, /sys, /run, /tmp, binds, /etc. In a PID
 * namespace of our own. u: found where the root is ours and nothing of the workspace is in it yet. */
int root_enter(const struct sandbox *s, struct user *u, struct err *e);
/* start.c: s->user in the root that is ours by now. */
int root_user(const struct sandbox *s, struct user *u, struct err *e);
/* root_mounts.c: what s->mounts asks for, while the host's root is at our working directory. Says what it leaves out. */
void root_mounts(const struct sandbox *s, const struct user *u);
/* Whether /proc and /sys can be had; nothing is changed. */
int root_try(const struct sandbox *s, struct err *e);
/* Everything below path belongs to that user; nothing is done if path does already. No link is followed. */
int root_give(const char *path, uint32_t uid, uint32_t gid, struct err *e);

/* The last steps: only what the program needs is left. userns: still to be entered, or -1. */
struct lock {
	const struct userns_map *map;
	const struct user *user;
	enum sandbox_net net;
	int userns;
};
int lock_down(const struct lock *l, struct err *e);

/* HOME, USER and SHELL where env has none. Caller frees with kv_env_free. */
char **user_environment(const char *const *env, const struct user *u);
/* Into cwd, else into the home, else into /. */
void user_directory(const char *cwd, const struct user *u);

#endif
