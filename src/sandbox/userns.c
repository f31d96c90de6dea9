/* SPDX-License-Identifier: Apache-2.0 */
/* See userns.h and user_namespaces(7). */
#include "sandbox/userns.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "sandbox/idhelper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SUBID_MAX (1u << 20)

/* A process that stays in a new namespace until it is ended, so that others can write its maps. */
struct holder {
	struct spawned process;
	int said; /* what it could do: an errno, 0 when it is there */
};

static void hold(void *arg)
{
	int fd = *(int *)arg, code = unshare(CLONE_NEWUSER) < 0 ? errno : 0;

	prctl(PR_SET_DUMPABLE, 1); /* else only root could write its maps */
	if (write(fd, &code, sizeof(code)) == (ssize_t)sizeof(code) && code == 0)
		pause();
	_exit(1);
}

static int unshare_failed(int code, struct err *e)
{
	err_sys(e, code, "create a user namespace");
	if (code == ENOSPC || code == EPERM || code == EACCES)
		err_hint(e, "allow them: user.max_user_namespaces above 0, "
		            "kernel.unprivileged_userns_clone=1, "
		            "kernel.apparmor_restrict_unprivileged_userns=0, as far as there are "
		            "such settings");
	return -1;
}

static int hold_start(struct holder *h, struct deadline d, struct err *e)
{
	int fd[2], code = EIO, rc;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	rc = spawn_start(&(struct spawn){ .work = hold,
	                                  .arg = &fd[1],
	                                  .keep = &fd[1],
	                                  .n_keep = 1,
	                                  .death_signal = SIGKILL },
	                 d, &h->process, e);
	close(fd[1]);
	if (rc == 0 && (rc = wait_fd(fd[0], POLLIN, d, e) < 0 ? -1 : 0) == 0 &&
	    read(fd[0], &code, sizeof(code)) != (ssize_t)sizeof(code))
		code = EIO;
	close(fd[0]);
	if (rc == 0 && code != 0)
		rc = unshare_failed(code, e);
	if (rc < 0)
		spawn_end(&h->process);
	return rc;
}

static int write_proc(pid_t pid, const char *name, const char *text, struct err *e)
{
	char path[64];
	int fd, rc;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open %s", path);
	rc = file_write_all(fd, str_of(text), path, e);
	close(fd);
	return rc;
}

static int write_maps(pid_t pid, const struct userns_map *map, struct deadline d, struct err *e)
{
	bool range = map->how == MAP_RANGE;
	char uids[48], gids[48];

	if (map->how == MAP_TOOLS)
		return idhelper_map(pid, map, d, e);
	snprintf(uids, sizeof(uids), "0 %u %u\n", range ? map->uids : geteuid(),
	         range ? map->n_uids : 1);
	snprintf(gids, sizeof(gids), "0 %u %u\n", range ? map->gids : getegid(),
	         range ? map->n_gids : 1);
	if (!range && write_proc(pid, "setgroups", "deny", e) < 0)
		return -1;
	if (write_proc(pid, "uid_map", uids, e) < 0)
		return -1;
	return write_proc(pid, "gid_map", gids, e);
}

