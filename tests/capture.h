/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a function in a forked child with stdout and stderr in files, so that what it prints, its exit
 * status and its effects on the process can be checked. For functions that exit.
 */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct capture {
	int status; /* of exit; -1 if a signal ended it */
	char out[16384];
	char err[16384];
};

static inline void capture_read(FILE *f, char *to, size_t size)
{
	rewind(f);
	to[fread(to, 1, size - 1, f)] = '\0';
	fclose(f);
}

static inline void capture_run(struct capture *c, int (*run)(void *arg), void *arg)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int status = -1;
	pid_t pid;

	if (!out || !err)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(fileno(out), 1);
		dup2(fileno(err), 2);
		exit(run(arg));
	}
	waitpid(pid, &status, 0);
	c->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	capture_read(out, c->out, sizeof(c->out));
	capture_read(err, c->err, sizeof(c->err));
}

#endif
