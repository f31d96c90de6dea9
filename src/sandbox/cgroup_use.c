/* SPDX-License-Identifier: Apache-2.0 */
/* See cgroup.h: what a group has used, and its end. */
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "sandbox/cgroup_int.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 32 /* of groups that were made in ours */
#define LOOK_FIRST_US 500
#define LOOK_MAX_US 50000

/* ---- use ---- */

static bool number(struct str s, int64_t *out)
{
	return str_to_i64(str_trim(s), 0, INT64_MAX, out);
}

/* The whole file, or the value behind "key " on a line of it; -1 if there is none. */
static int64_t value(const struct cgroup *cgroup, int i, const char *file, const char *key)
{
	struct buf b = { 0 };
	struct str rest, line;
	int64_t v = -1;

	if (cgroup->at[i].dir && cgroup_read(cgroup->at[i].dir, file, &b) == 0) {
		rest = buf_str(&b);
		if (!key)
			(void)number(rest, &v);
		while (key && str_next(&rest, '\n', &line)) {
			size_t n = strlen(key);

			if (line.n > n && line.p[n] == ' ' && memcmp(line.p, key, n) == 0)
				(void)number((struct str){ line.p + n, line.n - n }, &v);
		}
	}
	buf_free(&b);
	return v;
}

static int64_t memory_used(const struct cgroup *cgroup)
{
	bool v2 = cgroup->at[CGROUP_MEMORY].v2;
	int64_t all = value(cgroup, CGROUP_MEMORY, v2 ? "memory.current" : "memory.usage_in_bytes",
	                    NULL);
	int64_t cache = value(cgroup, CGROUP_MEMORY, "memory.stat",
	                      v2 ? "inactive_file" : "total_inactive_file");

	return all >= 0 && cache > 0 ? (all > cache ? all - cache : 0) : all;
}

void cgroup_usage(const struct cgroup *cgroup, struct cgroup_usage *u)
{
	bool v2 = cgroup->at[CGROUP_MEMORY].v2;
	int64_t ns = value(cgroup, CGROUP_CPUACCT, "cpuacct.usage", NULL);

	u->memory_bytes = memory_used(cgroup);
	u->cpu_us = ns >= 0 ? ns / 1000 : value(cgroup, CGROUP_UNIFIED, "cpu.stat", "usage_usec");
	u->pids = value(cgroup, CGROUP_PIDS, "pids.current", NULL);
	u->pids_refused = value(cgroup, CGROUP_PIDS, "pids.events", "max");
	u->oom_kills = value(cgroup, CGROUP_MEMORY, v2 ? "memory.events" : "memory.oom_control",
	                     "oom_kill");
	if (u->oom_kills < 0 && !v2)
		u->oom_kills = value(cgroup, CGROUP_MEMORY, "memory.failcnt", NULL);
}

/* ---- end ---- */

static void processes(const char *dir, struct buf *b)
{
	cgroup_read(dir, "cgroup.procs", b);
}

static bool listed(struct str list, struct str pid)
{
	struct str line;

	while (str_next(&list, '\n', &line))
		if (line.n == pid.n && memcmp(line.p, pid.p, pid.n) == 0)
			return true;
	return false;
}

/* Each is named by its start time before it is looked for a second time: a number that has become another's in between is
 * not in the list any more, or is of the group as well. */
static size_t kill_in(const char *dir)
{
	struct buf first = { 0 }, second = { 0 };
	struct proc_id *ids = NULL;
	struct str rest, line;
	size_t n = 0;

	processes(dir, &first);
	rest = buf_str(&first);
	while (str_next(&rest, '\n', &line)) {
		struct proc_id id;
		int64_t pid;

		if (!str_to_i64(line, 2, INT32_MAX, &pid) || pid == getpid() ||
		    !proc_identify((pid_t)pid, &id))
			continue;
		ids = mem_realloc(ids, (n + 1) * sizeof(*ids));
		ids[n++] = id;
	}
	if (n)
		processes(dir, &second);
	for (size_t i = 0; i < n; i++) {
		char text[24];

		snprintf(text, sizeof(text), "%ld", (long)ids[i].pid);
		if (listed(buf_str(&second), str_of(text)))
			proc_signal(ids[i], SIGKILL);
	}
	free(ids);
	buf_free(&first);
	buf_free(&second);
	return n;
}