int userns_open(const struct userns_map *map, struct deadline d, struct err *e)
{
	struct holder h = { 0 };
	char path[64];
	int fd = -1;

	if (hold_start(&h, d, e) < 0)
		return -1;
	if (write_maps(h.process.pid, map, d, e) == 0) {
		snprintf(path, sizeof(path), "/proc/%ld/ns/user", (long)h.process.pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			err_sys(e, errno, "open %s", path);
	}
	spawn_end(&h.process);
	return fd;
}

int userns_enter(int ns, const struct userns_map *map, struct err *e)
{
	if (setns(ns, CLONE_NEWUSER) < 0)
		return err_sys(e, errno, "enter the user namespace");
	if (map->how != MAP_SINGLE && setgroups(0, NULL) < 0)
		return err_sys(e, errno, "leave all groups");
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(e, errno, "become root of the user namespace");
	return 0;
}

bool userns_has(const struct userns_map *map, uint32_t uid, uint32_t gid)
{
	uint32_t more = map->how == MAP_TOOLS;

	if (map->how == MAP_SINGLE)
		return uid == 0 && gid == 0;
	return uid < map->n_uids + more && gid < map->n_gids + more;
}

uint32_t userns_uid(const struct userns_map *map, uint32_t uid)
{
	return map->how == MAP_RANGE ? map->uids + uid : uid;
}

uint32_t userns_gid(const struct userns_map *map, uint32_t gid)
{
	return map->how == MAP_RANGE ? map->gids + gid : gid;
}

bool subid_parse(struct str text, const char *name, uint32_t uid, uint32_t *first, uint32_t *n)
{
	struct str line, who, from, many;
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	while (str_next(&text, '\n', &line)) {
		int64_t f, c;

		if (!str_next(&line, ':', &who) || !str_next(&line, ':', &from))
			continue;
		many = str_trim(line);
		if (!str_eq(who, number) && !(name && str_eq(who, name)))
			continue;
		if (str_to_i64(from, 1, UINT32_MAX - 1, &f) &&
		    str_to_i64(many, 1, UINT32_MAX - f, &c)) {
			*first = (uint32_t)f;
			*n = (uint32_t)c < USERNS_RANGE - 1 ? (uint32_t)c : USERNS_RANGE - 1;
			return true;
		}
	}
	return false;
}

static bool range_of_us(const char *path, uint32_t *first, uint32_t *n)
{
	const struct passwd *p = getpwuid(geteuid());
	struct err ignored = { 0 }; /* no file, no range */
	struct buf text = { 0 };
	bool found = file_read(path, SUBID_MAX, &text, &ignored) == 0 &&
	             subid_parse(buf_str(&text), p ? p->pw_name : NULL, geteuid(), first, n);

	buf_free(&text);
	return found;
}

static bool has_tool(const char *name)
{
	static const char *const dirs[] = { "/usr/bin/", "/bin/", "/usr/local/bin/" };
	char path[64];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

void userns_ordinary(struct userns_map *map, struct buf *why)
{
	*map = (struct userns_map){ .how = MAP_SINGLE };
	if (!has_tool("newuidmap") || !has_tool("newgidmap"))
		buf_adds(why, "newuidmap and newgidmap are missing: install the package uidmap");
	else if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && idhelper_socket() < 0)
		buf_adds(why,
		         "newuidmap has no effect without new privileges: a service's file must "
		         "not say NoNewPrivileges (daytona-runner service install)");
	else if (!range_of_us("/etc/subuid", &map->uids, &map->n_uids) ||
	         !range_of_us("/etc/subgid", &map->gids, &map->n_gids))
		buf_adds(why, "this user has no range in /etc/subuid and /etc/subgid");
	else
		map->how = MAP_TOOLS;
}

struct errand {
	const struct userns_map *map;
	int (*work)(void *arg, struct err *e);
	void *arg;
	int ns, said;
};

static void run_errand(void *arg)
{
	const struct errand *t = arg;
	struct err e = { 0 }, ignored = { 0 };

	if (userns_enter(t->ns, t->map, &e) == 0 && t->work(t->arg, &e) == 0)
		err_clear(&e);
	file_write_all(t->said, (struct str){ (const char *)&e, sizeof(e) }, "pipe", &ignored);
	_exit(0);
}

int userns_run(const struct userns_map *map, int (*work)(void *arg, struct err *e), void *arg,
               struct deadline d, struct err *e)
{
	struct errand t = { .map = map, .work = work, .arg = arg };
	struct spawned p = { 0 };
	struct err said = { 0 };
	int fd[2], rc;

	t.ns = userns_open(map, d, e);
	if (t.ns < 0)
		return -1;
	if (pipe2(fd, O_CLOEXEC) < 0) {
		close(t.ns);
		return err_sys(e, errno, "make a pipe");
	}
	t.said = fd[1];
	rc = spawn_start(&(struct spawn){ .work = run_errand,
	                                  .arg = &t,
	                                  .keep = (const int[]){ t.ns, fd[1] },
	                                  .n_keep = 2,
	                                  .death_signal = SIGKILL },
	                 d, &p, e);
	close(fd[1]);
	close(t.ns);
	if (rc == 0 && wait_fd(fd[0], POLLIN, d, e) < 0)
		rc = -1;
	else if (rc == 0 && read(fd[0], &said, sizeof(said)) != (ssize_t)sizeof(said))
		rc = err_set(e, ERR_OTHER, 0, "the process in the user namespace ended early");
	else if (rc == 0 && said.kind != ERR_NONE) {
		*e = said;
		rc = -1;
	}
	close(fd[0]);
	spawn_end(&p);
	return rc;
}
