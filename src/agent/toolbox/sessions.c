/* SPDX-License-Identifier: Apache-2.0 */
/* The process that has an agent's sessions: its folder, its socket, its loop. See sessions.h. */
#include "agent/toolbox/sessions.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc_stat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 20
#define START_MS 10000
#define TURNS 25 /* tries to connect, before another is started */
#define CONNS_MAX 128
#define OWNER_LOOK_MS 1000

struct loop {
	struct sessions all;
	struct proc_id owner;
	int owner_fd, signals, lock;
};

/* Ours alone, whoever made it: in /tmp a name may be taken by somebody else. */
static int make_folder(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(e, errno, "create directory %s", path);
	if (lstat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0077))
		return err_set(e, ERR_DENIED, 0, "%s is not ours alone: remove it, or set TMPDIR",
		               path);
	return 0;
}

static int take_lock(const char *folder, struct err *e)
{
	char *path = path_join(folder, "lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		err_sys(e, errno, "open %s", path);
	} else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(e, ERR_BUSY, errno, "%s is held", path);
		fd_close(&fd);
	}
	free(path);
	return fd;
}

/* What one that was killed left: its shells died with it, what they had started may not have. */
static void end_leftovers(const char *folder)
{
	struct err e = { 0 };
	DIR *d = opendir(folder);
	const struct dirent *en;

	while (d && (en = readdir(d)) != NULL) {
		int64_t number;

		if (!str_to_i64(str_of(en->d_name), 1, INT32_MAX, &number))
			continue;
		char *path = path_join(folder, en->d_name);

		session_end_leftover(path);
		if (file_remove_tree(path, &e) < 0)
			log_warn("%s", e.msg);
		free(path);
	}
	if (d)
		closedir(d);
}

/* The folders of agents of ours that were killed: their locks are free. */
static void remove_siblings(const struct toolbox *t)
{
	const char *slash = strrchr(t->run_dir, '/');
	char *parent = slash && slash != t->run_dir
	                       ? mem_dupn(t->run_dir, (size_t)(slash - t->run_dir))
	                       : NULL;
	DIR *d = parent ? opendir(parent) : NULL;
	const struct dirent *en;

	while (d && (en = readdir(d)) != NULL) {
		struct err e = { 0 };
		char *path = path_join(parent, en->d_name);
		struct stat st;
		int lock = -1;

		if (str_starts(str_of(en->d_name), TOOLBOX_RUN_PREFIX) &&
		    strcmp(path, t->run_dir) != 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
		    st.st_uid == geteuid())
			lock = take_lock(path, &e);
		if (lock >= 0) {
			end_leftovers(path);
			file_remove_tree(path, &e);
		}
		fd_close(&lock);
		free(path);
	}
	if (d)
		closedir(d);
	free(parent);
}

/* Bourne's syntax alone will do. */
static const char *choose_shell(void)
{
	static const char *const known[] = { "bash", "zsh", "sh", "dash", "ash", "ksh", "mksh" };
	static const char *const places[] = { "/bin/bash", "/usr/bin/bash" };
	const char *shell = getenv("SHELL"), *slash = shell ? strrchr(shell, '/') : NULL;

	for (size_t i = 0; slash && i < ARRAY_LEN(known); i++)
		if (strcmp(slash + 1, known[i]) == 0 && access(shell, X_OK) == 0)
			return shell;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return "/bin/sh";
}

static int open_loop(struct loop *l, const struct toolbox *t, struct err *e)
{
	const struct httpd_settings settings = { .request = sessions_request,
		                                 .arg = &l->all,
		                                 .max_conns = CONNS_MAX };
	char *path;
	sigset_t set;
	int rc;

	if (make_folder(t->run_dir, e) < 0)
		return -1;
	l->lock = take_lock(t->run_dir, e);
	if (l->lock < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!proc_identify(t->owner, &l->owner))
		return err_set(e, ERR_CANCELED, 0, "the agent has ended");
	l->owner_fd = proc_pidfd(t->owner);
	end_leftovers(t->run_dir);
	remove_siblings(t);
	l->all = (struct sessions){ .t = t,
		                    .shell = choose_shell(),
		                    .httpd = httpd_new(&settings) };
	path = path_join(t->run_dir, "socket");
	rc = httpd_listen_unix(l->all.httpd, path, e);
	free(path);
	return rc;
}

