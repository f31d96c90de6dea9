/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sandbox.h: a command in a sandbox that runs. A process enters its namespaces and starts another one there, which
 * becomes our program (so nobody inside sees one that runs a file of the host) and that the command.
 */
#include "base/file.h"
#include "base/inroot.h"
#include "base/mem.h"
#include "base/spawn_child.h"
#include "sandbox/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct entering {
	const struct sandbox_command *c;
	int notes, userns;
	bool host_net;
};

static const struct {
	const char *name;
	int flag;
} kinds[] = { { "cgroup", CLONE_NEWCGROUP }, { "ipc", CLONE_NEWIPC }, { "uts", CLONE_NEWUTS },
	      { "net", CLONE_NEWNET },       { "pid", CLONE_NEWPID }, { "mnt", CLONE_NEWNS } };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int open_namespace(pid_t pid, const char *name, struct err *e)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/ns/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err_sys(e, errno, "open %s", path);
	return fd;
}

static bool is_ours(int fd, const char *name)
{
	char path[64];
	struct stat ours, its;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return stat(path, &ours) == 0 && fstat(fd, &its) == 0 && ours.st_ino == its.st_ino &&
	       ours.st_dev == its.st_dev;
}

/* Those of one process: it is the same after they were opened. */
static int join(struct entering *t, struct err *e)
{
	const struct sandbox_command *c = t->c;
	int fds[KINDS], rc = 0;

	t->userns = open_namespace(c->init.pid, "user", e);
	if (t->userns < 0)
		return -1;
	for (size_t i = 0; i < KINDS; i++) {
		fds[i] = rc == 0 ? open_namespace(c->init.pid, kinds[i].name, e) : -1;
		rc = fds[i] < 0 ? -1 : rc;
		if (rc == 0 && kinds[i].flag == CLONE_NEWNET)
			t->host_net = is_ours(fds[i], kinds[i].name);
	}
	if (rc == 0 && !sandbox_alive(c->init))
		rc = err_set(e, ERR_NOT_FOUND, 0, "the sandbox has ended");
	if (rc == 0 && c->map->how != MAP_RANGE)
		rc = userns_enter(t->userns, c->map, e);
	for (size_t i = 0; i < KINDS; i++) {
		bool kept = kinds[i].flag == CLONE_NEWNET && t->host_net;

		if (rc == 0 && !kept && setns(fds[i], kinds[i].flag) < 0)
			rc = err_sys(e, errno, "enter the %s namespace", kinds[i].name);
		fd_close(&fds[i]);
	}
	prctl(PR_SET_DUMPABLE, 0); /* we hold what nobody inside may see */
	return rc;
}

static const char **with_program(const char *const *argv)
{
	size_t n = 0;
	const char **all;

	while (argv[n])
		n++;
	all = mem_array(n + 4, sizeof(*all));
	all[0] = "daytona-runner";
	all[1] = "agent";
	all[2] = "--become";
	for (size_t i = 0; i < n; i++)
		all[i + 3] = argv[i];
	return all;
}

static int become(const struct entering *t, struct err *e)
{
	const struct sandbox_command *c = t->c;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct user u = { 0 };
	struct lock lock;
	char **env;

	if (root < 0 || user_find(root, c->user, &u, e) < 0)
		return root < 0 ? err_sys(e, errno, "open /") : -1;
	close(root);
	if (!userns_has(c->map, u.uid, u.gid))
		user_parse((struct str){ 0 }, (struct str){ 0 }, "0", &u, e);
	if (c->terminal)
		(void)fchown(STDIN_FILENO, userns_uid(c->map, u.uid), (gid_t)-1);
	env = user_environment(c->env, &u);
	lock = (struct lock){ c->map, &u, t->host_net ? SANDBOX_NET_HOST : SANDBOX_NET_PRIVATE,
		              c->map->how == MAP_RANGE ? t->userns : -1 };
	if (lock_down(&lock, e) < 0)
		return -1;
	user_directory(c->cwd, &u);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return err_sys(e,
	               spawn_exec(SANDBOX_PROGRAM, with_program(c->argv), (const char *const *)env),
	               "start the program of the sandbox");
}

static void be_command(void *arg)
{
	const struct entering *t = arg;
	struct err e = { 0 };

	become(t, &e);
	note_error(t->notes, &e);
	_exit(127);
}

/* What is sent to us is for the command. */
static int pass_signals(struct spawned *p, const sigset_t *set)
{
	int status = 0;

	while (spawn_look(p) == SPAWN_RUNS) {
		int sig = sigwaitinfo(set, NULL);

		if (sig > 0 && sig != SIGCHLD)
			spawn_signal(p, sig);
	}
	spawn_collect(p, &status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void block_signals(sigset_t *set)
{
	static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD };

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(passed); i++)
		sigaddset(set, passed[i]);
	sigprocmask(SIG_BLOCK, set, NULL);
}

