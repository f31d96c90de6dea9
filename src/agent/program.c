/* SPDX-License-Identifier: Apache-2.0 */
/* See program.h. */
#include "agent/program.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/kv.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 4096
#define EXEC_MS 10000

extern char **environ;

struct program {
	char **args; /* NULL-terminated */
	size_t n_args;
	char *program; /* what is executed in place of args[0]; NULL: that */
	struct kv env;
	char *cwd;
};

static void program_free(struct program *p)
{
	for (size_t i = 0; i < p->n_args; i++)
		free(p->args[i]);
	free(p->args);
	free(p->program);
	free(p->cwd);
	kv_free(&p->env);
}

static const char *shell_of_user(void)
{
	static const char *const usual[] = { "/bin/bash", "/bin/sh" };
	const struct passwd *pw = getpwuid(getuid());
	const char *own[] = { getenv("SHELL"), pw ? pw->pw_shell : NULL };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i] && own[i][0] == '/' && access(own[i], X_OK) == 0)
			return own[i];
	return usual[access(usual[0], X_OK) == 0 ? 0 : 1];
}

/* No program: the user's shell, as at a login. */
static void use_shell(struct program *p)
{
	const char *shell = shell_of_user(), *name = strrchr(shell, '/') + 1;
	struct buf zero = { 0 };

	buf_addf(&zero, "-%s", name);
	p->args = mem_array(2, sizeof(*p->args));
	p->args[p->n_args++] = buf_take(&zero);
	p->program = mem_dup(shell);
}

static int read_args(struct program *p, struct json args, struct err *e)
{
	size_t n = json_len(args);

	if (!json_is_null(args) && !json_is_array(args))
		return err_set(e, ERR_PARSE, 0, "\"args\" is no list");
	if (n == 0) {
		use_shell(p);
		return 0;
	}
	if (n > ARGS_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %d arguments", ARGS_MAX);
	p->args = mem_array(n + 1, sizeof(*p->args));
	for (struct json member = json_first(args); json_present(member);
	     member = json_next(member)) {
		char *arg = json_dup(member);

		if (!arg || (!p->n_args && !*arg)) {
			free(arg);
			return err_set(e, ERR_PARSE, 0, "\"args\" has something that is no text");
		}
		p->args[p->n_args++] = arg;
	}
	return 0;
}

static void read_env(struct program *p, struct json env, bool terminal)
{
	struct kv given = { 0 };

	for (char **v = environ; *v; v++) {
		const char *eq = strchr(*v, '=');
		char *key = eq ? mem_dupn(*v, (size_t)(eq - *v)) : NULL;

		if (key)
			kv_set(&p->env, key, eq + 1);
		free(key);
	}
	if (terminal)
		kv_set(&p->env, "TERM", "xterm");
	kv_from_json(&given, env);
	for (size_t i = 0; i < given.n; i++)
		if (given.pairs[i].key[0] && !strchr(given.pairs[i].key, '='))
			kv_set(&p->env, given.pairs[i].key, given.pairs[i].value);
	kv_free(&given);
}

static int read_program(struct stream *s, struct program *p, struct json v, struct err *e)
{
	const char *home = getenv("HOME");

	if (read_args(p, json_get(v, "args"), e) < 0)
		return -1;
	read_env(p, json_get(v, "env"), s->kind->terminal);
	p->cwd = json_dup(json_get(v, "cwd"));
	if (!p->cwd && s->q.dir && file_is_dir(s->q.dir))
		p->cwd = mem_dup(s->q.dir);
	if (!p->cwd)
		p->cwd = mem_dup(home && file_is_dir(home) ? home : "/");
	return 0;
}

static int start(struct stream *s, const struct program *p, const int std[3], struct err *e)
{
	union {
		char **from;
		const char *const *to;
	} args = { p->args }, env = { kv_to_env(&p->env) };
	struct spawn sp = {
		.argv = args.to,
		.program = p->program,
		.env = env.to,
		.cwd = p->cwd,
		.std = { std[0], std[1], std[2] },
		.lead = SPAWN_SESSION,
		.terminal = s->kind->terminal,
		.death_signal = SIGHUP,
	};
	int rc = spawn_start(&sp, deadline_in_ms(EXEC_MS), &s->child, e);

	kv_env_free(env.from);
	s->has_child = rc == 0;
	return rc;
}

/* Pipes to the program; ours do not block. */
static int start_with_pipes(struct stream *s, const struct program *p, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, rc = -1;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		err_sys(e, errno, "create pipe");
	else if (fd_set_nonblock(in[1], e) == 0 && fd_set_nonblock(out[0], e) == 0 &&
	         fd_set_nonblock(err[0], e) == 0)
		rc = start(s, p, (const int[]){ in[0], out[1], err[1] }, e);
	fd_close(&in[0]);
	fd_close(&out[1]);
	fd_close(&err[1]);
	if (rc == 0) {
		tunnel_sink(s->t, TUNNEL_IN, in[1]);
		tunnel_source(s->t, TUNNEL_OUT, out[0]);
		tunnel_source(s->t, TUNNEL_ERR, err[0]);
		return 0;
	}
	fd_close(&in[1]);
	fd_close(&out[0]);
	fd_close(&err[0]);
	return -1;
}

static void set_size(int fd, int64_t columns, int64_t rows)
{
	struct winsize ws = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };

	ioctl(fd, TIOCSWINSZ, &ws);
}

