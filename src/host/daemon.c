/* SPDX-License-Identifier: Apache-2.0 */
/* See daemon.h. */
#include "host/daemon.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "host/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ERR_FILE_MAX (1 << 20)
#define TAIL_BYTES 2048
#define LOCKS_MAX (4u << 20)
#define EXIT_MS 5000
#define DYING_MS 5000
#define LOOK_MS 20

extern char **environ;

/* Inode numbers repeat between file systems: the process must really have that file open. */
static bool has_open(pid_t pid, const struct stat *file)
{
	struct buf dir = { 0 };
	struct dirent *ent;
	bool found = false;
	DIR *d;

	buf_addf(&dir, "/proc/%ld/fd", (long)pid);
	d = opendir(buf_cstr(&dir));
	while (d && !found && (ent = readdir(d)) != NULL) {
		struct stat st;

		found = fstatat(dirfd(d), ent->d_name, &st, 0) == 0 && st.st_ino == file->st_ino &&
		        st.st_dev == file->st_dev;
	}
	if (d)
		closedir(d);
	buf_free(&dir);
	return found;
}

void daemon_lock_holder(const char *path, struct proc_id *who)
{
	struct buf b = { 0 }, want = { 0 };
	struct err e;
	struct str rest, line;
	struct stat st;

	*who = (struct proc_id){ 0 };
	if (stat(path, &st) < 0 || file_read("/proc/locks", LOCKS_MAX, &b, &e) < 0) {
		buf_free(&b);
		return;
	}
	/* "1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF" */
	buf_addf(&want, ":%llu", (unsigned long long)st.st_ino);
	rest = buf_str(&b);
	while (who->pid == 0 && str_next(&rest, '\n', &line)) {
		struct str word, field[6] = { { 0 } };
		int64_t pid;
		int n = 0;

		while (n < 6 && str_next(&line, ' ', &word)) {
			if (word.n)
				field[n++] = word;
		}
		if (n == 6 && str_eq(field[1], "FLOCK") && str_eq(field[3], "WRITE") &&
		    str_ends(field[5], buf_cstr(&want)) &&
		    str_to_i64(field[4], 1, INT32_MAX, &pid) && has_open((pid_t)pid, &st))
			proc_identify((pid_t)pid, who);
	}
	buf_free(&want);
	buf_free(&b);
}

/* "pid start boot-id": read back only to name and signal the holder, never to decide whether there is one. */
static void read_holder(const char *path, struct proc_id *who)
{
	struct buf b = { 0 }, boot = { 0 };
	struct str rest, piece[3] = { { 0 } };
	struct err e;
	int64_t pid, start;

	*who = (struct proc_id){ 0 };
	if (file_read(path, 256, &b, &e) == 0) {
		rest = str_trim(buf_str(&b));
		for (int i = 0; i < 3 && str_next(&rest, ' ', &piece[i]); i++)
			;
		proc_boot_id(&boot);
		if (str_to_i64(piece[0], 1, INT32_MAX, &pid) &&
		    str_to_i64(piece[1], 0, INT64_MAX, &start) && piece[2].p &&
		    str_eq(piece[2], buf_cstr(&boot)))
			*who = (struct proc_id){ (pid_t)pid, (uint64_t)start };
		if (who->pid && !proc_alive(*who))
			*who = (struct proc_id){ 0 };
	}
	/* When the text could not be written because the disk was full. */
	if (!who->pid)
		daemon_lock_holder(path, who);
	buf_free(&boot);
	buf_free(&b);
}

/* 0 or errno. A lock whose taker was killed is still held by the processes it had just forked until they are gone
 * too: that is waited for. A taker that lives is an answer at once. */
