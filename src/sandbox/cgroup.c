/* SPDX-License-Identifier: Apache-2.0 */
/* See cgroup.h: places, groups, limits, use. */
#include "sandbox/cgroup.h"

#include "base/file.h"
#include "base/mem.h"
#include "sandbox/cgroup_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNTINFO_MAX (8 << 20)
#define OWN_MAX (64 << 10)
#define PARENT "daytona-runner"
#define OWN_LEAF "daytona-runner.self"
#define PERIOD_US 100000
#define MAKE_TRIES 5
#define MOVE_ROUNDS 8

int cgroup_read(const char *dir, const char *name, struct buf *b)
{
	struct err e;
	char *path = path_join(dir, name);
	int rc = file_read(path, CGROUP_FILE_MAX, b, &e);

	free(path);
	return rc;
}

/* One write, as these files want it. 0 or an errno. */
int cgroup_write(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int code = fd < 0 ? errno : 0;

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		code = errno;
	fd_close(&fd);
	free(path);
	return code;
}

/* ---- places ---- */

static bool may_write(const char *dir, bool v2)
{
	char *procs = path_join(dir, "cgroup.procs"),
	     *sub = path_join(dir, "cgroup.subtree_control");
	bool ok = access(dir, W_OK) == 0 && access(procs, W_OK) == 0 &&
	          (!v2 || access(sub, W_OK) == 0);

	free(procs);
	free(sub);
	return ok;
}

/* From our own group up, as long as we may write; where we may not do so at all, what a user's systemd has been given. */
static char *find_top(const char *root, const struct cgroup_mount *at)
{
	struct buf b = { 0 };
	char *top = NULL;
	size_t mount;

	buf_addf(&b, "%s%s", root, at->dir);
	mount = b.n;
	buf_adds(&b, at->own);
	if (!file_is_dir(buf_cstr(&b)))
		buf_cut(&b, mount);
	while (may_write(buf_cstr(&b), at->v2)) {
		free(top);
		top = mem_dup(b.p);
		if (b.n <= mount)
			break;
		while (b.n > mount && b.p[b.n - 1] != '/')
			buf_cut(&b, b.n - 1);
		buf_cut(&b, b.n > mount ? b.n - 1 : mount);
	}
	if (!top && at->v2) {
		buf_cut(&b, mount);
		buf_addf(&b, "/user.slice/user-%u.slice/user@%u.service", geteuid(), geteuid());
		if (may_write(b.p, true))
			top = mem_dup(b.p);
	}
	buf_free(&b);
	return top;
}

static bool has_word(const char *dir, const char *file, const char *word)
{
	struct buf b = { 0 };
	struct str rest, w;
	bool found = false;

	cgroup_read(dir, file, &b);
	rest = str_trim(buf_str(&b));
	while (str_next(&rest, ' ', &w))
		found |= str_eq(w, word);
	buf_free(&b);
	return found;
}

/* Short, the same for each of our calls, another for other state directories: ids are unique by Server only. */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static void place(struct cgroup *cgroup, int i, const char *top, const char *name, bool v2)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s/" PARENT "/%s", top, name);
	cgroup->at[i].top = mem_dup(top);
	cgroup->at[i].dir = buf_take(&b);
	cgroup->at[i].v2 = v2;
	cgroup->at[i].enabled = true;
}

static int read_proc(const char *root, const char *file, size_t max, struct buf *b, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "%s/proc/self/%s", root, file);
	rc = file_read(buf_cstr(&path), max, b, e);
	buf_free(&path);
	return rc;
}

static const char *const v2_names[] = { "cpu", "memory", "pids" };

