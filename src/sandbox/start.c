/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sandbox.h. Three processes: we; a launcher, which makes the namespaces and the root file system and goes; process 1,
 * which waits until admit has seen it, makes the root its own, waits for its bounds (a cgroup takes its time), gives up all
 * it does not need and becomes the program.
 *
 * As root the mounts are made outside of the user namespace, which is entered last: nobody inside has any right over them.
 * An ordinary user has that right only inside, so there it is entered first.
 */
#include "base/file.h"
#include "base/spawn.h"
#include "base/spawn_child.h"
#include "sandbox/idhelper.h"
#include "sandbox/inside.h"
#include "sandbox/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST_MS 5000 /* for the end of what could not be started */

struct start {
	struct sandbox s;
	int notes; /* process 1's and the launcher's end */
	int userns;
	bool only_try; /* no process 1 */
	/* sandbox_work: */
	const struct sandbox *all;
	size_t n;
	int (*work)(void *arg, const int *roots, struct err *e);
	void *work_arg;
	int also; /* a descriptor that work has, too; or not above 0 */
};

static void say(void *arg, const char *line)
{
	const struct start *t = arg;
	struct note n = { .kind = NOTE_SAY };

	snprintf(n.e.msg, sizeof(n.e.msg), "%s", line);
	note_send(t->notes, &n);
}

static int loopback_up(struct err *e)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;

	if (fd < 0)
		return err_sys(e, errno, "open a socket");
	if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		rc = err_sys(e, errno, "start the loopback device");
	close(fd);
	return rc;
}

/* As container engines do: low ports and ping need no right there. Kernels without these settings go without. */
static void open_network(void)
{
	static const char *const settings[][2] = {
		{ "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0" },
		{ "/proc/sys/net/ipv4/ping_group_range", "0 2147483647" },
	};

	for (size_t i = 0; i < 2; i++) {
		int fd = open(settings[i][0], O_WRONLY | O_CLOEXEC);
		struct err ignored = { 0 };

		if (fd >= 0)
			file_write_all(fd, str_of(settings[i][1]), settings[i][0], &ignored);
		fd_close(&fd);
	}
}

static int prepare(const struct sandbox *s, struct err *e)
{
	if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL)
		return err_sys(e, errno, "create a cgroup namespace");
	if (sethostname(s->hostname, strlen(s->hostname)) < 0)
		return err_sys(e, errno, "set the host name");
	if (s->net == SANDBOX_NET_HOST)
		return 0;
	open_network();
	return loopback_up(e);
}

int root_user(const struct sandbox *s, struct user *u, struct err *e)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), rc;
	char line[200];

	rc = root < 0 ? err_sys(e, errno, "open /") : user_find(root, s->user, u, e);
	fd_close(&root);
	if (rc < 0 || userns_has(s->map, u->uid, u->gid))
		return rc;
	snprintf(
		line, sizeof(line),
		"the user %.60s (%u:%u) is not possible: there is no range of ids for this workspace",
		u->name, u->uid, u->gid);
	user_free(u);
	if (s->strict)
		return err_set(e, ERR_UNSUPPORTED, 0, "%s", line);
	s->say(s->arg, line);
	s->say(s->arg, "its programs run as root of the workspace, who has no rights outside");
	return user_parse((struct str){ 0 }, (struct str){ 0 }, "0", u, e);
}

static void await_go(const struct start *t)
{
	struct note go;
	struct err e = { 0 };

	if (note_receive(t->notes, &go, DEADLINE_NEVER, &e) != 1 || go.kind != NOTE_GO)
		_exit(1); /* whoever wanted it is gone */
}

/* Never returns but with an error. */
static int become(const struct start *t, struct err *e)
{
	const struct sandbox *s = &t->s;
	struct user u = { 0 };
	char **env;
	int code;

	if (prepare(s, e) < 0 || root_enter(s, &u, e) < 0)
		return -1;
	if (s->owned &&
	    root_give(s->owned, userns_uid(s->map, u.uid), userns_gid(s->map, u.gid), e) < 0)
		return -1;
	await_go(t);
	env = user_environment(s->env, &u);
	if (lock_down(
		    &(struct lock){ s->map, &u, s->net, s->map->how == MAP_RANGE ? t->userns : -1 },
		    e) < 0)
		return -1;
	user_directory(s->cwd, &u);
	if (s->word)
		fcntl(s->word, F_SETFD, 0);
	code = spawn_exec(SANDBOX_PROGRAM, s->argv, (const char *const *)env);
	return err_sys(e, code, "start %s in the sandbox", s->program);
}

