/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs run in a container. Their output goes to the log as it comes; secrets travel in the
 * environment of the exec, never in its command (protocol 12.43).
 */
#ifndef PROVIDERS_DOCKER_ENGINE_EXEC_H
#define PROVIDERS_DOCKER_ENGINE_EXEC_H

#include "base/mask.h"
#include "base/proc.h"
#include "providers/docker/engine/engine.h"
#include "providers/docker/engine/frames.h"

#define EXEC_CAPTURE_MAX (1u << 18)

struct exec_spec {
	const char *const *argv; /* NULL-terminated */
	const char *user;        /* "" or NULL: the container's */
	const char *cwd;         /* "" or NULL: the container's */
	const struct kv *env;    /* or NULL */
	const char *watch;       /* text that sets seen when it appears in the output, or NULL */
	bool quiet;              /* output is not logged */
	struct buf *
		capture; /* receives the first EXEC_CAPTURE_MAX bytes of standard output; or NULL */
	const int *
		std; /* three descriptors of ours that are its standard streams (exec_join), or NULL: there is no input */
	bool tty;    /* with std: it has a terminal, and writes to std[1] alone */
};

struct exec { /* zero is empty */
	struct engine *engine;
	char *id;
	struct conn *conn;
	struct frames frames;
	struct mask_tail tail; /* last output, for error texts */
	const char *watch;
	size_t matched; /* bytes of watch that the output ends with */
	bool seen, quiet;
	struct buf *capture;
	bool ended;           /* stream over, or the program ended and the stream is idle */
	int64_t status;       /* exit status once ended; -1 unknown */
	int64_t last_ms;      /* of the last byte */
	struct deadline look; /* when to ask the engine whether it still runs */
	const int *std;       /* of the spec */
	bool tty;
	int write_error; /* errno: nobody reads what it writes */
};

/* Creates and starts it, attached. */
int exec_start(struct exec *exec, struct engine *engine, const char *container,
               const struct exec_spec *s, struct deadline d, struct err *e);
/* Creates and starts it, detached: nobody reads its output. */
int exec_detached(struct engine *engine, const char *container, const struct exec_spec *s,
                  struct deadline d, struct err *e);
/* Takes what has arrived, without waiting. ended and status tell when it is over. */
int exec_step(struct exec *exec, struct err *e);
/* Waits for output or the end of any of xs, at most ms. */
int exec_wait(struct exec *xs, size_t n, int64_t ms, struct deadline d, struct err *e);
void exec_free(struct exec *exec); /* leaves the program running */
/* Runs to the end; *status is the exit status. */
int exec_run(struct engine *engine, const char *container, const struct exec_spec *s,
             int64_t *status, struct deadline d, struct err *e);
/* What goes beside the streams of exec_join. */
struct exec_side {
	int fd; /* readable when next has something; -1: never */
	bool (*next)(void *arg, struct exec_event *ev);
	void *arg;
	/* The program's process, if it is on this host, for signals; pid 0: it is not known. */
	struct proc_id (*process)(void *arg);
	void *process_arg;
};
void exec_resize(struct exec *exec, unsigned rows, unsigned cols);
/* Joins the streams of a program that was started with std, until it ends. */
int exec_join(struct exec *exec, struct exec_side *side, struct deadline d, struct err *e);
/* "exit status 3: <last output>", one line. */
void exec_describe(struct exec *exec, struct buf *b);

/* Whether one of the execs still runs with "agent" and one of texts (NULL-terminated) in its command line. An engine
 * forgets an exec whose output it could not pass on: see exec_find_process. */
int exec_find(struct engine *engine, char *const *ids, size_t n, const char *const *texts,
              bool *found, struct err *e);
/* The same among the running container's processes. False also where the engine cannot list them. */
bool exec_find_process(struct engine *engine, const char *container, const char *const *texts,
                       struct deadline d);

#endif