static void place_all(struct cgroup *cgroup, const char *root, struct cgroup_mount mount[CGROUP_N],
                      const char *name)
{
	char *unified = mount[CGROUP_UNIFIED].dir ? find_top(root, &mount[CGROUP_UNIFIED]) : NULL;

	if (unified) {
		struct buf own = { 0 };

		place(cgroup, CGROUP_UNIFIED, unified, name, true);
		buf_addf(&own, "%s%s%s", root, mount[CGROUP_UNIFIED].dir,
		         mount[CGROUP_UNIFIED].own);
		cgroup->own_v2 = buf_take(&own);
		for (int i = CGROUP_CPU; i <= CGROUP_PIDS; i++)
			if (has_word(unified, "cgroup.controllers", v2_names[i]))
				place(cgroup, i, unified, name, true);
	}
	for (int i = CGROUP_CPU; i < CGROUP_UNIFIED; i++) {
		char *top = cgroup->at[i].top || !mount[i].dir ? NULL : find_top(root, &mount[i]);

		if (top)
			place(cgroup, i, top, name, false);
		free(top);
	}
	free(unified);
}

int cgroup_open(struct cgroup *cgroup, const char *root, const char *state_dir, const char *id,
                struct err *e)
{
	struct cgroup_mount mount[CGROUP_N] = { 0 };
	struct buf mountinfo = { 0 }, own = { 0 }, name = { 0 };
	char *real = realpath(state_dir, NULL);
	int rc = -1;

	*cgroup = (struct cgroup){ 0 };
	buf_addf(&name, "%08x-%s", hash(real ? real : state_dir), id);
	free(real);
	if (!str_is_id(str_of(id)))
		err_set(e, ERR_PARSE, 0, "\"%.100s\" is no id", id);
	else if (read_proc(root, "mountinfo", MOUNTINFO_MAX, &mountinfo, e) == 0)
		rc = read_proc(root, "cgroup", OWN_MAX, &own, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e); /* a kernel without them */
		rc = 0;
	} else if (rc == 0) {
		rc = cgroup_locate(buf_str(&mountinfo), buf_str(&own), mount, e);
	}
	if (rc == 0)
		place_all(cgroup, root, mount, buf_cstr(&name));
	cgroup_mounts_free(mount);
	buf_free(&mountinfo);
	buf_free(&own);
	buf_free(&name);
	return rc;
}

void cgroup_free(struct cgroup *cgroup)
{
	for (int i = 0; i < CGROUP_N; i++) {
		free(cgroup->at[i].top);
		free(cgroup->at[i].dir);
	}
	free(cgroup->own_v2);
	*cgroup = (struct cgroup){ 0 };
}

/* ---- groups ---- */

/* A group with processes in it cannot hand controllers on, and ours may be the only one that is ours: they go into a leaf. */
static void step_aside(const char *top)
{
	char *leaf = path_join(top, OWN_LEAF);

	(void)mkdir(leaf, 0755);
	for (int i = 0; i < MOVE_ROUNDS; i++) {
		struct buf procs = { 0 };
		struct str rest, pid;
		size_t moved = 0;

		cgroup_read(top, "cgroup.procs", &procs);
		rest = buf_str(&procs);
		while (str_next(&rest, '\n', &pid)) {
			char *text = mem_dupn(pid.p, pid.n);

			moved += pid.n && cgroup_write(leaf, "cgroup.procs", text) == 0;
			free(text);
		}
		buf_free(&procs);
		if (!moved)
			break;
	}
	free(leaf);
}

/* 0 or an errno. */
static int hand_on(const struct cgroup *cgroup, const char *dir, const char *controller)
{
	char word[16];
	int code;

	if (has_word(dir, "cgroup.subtree_control", controller))
		return 0;
	snprintf(word, sizeof(word), "+%s", controller);
	code = cgroup_write(dir, "cgroup.subtree_control", word);
	if (code == EBUSY && strcmp(dir, cgroup->own_v2) == 0) {
		step_aside(dir);
		code = cgroup_write(dir, "cgroup.subtree_control", word);
	}
	return code;
}