static void process_one(void *arg)
{
	struct start *t = arg;
	struct err e = { 0 };

	setsid();
	umask(022);
	/* The helper of its network looks at our namespaces until we go on; a runner may not be looked at, nor its children. */
	prctl(PR_SET_DUMPABLE, t->s.net == SANDBOX_NET_PRIVATE);
	note_send(t->notes, &(struct note){ .kind = NOTE_HERE });
	await_go(t);
	prctl(PR_SET_DUMPABLE, 0);
	become(t, &e);
	note_error(t->notes, &e);
	_exit(1);
}

static void try_one(void *arg)
{
	const struct start *t = arg;
	struct err e = { 0 };

	if (root_try(&t->s, &e) < 0)
		note_error(t->notes, &e);
	_exit(0);
}

static int make_namespaces(struct start *t, struct deadline d, struct err *e)
{
	const struct sandbox *s = &t->s;
	int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID |
	            (s->net == SANDBOX_NET_HOST ? 0 : CLONE_NEWNET);

	t->userns = userns_open(s->map, d, e);
	if (t->userns < 0)
		return -1;
	if (s->map->how != MAP_RANGE && userns_enter(t->userns, s->map, e) < 0)
		return -1;
	if (unshare(flags) < 0)
		return err_sys(e, errno, "create namespaces");
	if (mount_private_all(e) < 0)
		return -1;
	return root_build(s, t->userns, e);
}

