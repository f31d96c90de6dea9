/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "agent/stream.h"

#include "agent/program.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN_MS 10000
#define PROGRAM_MS 10000 /* for the client to say what to run */
#define DRAIN_MS 1000
#define GRACE_MS 2000 /* between SIGTERM and SIGKILL */
#define END_MS 5000
#define LOOK_MS 10
#define BYE_MS 2000 /* for the Server to answer a close while the agent stops */

struct handler {
	stream_handler *serve;
	const struct stream_request *q;
	int fd, said;
};

static void be_handler(void *arg)
{
	const struct handler *h = arg;
	struct err e = { 0 }, ignored = { 0 };

	signal(SIGPIPE, SIG_IGN);
	if (h->serve(h->fd, h->q, &e) == 0)
		_exit(0);
	file_write_all(h->said, str_of(e.msg), "pipe", &ignored);
	_exit(1);
}

static int start_handler(struct stream *s, struct err *e)
{
	int fd[2], said[2];
	struct handler h = { s->kind->serve, &s->q, -1, -1 };
	int rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_sys(e, errno, "socketpair");
	if (pipe2(said, O_CLOEXEC) < 0) {
		close(fd[0]);
		close(fd[1]);
		return err_sys(e, errno, "create pipe");
	}
	h.fd = fd[1];
	h.said = said[1];
	rc = spawn_start(&(struct spawn){ .work = be_handler,
	                                  .arg = &h,
	                                  .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
	                                  .keep = (const int[]){ fd[1], said[1] },
	                                  .n_keep = 2,
	                                  .lead = SPAWN_SESSION,
	                                  .death_signal = SIGHUP },
	                 DEADLINE_NEVER, &s->child, e);
	close(fd[1]);
	close(said[1]);
	if (rc < 0) {
		close(fd[0]);
		close(said[0]);
		return -1;
	}
	s->has_child = true;
	s->said = said[0];
	tunnel_socket(s->t, TUNNEL_OUT, TUNNEL_IN, fd[0]);
	return 0;
}

static void note(void *arg, enum tunnel_channel ch, struct str text)
{
	struct stream *s = arg;

	if (s->kind && s->kind->program)
		program_note(s, ch, text);
}

static int begin(struct stream *s, struct err *e)
{
	int fd = -1;

	if (!s->kind)
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "the workspace's agent knows no streams of kind %s", s->q.kind);
	if (s->kind->program) {
		s->until = deadline_in_ms(PROGRAM_MS);
		return 0;
	}
	if (s->kind->serve)
		return start_handler(s, e);
	if (s->kind->connect(&s->q, &fd, e) < 0)
		return -1;
	tunnel_socket(s->t, TUNNEL_OUT, TUNNEL_IN, fd);
	return 0;
}

static void finish(struct stream *s, int code, const char *reason)
{
	s->closing = true;
	tunnel_close(s->t, code, reason);
}

void stream_refuse(struct stream *s, const struct err *e)
{
	finish(s, TUNNEL_CLOSE_REFUSED, e->msg);
}

/* A handler that failed has said why, one that crashed has not. */
static void handler_ended(struct stream *s)
{
	struct buf text = { 0 };
	struct err ignored = { 0 };

	file_read_fd(s->said, "pipe", sizeof(ignored.msg), &text, &ignored);
	if (s->status != 0 && !text.n) {
		buf_addf(&text, "%s: ", s->q.kind);
		proc_describe_status(s->status, &text);
	}
	finish(s, text.n ? TUNNEL_CLOSE_REFUSED : WS_CLOSE_NORMAL, buf_cstr(&text));
	buf_free(&text);
}

/* Is all done that there was to do? */
static void look(struct stream *s)
{
	if (s->closing)
		return;
	if (!s->has_child && s->kind && s->kind->program && deadline_passed(s->until))
		finish(s, TUNNEL_CLOSE_REFUSED, "the client does not say what to run");
	if (s->has_child && !s->child_ended && spawn_look(&s->child) != SPAWN_RUNS) {
		spawn_collect(&s->child, &s->status);
		s->child_ended = true;
		s->drain = deadline_in_ms(DRAIN_MS);
	}
	if (s->has_child &&
	    (!s->child_ended || (!tunnel_sources_ended(s->t) && !deadline_passed(s->drain))))
		return;
	if (s->has_child && s->kind->program)
		program_ended(s);
	if (s->has_child && s->kind->serve)
		handler_ended(s);
	else if (s->has_child || (s->kind && s->kind->connect && tunnel_done(s->t)))
		finish(s, WS_CLOSE_NORMAL, "");
}

