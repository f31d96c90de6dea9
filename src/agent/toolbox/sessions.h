/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: shells that keep their directory and variables from one command to the next. They outlive
 * connections, so all of an agent's are in one process, which speaks HTTP on a socket in its run_dir,
 * that nobody but this user may enter. Whoever needs it first starts it; a lock sees to it that there
 * is one. It ends with the owner, and with it all that runs in sessions; if it dies, the next one
 * ends what it left.
 *
 * A session's shell is fed one command after the other. Each command's output comes through a named
 * pipe of its own, so that what it leaves in the background goes on writing into its own log.
 */
#ifndef AGENT_TOOLBOX_SESSIONS_H
#define AGENT_TOOLBOX_SESSIONS_H

#include "agent/toolbox/toolbox.h"
#include "base/buf.h"
#include "base/spawn.h"
#include "net/httpd.h"

#define SESSIONS_MAX 32
#define SESSION_ID_MAX 128
#define COMMANDS_MAX 200           /* of one session; the oldest that have ended are forgotten */
#define COMMANDS_LIVE_MAX 200      /* whose output is open, of all sessions */
#define COMMAND_SHOWN_MAX 2048     /* bytes of a command's text that lists show */
#define COMMAND_LOG_MAX (8u << 20) /* bytes of one command's output that are kept */
#define SESSION_LOGS_MAX (256ull << 20) /* of all of them */
#define SESSION_ANSWER_MAX (1u << 20)   /* bytes of output in an answer; all of it is in the log */

#define SESSION_COMMAND_ID 37 /* a UUID, and NUL */

/* A connection to the sessions' process, which is started if need be. -1 on error. */
int sessions_connect(const struct toolbox *t, struct deadline d, struct err *e);
/* That process, a function of spawn_start: arg is a struct toolbox. */
void sessions_run(void *arg);

/* sessions.c and session.c: */
enum command_state { COMMAND_WAITS, COMMAND_RUNS, COMMAND_ENDED };

struct command {
	struct command *next; /* younger */
	struct session *session;
	char id[SESSION_COMMAND_ID];
	unsigned number; /* of its files */
	struct buf shown;
	enum command_state state;
	int code; /* when it has ended; -1: it never ran */
	int out;  /* its output; -1: not yet, or closed by all who had it */
	int hold; /* the same for writing, while it runs: the output does not end before it began */
	int log;
	uint64_t log_n;
	bool cut;
	struct httpd_req *asker; /* waits for its end; NULL: nobody */
};

struct session {
	struct session *next;
	struct sessions *all;
	char *id, *dir;
	struct spawned shell;
	int pidfd, in, status; /* the shell's; status: where it says that a command has ended */
	bool over;             /* the shell has ended */
	int over_code;
	struct command *commands; /* oldest first */
	size_t n_commands;
	unsigned numbers;
	struct buf line; /* of status, not yet whole */
};

struct follower {
	struct follower *next;
	struct httpd_req *r;
	struct command *command; /* NULL: it was deleted */
	int fd;
	uint64_t at;
};

struct sessions {
	const struct toolbox *t;
	const char *shell;
	struct httpd *httpd;
	struct session *list;
	size_t n, n_live;
	unsigned numbers;
	uint64_t log_bytes;
	struct follower *followers;
};

struct session *session_new(struct sessions *all, const char *id, struct err *e);
void session_poll(struct session *s, struct pollset *ps);
/* ps: as filled by session_poll and waited for; NULL: no output is read. */
void session_step(struct session *s, const struct pollset *ps);
/* Ends all that runs in it, and removes its files. */
void session_free(struct session *s);
/* Ends what runs of a session whose folder that was. */
void session_end_leftover(const char *dir);
/* Queued behind the others. NULL on error. */
struct command *session_add(struct session *s, struct str text, struct err *e);
void command_log_path(const struct command *c, struct buf *out);

/* sessions_handlers.c */
void sessions_request(void *arg, struct httpd_req *r);
void command_answer(struct command *c); /* to its asker, if there is one */
void follower_step(struct follower *f);
void followers_forget(struct sessions *all, const struct command *c);

#endif