static int do_work(const struct start *t, struct err *e)
{
	int roots[SANDBOX_WORK_MAX];

	for (size_t i = 0; i < t->n; i++) {
		if (i > 0 && root_build(&t->all[i], t->userns, e) < 0)
			return -1;
		roots[i] = open(t->all[i].point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (roots[i] < 0)
			return err_sys(e, errno, "open %s", t->all[i].point);
	}
	return t->work(t->work_arg, roots, e);
}

static void launch(void *arg)
{
	struct start *t = arg;
	struct spawned p = { 0 };
	struct err e = { 0 };
	int keep[3] = { t->notes };
	size_t n = 1;

	t->s.say = say;
	t->s.arg = t;
	if (make_namespaces(t, DEADLINE_NEVER, &e) == 0 && t->work) {
		if (do_work(t, &e) == 0) {
			note_send(t->notes, &(struct note){ .kind = NOTE_GO });
			_exit(0);
		}
	} else if (!e.kind) {
		keep[n++] = t->userns;
		if (t->s.word)
			keep[n++] = t->s.word;
		if (spawn_start(&(struct spawn){ .work = t->only_try ? try_one : process_one,
		                                 .arg = t,
		                                 .std = { SPAWN_OURS, SPAWN_OURS, SPAWN_OURS },
		                                 .keep = keep,
		                                 .n_keep = n },
		                DEADLINE_NEVER, &p, &e) == 0) {
			struct note note = { .kind = NOTE_PROCESS, .pid = p.pid };

			note_send(t->notes, &note);
			_exit(0);
		}
	}
	note_error(t->notes, &e);
	_exit(1);
}

/* Admitted, it is told to go; and once more, to go on. */
static int admit(const struct sandbox *s, int notes, pid_t pid, struct proc_id *init, struct err *e)
{
	struct note go = { .kind = NOTE_GO };

	if (!proc_identify(pid, init))
		return err_set(e, ERR_OTHER, 0, "process 1 of the sandbox ended early");
	if (s->admit && s->admit(s->arg, *init, e) < 0)
		return -1;
	note_send(notes, &go);
	if (s->bound && s->bound(s->arg, *init, e) < 0)
		return -1;
	note_send(notes, &go);
	return 0;
}

/* One that ended for a reason of its own could not be bound: it has said why. */
static void prefer_word(int notes, struct err *e)
{
	struct err none = { 0 };
	struct note n;

	while (note_receive(notes, &n, (struct deadline){ 0 }, &none) == 1)
		if (n.kind == NOTE_ERROR)
			*e = n.e;
}

static int follow(const struct sandbox *s, int notes, struct deadline d, struct proc_id *init,
                  struct err *e)
{
	struct note n;
	pid_t pid = 0;
	bool here = false;
	int got;

	/* Its number comes from the launcher, that it can be looked at from itself. */
	while ((got = note_receive(notes, &n, d, e)) == 1) {
		if (n.kind == NOTE_ERROR) {
			*e = n.e;
			return -1;
		}
		if (n.kind == NOTE_SAY && s->say)
			s->say(s->arg, n.e.msg);
		if (n.kind == NOTE_PROCESS)
			pid = n.pid;
		here |= n.kind == NOTE_HERE;
		if (pid && here && !init->pid && admit(s, notes, pid, init, e) < 0) {
			prefer_word(notes, e);
			return -1;
		}
	}
	if (got == 0 && !init->pid)
		return err_set(e, ERR_OTHER, 0, "%s ended early",
		               pid ? "process 1 of the sandbox" : "the sandbox's launcher");
	return got;
}

static int start_launcher(struct start *t, int notes[2], struct deadline d, struct spawned *p,
                          struct err *e)
{
	int keep[4], rc;
	size_t n = 0;

	if (note_pair(notes, e) < 0)
		return -1;
	t->notes = keep[n++] = notes[1];
	if (idhelper_socket() >= 0)
		keep[n++] = idhelper_socket();
	if (t->also > 0)
		keep[n++] = t->also;
	if (t->s.word)
		keep[n++] = t->s.word;
	rc = spawn_start(&(struct spawn){ .work = launch,
	                                  .arg = t,
	                                  .std = { SPAWN_NULL, t->s.output, t->s.output },
	                                  .keep = keep,
	                                  .n_keep = n,
	                                  .death_signal = SIGKILL },
	                 d, p, e);
	close(notes[1]);
	if (rc < 0)
		close(notes[0]);
	return rc;
}

/* A launcher that has done all it was for: until its end, or its word. */
static int run_launcher(struct start *t, struct deadline d, struct err *e)
{
	struct spawned launcher = { 0 };
	struct note n;
	int notes[2], got;

	if (start_launcher(t, notes, d, &launcher, e) < 0)
		return -1;
	do
		got = note_receive(notes[0], &n, d, e);
	while (got == 1 && n.kind != NOTE_ERROR && n.kind != NOTE_GO);
	if (got == 1 && n.kind == NOTE_ERROR) {
		*e = n.e;
		got = -1;
	} else if (got == 0 && t->work) {
		got = err_set(e, ERR_OTHER, 0, "the process that worked on %s ended early",
		              t->s.point);
	}
	close(notes[0]);
	spawn_end(&launcher);
	return got < 0 ? -1 : 0;
}

int sandbox_try(const struct sandbox *s, struct deadline d, struct err *e)
{
	struct start t = { .s = *s, .userns = -1, .only_try = true };

	return run_launcher(&t, d, e);
}

int sandbox_work(const struct sandbox *s, size_t n,
                 int (*work)(void *arg, const int *roots, struct err *e), void *arg, int also,
                 struct deadline d, struct err *e)
{
	struct start t = { .s = s[0],
		           .userns = -1,
		           .all = s,
		           .n = n,
		           .work = work,
		           .work_arg = arg,
		           .also = also };

	return run_launcher(&t, d, e);
}

int sandbox_start(const struct sandbox *s, struct deadline d, struct proc_id *init, struct err *e)
{
	struct start t = { .s = *s, .userns = -1 };
	struct spawned launcher = { 0 };
	struct err why = { 0 };
	int notes[2], rc;

	*init = (struct proc_id){ 0 };
	if (start_launcher(&t, notes, d, &launcher, e) < 0)
		return -1;
	rc = follow(s, notes[0], d, init, e);
	close(notes[0]); /* what waits for its word ends */
	spawn_end(&launcher);
	if (rc < 0 && init->pid && sandbox_stop(*init, 0, deadline_in_ms(LAST_MS), &why) < 0)
		err_hint(e, why.msg);
	return rc;
}