static int take_lock(int fd, int how, const char *path, struct proc_id *who)
{
	struct deadline d = deadline_in_ms(DYING_MS);

	while (flock(fd, how | LOCK_NB) < 0) {
		int code = errno;

		read_holder(path, who);
		if (code != EINTR && (code != EWOULDBLOCK || who->pid || deadline_passed(d)))
			return code;
		poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

int daemon_lock_take(struct daemon_lock *l, const char *state_dir, struct err *e)
{
	char *path = paths_lock(state_dir);
	struct buf text = { 0 };
	struct proc_id me = { 0 }, who = { 0 };
	int rc = -1, code = 0;

	l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->fd < 0) {
		err_sys(e, errno, "open %s", path);
	} else if ((code = take_lock(l->fd, LOCK_EX, path, &who)) != 0) {
		if (code != EWOULDBLOCK)
			err_sys(e, code, "lock %s", path);
		else if (who.pid)
			err_set(e, ERR_BUSY, 0,
			        "a runner is running already with state directory %s: process %ld",
			        state_dir, (long)who.pid);
		else
			err_set(e, ERR_BUSY, 0,
			        "a runner is running already with state directory %s", state_dir);
		fd_close(&l->fd);
	} else {
		/* A failing write (full disk) costs `stop` the holder's name, not us the start. */
		proc_identify(getpid(), &me);
		buf_addf(&text, "%ld %llu ", (long)me.pid, (unsigned long long)me.start);
		proc_boot_id(&text);
		buf_addc(&text, '\n');
		if (ftruncate(l->fd, 0) < 0 || pwrite(l->fd, text.p, text.n, 0) < 0)
			err_sys(e, errno, "write %s", path);
		rc = 0;
	}
	buf_free(&text);
	free(path);
	return rc;
}

void daemon_lock_drop(struct daemon_lock *l)
{
	/* Stale text would do no harm either: it is judged by start time and boot id. */
	if (l->fd >= 0)
		(void)!ftruncate(l->fd, 0);
	fd_close(&l->fd);
}

int daemon_lock_probe(const char *state_dir, struct proc_id *who, struct err *e)
{
	char *path = paths_lock(state_dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int rc = 0, code;

	*who = (struct proc_id){ 0 };
	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			rc = err_sys(e, errno, "open %s", path);
		free(path);
		return rc;
	}
	code = take_lock(fd, LOCK_SH, path, who);
	if (code == EWOULDBLOCK)
		rc = 1;
	else if (code)
		rc = err_sys(e, code, "lock %s", path);
	close(fd);
	free(path);
	return rc;
}

int daemon_look(struct snapshot *s, const char *state_dir, struct err *e)
{
	int rc;

	*s = (struct snapshot){ 0 };
	rc = daemon_lock_probe(state_dir, &s->who, e);
	s->running = rc > 0;
	if (rc > 0)
		snapshot_load(s, state_dir);
	return rc < 0 ? -1 : 0;
}

static char *err_path(const char *state_dir)
{
	return path_join(state_dir, "daemon.err");
}

/* The last lines that the runner wrote to stderr in this start, as one line. */
static void add_tail(const char *path, off_t from, struct buf *out)
{
	char chunk[TAIL_BYTES];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0) {
		off_t at = st.st_size - TAIL_BYTES > from ? st.st_size - TAIL_BYTES : from;

		n = pread(fd, chunk, sizeof(chunk), at);
		if (n > 0)
			buf_add_str(out, str_trim((struct str){ chunk, (size_t)n }));
	}
	close(fd);
}

/* The process that is to stay. ready_fd: where it says how it comes along. */
static int spawn_daemon(const char *self_exe, const char *const *argv, int err_fd, int ready_fd,
                        struct deadline d, struct spawned *p, struct err *e)
{
	struct buf ready = { 0 };
	const char **env;
	size_t n = 0;
	int rc;

	while (environ[n])
		n++;
	env = mem_array(n + 2, sizeof(*env));
	buf_addf(&ready, "DAYTONA_RUNNER_READY_FD=%d", ready_fd);
	env[0] = buf_cstr(&ready); /* the first one of a name counts */
	for (size_t i = 0; i < n; i++)
		env[i + 1] = environ[i];
	rc = spawn_start(&(struct spawn){ .argv = argv,
	                                  .program = self_exe,
	                                  .env = env,
	                                  .cwd = "/",
	                                  .std = { SPAWN_NULL, err_fd, err_fd },
	                                  .keep = &ready_fd,
	                                  .n_keep = 1,
	                                  .lead = SPAWN_SESSION },
	                 d, p, e);
	free(env);
	buf_free(&ready);
	return rc;
}

void daemon_waits(struct buf *last, struct str why)
{
	struct buf text = { 0 };

	if (why.n && !str_eq(why, buf_cstr(last)) && isatty(STDERR_FILENO)) {
		buf_adds(&text, "waiting: ");
		buf_add_printable(&text, why, false);
		log_say("start", buf_cstr(&text));
	}
	buf_reset(last);
	buf_add_str(last, why);
	buf_free(&text);
}

/* Reads lines that say what it waits for, until "ready" or "refused" decides the matter. */
static int await_ready(int fd, struct deadline d, struct buf *last, struct err *e)
{
	struct buf in = { 0 };
	char chunk[512];
	int rc = 1; /* undecided: the process ended */

	while (rc == 1) {
		const char *nl = in.n ? memchr(in.p, '\n', in.n) : NULL;
		ssize_t n;

		if (nl) {
			struct str line = { in.p, (size_t)(nl - in.p) };

			if (str_eq(line, "ready")) {
				rc = 0;
			} else if (str_eq(line, "refused")) {
				rc = err_set(e, ERR_TIMEOUT, 0,
				             "refused"); /* why: the line before */
			} else {
				daemon_waits(last, line);
			}
			buf_drop(&in, line.n + 1);
			continue;
		}
		if (wait_fd(fd, POLLIN, d, e) < 0) {
			rc = -1;
			break;
		}
		n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			break;
		if (n > 0)
			buf_add(&in, chunk, (size_t)n);
		if (in.n > 4096)
			buf_reset(&in);
	}
	buf_free(&in);
	return rc;
}