static void free_followers(struct sessions *all)
{
	struct follower **at = &all->followers;

	while (*at) {
		struct follower *f = *at;

		if (f->r) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		free(f);
	}
}

/* False: it is to end. */
static bool turn(struct loop *l, struct pollset *ps, struct err *e)
{
	struct signalfd_siginfo si;

	pollset_reset(ps);
	pollset_add(ps, l->signals, POLLIN);
	pollset_add(ps, l->owner_fd, POLLIN);
	if (l->owner_fd < 0)
		pollset_until(ps, deadline_in_ms(OWNER_LOOK_MS));
	for (struct session *s = l->all.list; s; s = s->next)
		session_poll(s, ps);
	httpd_poll(l->all.httpd, ps);
	if (pollset_wait(ps, e) < 0)
		return false;
	if (read(l->signals, &si, sizeof(si)) == (ssize_t)sizeof(si) ||
	    pollset_revents(ps, l->owner_fd) || (l->owner_fd < 0 && !proc_alive(l->owner)))
		return false;
	for (struct session *s = l->all.list; s; s = s->next)
		session_step(s, ps);
	httpd_step(l->all.httpd, ps);
	for (struct follower *f = l->all.followers; f; f = f->next)
		follower_step(f);
	httpd_step(l->all.httpd, NULL);
	free_followers(&l->all);
	return true;
}

static void close_loop(struct loop *l)
{
	struct err ignored = { 0 }; /* what is left of it says nothing to anybody */

	while (l->all.list) {
		struct session *s = l->all.list;

		l->all.list = s->next;
		session_free(s);
	}
	httpd_free(l->all.httpd);
	free_followers(&l->all);
	if (l->lock >= 0)
		file_remove_tree(l->all.t->run_dir, &ignored);
	fd_close(&l->lock);
	fd_close(&l->signals);
	fd_close(&l->owner_fd);
}

void sessions_run(void *arg)
{
	const struct toolbox *t = arg;
	struct loop l = { .all = { .t = t }, .owner_fd = -1, .signals = -1, .lock = -1 };
	struct pollset ps = { 0 };
	struct err e = { 0 };

	if (open_loop(&l, t, &e) == 0)
		while (turn(&l, &ps, &e))
			;
	if (e.kind && e.kind != ERR_BUSY) /* another one was faster: fine */
		log_error("sessions: %s", e.msg);
	pollset_free(&ps);
	close_loop(&l);
}

static int try_connect(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(a.sun_path))
		return err_set(e, ERR_LIMIT, 0, "%s is longer than %zu bytes: set TMPDIR", path,
		               sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, errno, "open a socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		err_sys(e, errno, "connect to %s", path);
		fd_close(&fd);
	}
	return fd;
}

static int start(void (*work)(void *arg), struct toolbox *t, struct spawned *process, struct err *e)
{
	return spawn_start(&(struct spawn){ .work = work,
	                                    .arg = t,
	                                    .std = { SPAWN_NULL, SPAWN_NULL, SPAWN_OURS },
	                                    .lead = SPAWN_SESSION },
	                   deadline_in_ms(START_MS), process, e);
}

/* A connection ends with all that is below its process. This one is not to be: its parent ends at once, and it becomes
 * the agent's. */
static void start_apart(void *arg)
{
	struct spawned process;
	struct err e = { 0 };

	if (start(sessions_run, arg, &process, &e) < 0)
		log_error("sessions: %s", e.msg);
	else
		spawn_forget(&process);
}

int sessions_connect(const struct toolbox *t, struct deadline d, struct err *e)
{
	char *path = path_join(t->run_dir, "socket");
	struct toolbox copy = *t;
	struct spawned process;
	unsigned turns = 0;
	int fd = -1, status;

	if (make_folder(t->run_dir, e) < 0) {
		free(path);
		return -1;
	}
	while ((fd = try_connect(path, e)) < 0 && e->kind != ERR_LIMIT && !deadline_passed(d)) {
		/* Whoever gets the lock serves; the others end at once. One that is about to listen has some turns. */
		if (turns++ % TURNS == 0) {
			if (start(start_apart, &copy, &process, e) < 0)
				break;
			spawn_collect(&process, &status);
		}
		poll(NULL, 0, RETRY_MS);
	}
	free(path);
	return fd;
}