static void enter(void *arg)
{
	struct entering *t = arg;
	const struct sandbox_command *c = t->c;
	struct spawned p = { 0 };
	struct err e = { 0 };
	sigset_t signals;

	block_signals(&signals);
	if ((!c->admit || c->admit(c->arg, getpid(), &e) == 0) && join(t, &e) == 0 &&
	    spawn_start(&(struct spawn){ .work = be_command,
	                                 .arg = t,
	                                 .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
	                                 .keep = (const int[]){ t->notes, t->userns },
	                                 .n_keep = 2,
	                                 .lead = SPAWN_SESSION,
	                                 .terminal = c->terminal },
	                DEADLINE_NEVER, &p, &e) == 0) {
		close(t->notes);
		_exit(pass_signals(&p, &signals));
	}
	note_error(t->notes, &e);
	_exit(127);
}

int sandbox_enter(const struct sandbox_command *c, struct deadline d, struct spawned *p,
                  struct err *e)
{
	struct entering t = { .c = c, .userns = -1 };
	struct note n;
	int notes[2], got;

	if (note_pair(notes, e) < 0)
		return -1;
	t.notes = notes[1];
	if (spawn_start(
		    &(struct spawn){
			    .work = enter,
			    .arg = &t,
			    .std = { c->std[0], c->std[1], c->std[2] },
			    .keep = &notes[1],
			    .n_keep = 1,
			    .lead = SPAWN_SESSION, /* /dev/tty must not be that of who asked */
			    .death_signal = SIGKILL },
		    d, p, e) < 0) {
		close(notes[0]);
		close(notes[1]);
		return -1;
	}
	close(notes[1]);
	got = note_receive(notes[0], &n, d, e);
	close(notes[0]);
	if (got == 0)
		return 0;
	if (got == 1)
		*e = n.e;
	spawn_end(p);
	return -1;
}

int sandbox_terminal(struct proc_id init, int *slave, struct err *e)
{
	char path[64];
	int root, master, unlock = 0;

	snprintf(path, sizeof(path), "/proc/%ld/root", (long)init.pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, errno, "open %s", path);
	master = inroot_open_across(root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	close(root);
	*slave = master < 0 || !sandbox_alive(init) || ioctl(master, TIOCSPTLCK, &unlock) < 0
	                 ? -1
	                 : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave >= 0)
		return master;
	err_sys(e, errno, "open a terminal in the sandbox");
	fd_close(&master);
	return -1;
}

struct reading {
	struct proc_id init;
	const struct userns_map *map;
	size_t max;
	int to; /* a pipe */
};

static int read_environment(const struct reading *t, struct buf *b, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/environ", (long)t->init.pid);
	return file_read(path, t->max, b, e);
}

static void read_inside(void *arg)
{
	const struct reading *t = arg;
	struct buf b = { 0 };
	struct err e = { 0 };
	int ns = open_namespace(t->init.pid, "user", &e), rc = -1;

	if (ns >= 0 && sandbox_alive(t->init) && userns_enter(ns, t->map, &e) == 0) {
		prctl(PR_SET_DUMPABLE, 0); /* as join */
		rc = read_environment(t, &b, &e);
	}
	if (rc == 0)
		rc = file_write_all(t->to, buf_str(&b), "pipe", &e);
	_exit(rc ? 1 : 0);
}

/* All that comes until its end. */
static int take_pipe(int fd, struct buf *b, struct deadline d, struct err *e)
{
	ssize_t n;

	do {
		if (wait_fd(fd, POLLIN, d, e) < 0)
			return -1;
		n = read(fd, buf_reserve(b, PIPE_BUF), PIPE_BUF);
		if (n > 0)
			b->n += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? err_sys(e, errno, "read the environment of the sandbox") : 0;
}

int sandbox_environment(struct proc_id init, const struct userns_map *map, size_t max,
                        struct buf *b, struct deadline d, struct err *e)
{
	struct reading t = { .init = init, .map = map, .max = max };
	struct spawned p = { 0 };
	int fd[2], rc, status = 0;

	if (map->how != MAP_TOOLS)
		return read_environment(&t, b, e);
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	t.to = fd[1];
	rc = spawn_start(&(struct spawn){ .work = read_inside,
	                                  .arg = &t,
	                                  .keep = &fd[1],
	                                  .n_keep = 1,
	                                  .death_signal = SIGKILL },
	                 d, &p, e);
	close(fd[1]);
	if (rc == 0)
		rc = take_pipe(fd[0], b, d, e);
	close(fd[0]);
	if (rc < 0) {
		spawn_end(&p);
		return -1;
	}
	if (!spawn_collect(&p, &status) || status)
		return err_set(e, ERR_DENIED, 0, "the environment of the sandbox cannot be read");
	return 0;
}