int daemon_start(const char *state_dir, const char *self_exe, const char *const *argv,
                 struct deadline d, bool *already, struct err *e)
{
	struct buf last = { 0 }, tail = { 0 };
	struct proc_id who;
	struct stat st = { 0 };
	char *errs;
	struct spawned daemon = { 0 };
	int p[2], err_fd, status = 0, rc;
	pid_t pid;

	*already = false;
	rc = daemon_lock_probe(state_dir, &who, e);
	if (rc != 0) {
		*already = rc > 0;
		return rc > 0 ? 0 : -1;
	}
	if (paths_prepare(state_dir, e) < 0)
		return -1;
	errs = err_path(state_dir);
	err_fd = open(errs, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (err_fd < 0) {
		err_sys(e, errno, "open %s", errs);
		free(errs);
		return -1;
	}
	if (fstat(err_fd, &st) == 0 && st.st_size > ERR_FILE_MAX && ftruncate(err_fd, 0) == 0)
		st.st_size = 0;
	if (pipe2(p, O_CLOEXEC) < 0) {
		err_sys(e, errno, "start the runner");
		close(err_fd);
		free(errs);
		return -1;
	}
	rc = spawn_daemon(self_exe, argv, err_fd, p[1], d, &daemon, e);
	pid = daemon.pid;
	close(p[1]);
	close(err_fd);
	if (rc == 0)
		rc = await_ready(p[0], d, &last, e);
	close(p[0]);
	if (rc == 1) { /* the pipe closed before it was ready: it ends, or has ended */
		spawn_collect(&daemon, &status);
		/* Two that start it at the same moment both have what they want. */
		*already = daemon_lock_probe(state_dir, &who, e) > 0;
	}
	if (*already) {
		rc = 0;
	} else if (rc == 1) {
		add_tail(errs, st.st_size, &tail);
		if (tail.n == 0)
			proc_describe_status(status, &tail);
		rc = err_set(e, ERR_OTHER, 0, "the runner ended at once: %s", buf_cstr(&tail));
	} else if (rc < 0 && pid && e->kind == ERR_TIMEOUT) {
		err_set(e, ERR_TIMEOUT, 0,
		        "the runner runs (process %ld) but the Server does not call it responsive yet: %s; see daytona-runner logs",
		        (long)pid, last.n ? buf_cstr(&last) : "it is still starting");
	}
	buf_free(&tail);
	buf_free(&last);
	free(errs);
	return rc;
}

static bool wait_unlocked(const char *state_dir, struct deadline d, struct err *e)
{
	struct proc_id who;

	for (int pause_ms = 5;; pause_ms = pause_ms < 100 ? pause_ms * 2 : 100) {
		int rc = daemon_lock_probe(state_dir, &who, e);

		if (rc <= 0)
			return rc == 0;
		if (deadline_passed(d))
			return false;
		poll(NULL, 0, pause_ms);
	}
}

/* The lock is dropped shortly before the end; whoever asks for a stop expects no process afterwards. */
static void wait_gone(struct proc_id who, struct deadline d)
{
	while (proc_alive(who) && !deadline_passed(d))
		poll(NULL, 0, 5);
}

static bool wait_end(const char *state_dir, struct deadline d, struct err *e)
{
	struct snapshot s;
	struct err ignored = { 0 };
	bool hangs;

	if (wait_unlocked(state_dir, deadline_min(d, deadline_in_ms(DAEMON_IDLE_MS)), e))
		return true;
	hangs = daemon_look(&s, state_dir, &ignored) == 0 && snapshot_idle(&s);
	snapshot_free(&s);
	return !hangs && wait_unlocked(state_dir, d, e);
}

int daemon_stop(const char *state_dir, int64_t grace_ms, bool *was_running, struct err *e)
{
	struct proc_id who;
	int rc = daemon_lock_probe(state_dir, &who, e);

	*was_running = rc > 0;
	if (rc <= 0)
		return rc;
	if (!who.pid)
		return err_set(
			e, ERR_OTHER, 0,
			"a runner holds the lock in %s but its process id cannot be read (is /proc mounted?); end it by hand",
			state_dir);
	if (!proc_signal(who, SIGTERM) && proc_alive(who))
		return err_sys(e, EPERM, "stop process %ld", (long)who.pid);
	if (wait_end(state_dir, deadline_in_ms(grace_ms), e)) {
		wait_gone(who, deadline_in_ms(EXIT_MS));
		return 0;
	}
	proc_signal(who, SIGKILL); /* its jobs' processes die with it; workspaces go on */
	if (wait_unlocked(state_dir, deadline_in_ms(5000), e))
		return 0;
	return err_set(e, ERR_TIMEOUT, 0, "process %ld does not end, not even by SIGKILL",
	               (long)who.pid);
}