/* The group of one controller; the parent may be removed by another workspace's end at any moment. */
static int make_one(struct cgroup *cgroup, int i)
{
	char *parent = path_join(cgroup->at[i].top, PARENT);
	int code = ENOENT;

	for (int n = 0; code == ENOENT && n < MAKE_TRIES; n++) {
		code = mkdir(parent, 0755) < 0 && errno != EEXIST ? errno : 0;
		if (code == 0 && cgroup->at[i].v2 && i != CGROUP_UNIFIED) {
			code = hand_on(cgroup, cgroup->at[i].top, v2_names[i]);
			if (code == 0)
				code = hand_on(cgroup, parent, v2_names[i]);
		}
		if (code == 0 && mkdir(cgroup->at[i].dir, 0755) < 0 && errno != EEXIST)
			code = errno;
	}
	free(parent);
	return code;
}

/* A file of a v1 or v2 group, with a number or what stands for none. */
static int set(const struct cgroup *cgroup, int i, const char *name, int64_t value)
{
	char text[32];

	if (value > 0)
		snprintf(text, sizeof(text), "%lld", (long long)value);
	else
		snprintf(text, sizeof(text), "%s",
		         cgroup->at[i].v2 || i == CGROUP_PIDS ? "max" : "-1");
	return cgroup_write(cgroup->at[i].dir, name, text);
}

static int limit_cpu(const struct cgroup *cgroup, int64_t milli)
{
	int64_t quota = milli * (PERIOD_US / 1000);
	char text[64];
	int code;

	if (!cgroup->at[CGROUP_CPU].v2) {
		code = cgroup_write(cgroup->at[CGROUP_CPU].dir, "cpu.cfs_period_us", "100000");
		return code ? code : set(cgroup, CGROUP_CPU, "cpu.cfs_quota_us", quota);
	}
	if (milli > 0)
		snprintf(text, sizeof(text), "%lld %d", (long long)quota, PERIOD_US);
	else
		snprintf(text, sizeof(text), "max %d", PERIOD_US);
	return cgroup_write(cgroup->at[CGROUP_CPU].dir, "cpu.max", text);
}

/* Swap is no way around it, where the kernel counts swap. */
static int limit_memory(const struct cgroup *cgroup, int64_t bytes)
{
	static const char limit[] = "memory.limit_in_bytes", both[] = "memory.memsw.limit_in_bytes";
	const char *dir = cgroup->at[CGROUP_MEMORY].dir;
	int code;

	if (cgroup->at[CGROUP_MEMORY].v2) {
		code = set(cgroup, CGROUP_MEMORY, "memory.max", bytes);
		(void)cgroup_write(dir, "memory.swap.max", bytes > 0 ? "0" : "max");
		return code;
	}
	/* The second is never below the first, so what is raised is raised in the other order. */
	code = set(cgroup, CGROUP_MEMORY, limit, bytes);
	(void)set(cgroup, CGROUP_MEMORY, both, bytes);
	return code ? set(cgroup, CGROUP_MEMORY, limit, bytes) : 0;
}

static int limit_one(const struct cgroup *cgroup, const struct cgroup_limits *l, int i)
{
	if (i == CGROUP_CPU)
		return limit_cpu(cgroup, l->cpu_milli);
	if (i == CGROUP_MEMORY)
		return limit_memory(cgroup, l->memory_bytes);
	return set(cgroup, CGROUP_PIDS, "pids.max", l->pids);
}

/* ---- what is said ---- */

static void say_limit(const struct cgroup_limits *l, int i, struct buf *b)
{
	if (i == CGROUP_CPU)
		buf_addf(b, "CPUs %lld.%03lld", (long long)(l->cpu_milli / 1000),
		         (long long)(l->cpu_milli % 1000));
	else if (i == CGROUP_MEMORY)
		buf_addf(b, "Memory %lld MiB", (long long)(l->memory_bytes >> 20));
	else
		buf_addf(b, "Pids %lld", (long long)l->pids);
}