/* True: told to end. */
static bool take_signals(int fd)
{
	struct signalfd_siginfo si;
	bool end = false;

	while (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		end = end || si.ssi_signo != SIGCHLD;
	return end;
}

static void run(struct stream *s, int signals)
{
	struct pollset ps = { 0 };
	struct deadline bye = DEADLINE_NEVER;
	struct err e = { 0 }, refused = { 0 };
	enum tunnel_status st = tunnel_step(s->t, &e); /* the connection is under way meanwhile */
	bool fails = begin(s, &refused) < 0;

	while (st != TUNNEL_CLOSED && !deadline_passed(bye)) {
		pollset_reset(&ps);
		pollset_add(&ps, signals, POLLIN);
		tunnel_poll(s->t, &ps);
		pollset_until(&ps, bye);
		if (s->child_ended && !s->closing)
			pollset_until(&ps, s->drain);
		if (s->kind && s->kind->program && !s->has_child)
			pollset_until(&ps, s->closing ? bye : s->until);
		if (pollset_wait(&ps, &e) < 0)
			break;
		if (take_signals(signals)) {
			finish(s, WS_CLOSE_AWAY, "the workspace's agent ends");
			bye = deadline_in_ms(BYE_MS);
		}
		st = tunnel_step(s->t, &e);
		if (st == TUNNEL_OPENED && fails)
			stream_refuse(s, &refused);
		if (st == TUNNEL_OPENED && !fails)
			look(s);
	}
	pollset_free(&ps);
}

/* A server that has been told so tells its own; what of them does not listen to SIGHUP is meant to stay. */
static void await_end(struct stream *s)
{
	struct deadline d = deadline_in_ms(END_MS);

	while (spawn_look(&s->child) == SPAWN_RUNS && !deadline_passed(d))
		poll(NULL, 0, LOOK_MS);
	spawn_end(&s->child);
}

/* The client or the agent has gone: what serves it ends with all that is in its session. */
static void end_child(struct stream *s)
{
	struct proc_stat child;
	struct err e = { 0 };
	bool known;

	if (!s->has_child || s->child_ended)
		return;
	/* Before it is told: once it has ended what it started is found by its session alone. */
	known = proc_stat_read(s->child.pid, &child);
	spawn_signal(&s->child, SIGHUP);
	spawn_signal(&s->child, SIGCONT);
	if (s->kind->ends_own) {
		await_end(s);
		return;
	}
	if (known && proc_end_tree(&child.id, 1, GRACE_MS, deadline_in_ms(END_MS), &e) < 0)
		log_warn("%s stream: %s", s->q.kind, e.msg);
	spawn_end(&s->child);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void be_stream(void *arg)
{
	const struct stream_order *o = arg;
	struct stream s = {
		.q = { .kind = o->kind, .query = str_of(o->query), .dir = o->dir },
		.kind = stream_kind(o->kind),
		.said = -1,
		.terminal = -1,
	};
	struct api *api = api_new(o->settings); /* never the parent's connection */
	struct buf path = { 0 };
	int signals = open_signals();

	log_set_sink(NULL, NULL); /* its descriptor is closed here */
	signal(SIGPIPE, SIG_IGN);
	buf_addf(&path, "/workspace/%s/tunnel/%s", o->workspace, o->id);
	s.t = tunnel_on(api, buf_cstr(&path), deadline_in_ms(OPEN_MS));
	tunnel_notes(s.t, note, &s);
	run(&s, signals);
	tunnel_free(s.t); /* a terminal hangs up */
	fd_close(&s.terminal);
	end_child(&s);
	_exit(0);
}

int stream_start(const struct stream_order *o, struct err *e)
{
	struct spawned p;
	union {
		const struct stream_order *from;
		void *to;
	} arg = { o };
	bool there = o->dir && file_is_dir(o->dir);
	int rc = spawn_start(&(struct spawn){ .work = be_stream,
	                                      .arg = arg.to,
	                                      .cwd = there ? o->dir : NULL,
	                                      .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
	                                      .lead = SPAWN_SESSION,
	                                      .death_signal = SIGTERM },
	                     DEADLINE_NEVER, &p, e);

	spawn_forget(&p);
	return rc;
}
