/* SPDX-License-Identifier: Apache-2.0 */
/* One session: its shell, and the commands it is fed. See sessions.h. */
#include "agent/toolbox/sessions.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc_by_env.h"
#include "base/proc_stat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 10000
#define END_MS 5000
#define READ_CHUNK 65536
#define READS_PER_STEP 16 /* of one command, before others have their turn */
#define STATUS_LINE_MAX 100
#define CUT_TEXT "\n[more output than is kept: the rest is left out]\n"

extern char **environ;

/* Whatever a session starts has this: whose it is, when nothing else tells. */
#define ENV_SESSION "DAYTONA_TOOLBOX_SESSION"

static void file_path(const struct command *c, const char *suffix, struct buf *out)
{
	buf_addf(out, "%s/%u.%s", c->session->dir, c->number, suffix);
}

void command_log_path(const struct command *c, struct buf *out)
{
	file_path(c, "log", out);
}

static void command_close(struct command *c)
{
	fd_close(&c->hold);
	if (c->out < 0)
		return;
	fd_close(&c->out);
	fd_close(&c->log);
	c->session->all->n_live--;
}

/* What is not kept is read all the same: no program waits for us. */
static void command_keep(struct command *c, struct str bytes)
{
	struct sessions *all = c->session->all;
	struct err e = { 0 };

	if (c->cut)
		return;
	if (c->log_n + bytes.n > COMMAND_LOG_MAX || all->log_bytes + bytes.n > SESSION_LOGS_MAX) {
		c->cut = true;
		bytes = STR_LIT(CUT_TEXT);
	}
	if (file_write_all(c->log, bytes, "log", &e) < 0) {
		c->cut = true; /* a full disk: no program waits for that either */
		return;
	}
	c->log_n += bytes.n;
	all->log_bytes += bytes.n;
}

static void command_read(struct command *c)
{
	char chunk[READ_CHUNK];

	for (int i = 0; c->out >= 0 && i < READS_PER_STEP; i++) {
		ssize_t n = read(c->out, chunk, sizeof(chunk));

		if (n > 0)
			command_keep(c, (struct str){ chunk, (size_t)n });
		else if (n == 0)
			command_close(c);
		else if (errno != EINTR)
			return;
	}
}

static void command_free(struct command *c)
{
	static const char *const suffixes[] = { "sh", "out", "log" };
	struct sessions *all = c->session->all;

	command_close(c);
	if (c->asker) {
		c->code = -1;
		command_answer(c);
	}
	followers_forget(all, c);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		struct buf path = { 0 };

		file_path(c, suffixes[i], &path);
		unlink(buf_cstr(&path));
		buf_free(&path);
	}
	all->log_bytes -= c->log_n;
	c->session->n_commands--;
	buf_free(&c->shown);
	free(c);
}

static void command_end(struct command *c, int code)
{
	/* It wrote all it had before its end was said; a pipe holds little. From now on the output ends with the last who
	 * has it. */
	fd_close(&c->hold);
	command_read(c);
	c->state = COMMAND_ENDED;
	c->code = code;
	command_answer(c);
}

static struct command *running(const struct session *s)
{
	struct command *c = s->commands;

	while (c && c->state != COMMAND_RUNS)
		c = c->next;
	return c;
}