static int open_terminal(int *slave, struct err *e)
{
	char name[64];
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, name, sizeof(name)) ||
	    (*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		err_sys(e, errno, "there is no terminal to be had in the workspace");
		fd_close(&fd);
	}
	return fd;
}

static int start_with_terminal(struct stream *s, const struct program *p, struct json v,
                               struct err *e)
{
	int slave = -1, rc, fd = open_terminal(&slave, e);
	int64_t columns = 80, rows = 24;

	if (fd < 0)
		return -1;
	json_i64(json_get(v, "columns"), 1, 65535, &columns);
	json_i64(json_get(v, "rows"), 1, 65535, &rows);
	set_size(fd, columns, rows);
	rc = start(s, p, (const int[]){ slave, slave, slave }, e);
	close(slave);
	if (rc < 0) {
		close(fd);
		return -1;
	}
	s->terminal = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	tunnel_sink(s->t, TUNNEL_IN, fcntl(fd, F_DUPFD_CLOEXEC, 3));
	tunnel_source(s->t, TUNNEL_OUT, fd);
	return 0;
}

static void start_program(struct stream *s, struct str note)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(note, TUNNEL_NOTE_MAX, &e);
	struct program p = { 0 };
	int rc = doc && json_is_object(json_root(doc))
	                 ? read_program(s, &p, json_root(doc), &e)
	                 : err_set(&e, ERR_PARSE, 0, "what to run is no JSON object");

	if (rc == 0)
		rc = s->kind->terminal ? start_with_terminal(s, &p, json_root(doc), &e)
		                       : start_with_pipes(s, &p, &e);
	if (rc < 0)
		stream_refuse(s, &e);
	program_free(&p);
	json_doc_free(doc);
}

void program_note(struct stream *s, enum tunnel_channel ch, struct str note)
{
	const unsigned char *p = (const unsigned char *)note.p;

	if (ch == TUNNEL_NOTE && !s->has_child && !s->closing)
		start_program(s, note);
	else if (ch == TUNNEL_SIZE && note.n == 4 && s->terminal >= 0)
		set_size(s->terminal, p[0] << 8 | p[1], p[2] << 8 | p[3]);
	else if (ch == TUNNEL_SIGNAL && note.n == 1 && p[0] > 0 && p[0] < 32)
		spawn_signal(&s->child, p[0]);
}

void program_ended(struct stream *s)
{
	struct buf b = { 0 };

	jw_obj(&b);
	if (WIFSIGNALED(s->status))
		jw_kint(&b, "signal", WTERMSIG(s->status));
	else
		jw_kint(&b, "exit", WEXITSTATUS(s->status));
	jw_obj_end(&b);
	tunnel_send(s->t, TUNNEL_NOTE, buf_str(&b));
	buf_free(&b);
}