static size_t count_in(const char *dir)
{
	struct buf b = { 0 };
	size_t n = 0;

	processes(dir, &b);
	for (size_t i = 0; i < b.n; i++)
		n += b.p[i] == '\n';
	buf_free(&b);
	return n;
}

static int rmdir_code(const char *dir)
{
	return rmdir(dir) < 0 && errno != ENOENT ? errno : 0;
}

/* Visits the groups below dir and then dir; the sum of what visit gives. */
static size_t walk(const char *dir, int depth, size_t (*visit)(const char *dir))
{
	DIR *d = depth < DEPTH_MAX ? opendir(dir) : NULL;
	struct dirent *ent;
	size_t n = 0;

	if (!d)
		return 0;
	while ((ent = readdir(d)) != NULL) {
		char *sub = path_join(dir, ent->d_name);

		if (ent->d_name[0] != '.' && ent->d_type == DT_DIR)
			n += walk(sub, depth + 1, visit);
		free(sub);
	}
	closedir(d);
	return n + visit(dir);
}

static size_t remove_one(const char *dir)
{
	return rmdir_code(dir) != 0;
}

static void freeze(const struct cgroup *cgroup, bool on)
{
	if (cgroup->at[CGROUP_FREEZER].dir)
		(void)cgroup_write(cgroup->at[CGROUP_FREEZER].dir, "freezer.state",
		                   on ? "FROZEN" : "THAWED");
	if (cgroup->at[CGROUP_UNIFIED].dir)
		(void)cgroup_write(cgroup->at[CGROUP_UNIFIED].dir, "cgroup.freeze", on ? "1" : "0");
}

static size_t each_dir(const struct cgroup *cgroup, size_t (*visit)(const char *dir))
{
	size_t n = 0;

	for (int i = 0; i < CGROUP_N; i++) {
		bool seen = !cgroup->at[i].dir;

		for (int k = 0; k < i && !seen; k++)
			seen = cgroup->at[k].dir &&
			       strcmp(cgroup->at[k].dir, cgroup->at[i].dir) == 0;
		if (!seen)
			n += walk(cgroup->at[i].dir, 0, visit);
	}
	return n;
}

/* What is frozen can start nothing, and gets the signal when it thaws. */
static void kill_all(const struct cgroup *cgroup)
{
	if (cgroup->at[CGROUP_UNIFIED].dir)
		(void)cgroup_write(cgroup->at[CGROUP_UNIFIED].dir, "cgroup.kill", "1");
	freeze(cgroup, true);
	each_dir(cgroup, kill_in);
	freeze(cgroup, false);
}

static void remove_parents(const struct cgroup *cgroup)
{
	for (int i = 0; i < CGROUP_N; i++) {
		char *parent = cgroup->at[i].dir ? mem_dup(cgroup->at[i].dir) : NULL;
		char *slash = parent ? strrchr(parent, '/') : NULL;

		if (slash) {
			*slash = 0;
			(void)rmdir(parent); /* others may have theirs in it */
		}
		free(parent);
	}
}

int cgroup_end(struct cgroup *cgroup, struct deadline d, struct err *e)
{
	useconds_t wait = LOOK_FIRST_US;

	while (cgroup_exists(cgroup)) {
		if (each_dir(cgroup, count_in) > 0)
			kill_all(cgroup);
		/* Who was killed is in it until it is gone. */
		if (each_dir(cgroup, remove_one) == 0)
			break;
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0,
			               "%zu processes of the workspace do not end, or its control "
			               "group cannot be removed",
			               each_dir(cgroup, count_in));
		usleep(wait);
		wait = wait * 2 < LOOK_MAX_US ? wait * 2 : LOOK_MAX_US;
	}
	remove_parents(cgroup);
	return 0;
}