static void say_missing(const struct cgroup *cgroup, int i, bool own_ids, int code, struct buf *b)
{
	buf_adds(b, "not limited: ");
	if (code)
		buf_addf(b, "%s: %s", cgroup->at[i].dir, strerror(code));
	else
		buf_addf(b, "no control group for %s that this user may write%s", v2_names[i],
		         geteuid() == 0 ? "" : "; a service of the user has one (systemd)");
	if (i == CGROUP_MEMORY)
		buf_adds(b, "; the data of each process is limited instead");
	if (i == CGROUP_PIDS && own_ids)
		buf_adds(b, "; those of each user in it are limited instead");
}

static int64_t asked_for(const struct cgroup_limits *l, int i)
{
	return i == CGROUP_CPU ? l->cpu_milli : i == CGROUP_MEMORY ? l->memory_bytes : l->pids;
}

void cgroup_make(struct cgroup *cgroup, const struct cgroup_limits *l, bool own_ids,
                 struct cgroup_plan *plan)
{
	*plan = (struct cgroup_plan){ 0 };
	for (int i = 0; i < CGROUP_N; i++) {
		bool limit = i <= CGROUP_PIDS;
		int code = cgroup->at[i].enabled ? make_one(cgroup, i) : 0;

		if (cgroup->at[i].enabled && code == 0 && limit) {
			code = limit_one(cgroup, l, i);
			if (asked_for(l, i) <= 0)
				code = 0;
		}
		if (!limit || asked_for(l, i) <= 0)
			continue;
		say_limit(l, i, &plan->lines);
		if (cgroup->at[i].enabled && code == 0) {
			buf_addf(&plan->lines, ": control group of version %d\n",
			         cgroup->at[i].v2 ? 2 : 1);
			continue;
		}
		plan->missing |= 1u << i;
		buf_adds(&plan->lines, ": ");
		say_missing(cgroup, i, own_ids, code, &plan->lines);
		buf_addc(&plan->lines, '\n');
	}
}

void cgroup_plan_free(struct cgroup_plan *p)
{
	buf_free(&p->lines);
	*p = (struct cgroup_plan){ 0 };
}

static const struct rlimit *lowered(struct rlimit *r, int64_t value)
{
	if (r->rlim_max == RLIM_INFINITY || r->rlim_max > (rlim_t)value)
		r->rlim_max = (rlim_t)value;
	if (r->rlim_cur == RLIM_INFINITY || r->rlim_cur > r->rlim_max)
		r->rlim_cur = r->rlim_max;
	return r;
}

void cgroup_fall_back(pid_t pid, const struct cgroup_limits *l, bool own_ids, unsigned missing)
{
	struct rlimit r;

	if (missing & 1u << CGROUP_MEMORY && prlimit(pid, RLIMIT_DATA, NULL, &r) == 0)
		(void)prlimit(pid, RLIMIT_DATA, lowered(&r, l->memory_bytes), NULL);
	if (own_ids && missing & 1u << CGROUP_PIDS && prlimit(pid, RLIMIT_NPROC, NULL, &r) == 0)
		(void)prlimit(pid, RLIMIT_NPROC, lowered(&r, l->pids), NULL);
}

bool cgroup_exists(const struct cgroup *cgroup)
{
	for (int i = 0; i < CGROUP_N; i++)
		if (cgroup->at[i].dir && file_is_dir(cgroup->at[i].dir))
			return true;
	return false;
}

int cgroup_put(const struct cgroup *cgroup, pid_t pid, struct err *e)
{
	char text[24];
	int rc = 0;

	snprintf(text, sizeof(text), "%ld", (long)pid);
	for (int i = 0; i < CGROUP_N; i++) {
		int code;

		if (!cgroup->at[i].dir || !file_is_dir(cgroup->at[i].dir))
			continue;
		code = cgroup_write(cgroup->at[i].dir, "cgroup.procs", text);
		if (code && rc == 0)
			rc = err_sys(e, code, "put process %s into %s", text, cgroup->at[i].dir);
	}
	return rc;
}