static int open_output(struct command *c, const char *path, struct err *e)
{
	struct buf log = { 0 };

	command_log_path(c, &log);
	if (mkfifo(path, 0600) < 0)
		err_sys(e, errno, "create %s", path);
	else if ((c->out = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		err_sys(e, errno, "open %s", path);
	else if ((c->hold = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		err_sys(e, errno, "open %s", path);
	else if ((c->log = open(buf_cstr(&log), O_WRONLY | O_APPEND | O_CLOEXEC)) < 0)
		err_sys(e, errno, "open %s", buf_cstr(&log));
	buf_free(&log);
	if (c->log >= 0) {
		c->session->all->n_live++;
		return 0;
	}
	fd_close(&c->out);
	fd_close(&c->hold);
	return -1;
}

/*
 * The text is read from a file, checked first: a quote without an end would swallow what follows, and some shells end at
 * such an error. Its end is said through the session's status pipe.
 */
static void add_line(struct buf *b, const struct command *c, const char *text, const char *out)
{
	struct buf status = { 0 };

	buf_addf(&status, "%s/status", c->session->dir);
	buf_adds(b, "{ ");
	buf_add_shell(b, str_of(c->session->all->shell));
	buf_adds(b, " -n ");
	buf_add_shell(b, str_of(text));
	buf_adds(b, " && . ");
	buf_add_shell(b, str_of(text));
	buf_adds(b, "; } </dev/null >");
	buf_add_shell(b, str_of(out));
	buf_addf(b, " 2>&1; echo \"%s $?\" >", c->id);
	buf_add_shell(b, buf_str(&status));
	buf_addc(b, '\n');
	buf_free(&status);
}

static void command_start(struct command *c)
{
	struct buf text = { 0 }, out = { 0 }, line = { 0 };
	struct err e = { 0 };

	file_path(c, "sh", &text);
	file_path(c, "out", &out);
	add_line(&line, c, buf_cstr(&text), buf_cstr(&out));
	if (open_output(c, buf_cstr(&out), &e) < 0) {
		command_end(c, -1);
	} else {
		c->state = COMMAND_RUNS;
		/* The shell waits for it, so there is room in the pipe; if it has ended, that is found. */
		file_write_all(c->session->in, buf_str(&line), "the shell", &e);
	}
	buf_free(&text);
	buf_free(&out);
	buf_free(&line);
}

static void start_next(struct session *s)
{
	struct command *c = s->commands;

	while (c && c->state == COMMAND_ENDED)
		c = c->next;
	if (!c || c->state == COMMAND_RUNS)
		return;
	if (s->over)
		command_end(c, -1);
	else if (s->all->n_live < COMMANDS_LIVE_MAX)
		command_start(c);
	else
		return;
	if (c->state == COMMAND_ENDED)
		start_next(s);
}

/* "ID CODE": anybody in the session may write there, so it is about the command at hand or nothing. */
static void take_status(struct session *s, struct str line)
{
	struct command *c = running(s);
	struct str id;
	int64_t code;

	if (c && str_next(&line, ' ', &id) && str_eq(id, c->id) && str_to_i64(line, 0, 255, &code))
		command_end(c, (int)code);
}

static void read_status(struct session *s)
{
	char chunk[1024];
	ssize_t n;

	while ((n = read(s->status, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (chunk[i] == '\n')
				take_status(s, buf_str(&s->line));
			if (chunk[i] == '\n' || s->line.n >= STATUS_LINE_MAX)
				buf_reset(&s->line);
			else
				buf_addc(&s->line, chunk[i]);
		}
	}
}

static void look_for_end(struct session *s)
{
	struct command *c;
	int status = 0;

	if (s->over || spawn_look(&s->shell) == SPAWN_RUNS)
		return;
	read_status(s);
	s->over = true;
	s->over_code = 1;
	if (spawn_collect(&s->shell, &status))
		s->over_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fd_close(&s->pidfd);
	c = running(s);
	if (c)
		command_end(c, s->over_code);
}

void session_poll(struct session *s, struct pollset *ps)
{
	pollset_add(ps, s->status, POLLIN);
	pollset_add(ps, s->pidfd, POLLIN);
	if (!s->over && s->pidfd < 0) /* the kernel has none */
		pollset_until(ps, deadline_in_ms(200));
	for (struct command *c = s->commands; c; c = c->next)
		pollset_add(ps, c->out, POLLIN);
}

void session_step(struct session *s, const struct pollset *ps)
{
	for (struct command *c = ps ? s->commands : NULL; c; c = c->next)
		if (c->out >= 0 && pollset_revents(ps, c->out))
			command_read(c);
	read_status(s);
	look_for_end(s);
	start_next(s);
}

/* Those that have ended are forgotten where there are too many, the oldest first. */
static int make_room(struct session *s, struct err *e)
{
	struct command **at = &s->commands;

	while (s->n_commands >= COMMANDS_MAX && *at) {
		struct command *c = *at;

		if (c->state == COMMAND_ENDED && c->out < 0) {
			*at = c->next;
			command_free(c);
		} else {
			at = &c->next;
		}
	}
	if (s->n_commands >= COMMANDS_MAX)
		return err_set(e, ERR_LIMIT, 0,
		               "%d commands of this session run or wait; wait for some to end",
		               COMMANDS_MAX);
	if (s->all->n_live >= COMMANDS_LIVE_MAX)
		return err_set(e, ERR_LIMIT, 0,
		               "%d commands still run; end some, or delete their sessions",
		               COMMANDS_LIVE_MAX);
	return 0;
}

static int make_id(char out[SESSION_COMMAND_ID], struct err *e)
{
	unsigned char raw[16];
	struct buf hex = { 0 };
	const char *h;

	if (crypto_random(raw, sizeof(raw), e) < 0)
		return -1;
	raw[6] = (unsigned char)((raw[6] & 0x0f) | 0x40);
	raw[8] = (unsigned char)((raw[8] & 0x3f) | 0x80);
	buf_add_hex(&hex, raw, sizeof(raw));
	h = buf_cstr(&hex);
	snprintf(out, SESSION_COMMAND_ID, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16,
	         h + 20);
	buf_free(&hex);
	return 0;
}

static int write_file(const struct command *c, const char *suffix, struct str text, struct err *e)
{
	struct buf path = { 0 };
	int fd, rc;

	file_path(c, suffix, &path);
	fd = open(buf_cstr(&path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? err_sys(e, errno, "create %s", buf_cstr(&path))
	            : file_write_all(fd, text, buf_cstr(&path), e);
	fd_close(&fd);
	buf_free(&path);
	return rc;
}

/* The log is there from the beginning: it can be read and followed. */
static int write_files(const struct command *c, struct str text, struct err *e)
{
	struct buf all = { 0 };
	int rc;

	buf_add_str(&all, text);
	buf_addc(&all, '\n');
	rc = write_file(c, "sh", buf_str(&all), e);
	if (rc == 0)
		rc = write_file(c, "log", (struct str){ NULL, 0 }, e);
	buf_free(&all);
	return rc;
}

struct command *session_add(struct session *s, struct str text, struct err *e)
{
	struct command *c, **at = &s->commands;

	if (s->over) {
		err_set(e, ERR_CLOSED, s->over_code,
		        "the session's shell has ended (exit status %d); delete the session and "
		        "create it again",
		        s->over_code);
		return NULL;
	}
	if (make_room(s, e) < 0)
		return NULL;
	c = mem_alloc(sizeof(*c));
	*c = (struct command){
		.session = s, .number = ++s->numbers, .out = -1, .hold = -1, .log = -1
	};
	s->n_commands++;
	if (make_id(c->id, e) < 0 || write_files(c, text, e) < 0) {
		command_free(c);
		return NULL;
	}
	buf_add(&c->shown, text.p, text.n < COMMAND_SHOWN_MAX ? text.n : COMMAND_SHOWN_MAX);
	while (*at)
		at = &(*at)->next;
	*at = c;
	return c;
}

static int start_shell(struct session *s, struct err *e)
{
	const char *const argv[] = { s->all->shell, NULL };
	int in[2] = { -1, -1 }, rc;

	setenv(ENV_SESSION, s->dir, 1); /* this process does nothing else */
	if (pipe2(in, O_CLOEXEC) < 0) {
		rc = err_sys(e, errno, "create pipe");
	} else {
		rc = spawn_start(&(struct spawn){ .argv = argv,
		                                  .program = s->all->shell,
		                                  .env = (const char *const *)environ,
		                                  .std = { in[0], SPAWN_NULL, SPAWN_NULL },
		                                  .lead = SPAWN_SESSION,
		                                  .death_signal = SIGKILL },
		                 deadline_in_ms(START_MS), &s->shell, e);
		fd_close(&in[0]);
	}
	s->in = in[1];
	if (rc == 0)
		rc = fd_set_nonblock(s->in, e);
	if (rc == 0)
		s->pidfd = proc_pidfd(s->shell.pid);
	return rc;
}

struct session *session_new(struct sessions *all, const char *id, struct err *e)
{
	struct session *s = mem_alloc(sizeof(*s));
	struct buf path = { 0 };
	int rc = -1;

	*s = (struct session){ .all = all, .pidfd = -1, .in = -1, .status = -1 };
	s->id = mem_dup(id);
	buf_addf(&path, "%s/%u", all->t->run_dir, ++all->numbers);
	s->dir = mem_dup(buf_cstr(&path));
	buf_adds(&path, "/status");
	if (mkdir(s->dir, 0700) < 0)
		err_sys(e, errno, "create directory %s", s->dir);
	else if (mkfifo(buf_cstr(&path), 0600) < 0)
		err_sys(e, errno, "create %s", buf_cstr(&path));
	/* Open for writing, too, so that it never ends. */
	else if ((s->status = open(buf_cstr(&path), O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
		err_sys(e, errno, "open %s", buf_cstr(&path));
	else
		rc = start_shell(s, e);
	buf_free(&path);
	if (rc == 0)
		return s;
	session_free(s);
	return NULL;
}

/* The shell's descendants, what is in its session, and what left both but has its variable. */
static void end_processes(struct session *s)
{
	struct proc_list l = { 0 };
	struct err ignored = { 0 }; /* what cannot be ended stays: nobody waits for it */
	struct proc_id shell;

	proc_list_by_env(&l, ENV_SESSION, s->dir);
	if (!s->over && proc_identify(s->shell.pid, &shell))
		proc_list_add(&l, shell);
	if (l.n)
		proc_end_tree(l.v, l.n, 0, deadline_in_ms(END_MS), &ignored);
	proc_list_free(&l);
	spawn_end(&s->shell);
}

void session_end_leftover(const char *dir)
{
	struct session s = { .dir = mem_dup(dir), .over = true };

	end_processes(&s);
	free(s.dir);
}

void session_free(struct session *s)
{
	struct err ignored = { 0 }; /* the next process of sessions removes what is left */

	end_processes(s);
	while (s->commands) {
		struct command *c = s->commands;

		s->commands = c->next;
		command_free(c);
	}
	file_remove_tree(s->dir, &ignored);
	fd_close(&s->pidfd);
	fd_close(&s->in);
	fd_close(&s->status);
	buf_free(&s->line);
	free(s->dir);
	free(s->id);
	free(s);
}
