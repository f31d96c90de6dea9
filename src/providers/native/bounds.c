/* SPDX-License-Identifier: Apache-2.0 */
/* See bounds.h. */
#include "providers/native/bounds.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proc_stat.h"
#include "base/spawn.h"
#include "sandbox/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DISK_LOOK_MS 10000
#define DISK_SHARE 20 /* looking takes one part in so many of the time */
#define DISK_WALK_MS 60000

/* <state_dir>/workspaces/<id>, or of a build. */
static int open_group(struct cgroup *cgroup, const struct native_paths *p, struct err *e)
{
	const char *id = strrchr(p->root, '/');
	const char *parent = memrchr(p->root, '/', (size_t)(id - p->root));
	char *state_dir = mem_dupn(p->root, (size_t)(parent - p->root));
	int rc = cgroup_open(cgroup, "", state_dir, id + 1, e);

	free(state_dir);
	return rc;
}

/* ---- disk ---- */

int native_bounds_disk(const struct native_call *c, struct err *e)
{
	struct err why = { 0 };

	if (disk_limit(c->paths.root, c->options.disk_bytes, &why) == 0)
		return 0;
	if (c->options.strict) {
		*e = why;
		return err_wrap(e, "Disk");
	}
	provider_logf(
		c->env,
		"limit Disk %lld MiB: %s; each file is limited to it, and the whole is looked "
		"at every %d s, instead",
		(long long)(c->options.disk_bytes >> 20), why.msg, DISK_LOOK_MS / 1000);
	return 0;
}

void native_bounds_free_disk(const struct native_paths *p)
{
	disk_unlimit(p->root);
}

struct disk_watch {
	struct proc_id first;
	const char *root, *log;
	int64_t limit, grace_ms;
};

static void say_full(const struct disk_watch *w, int64_t bytes)
{
	int fd = open(w->log, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	struct buf b = { 0 };
	struct err ignored;

	buf_addf(
		&b,
		"The workspace was ended: it takes %lld MiB of the disk, and may take %lld (option "
		"Disk)\n",
		(long long)(bytes >> 20), (long long)(w->limit >> 20));
	if (fd >= 0)
		(void)file_write_all(fd, buf_str(&b), w->log, &ignored);
	fd_close(&fd);
	buf_free(&b);
}

/* A process of its own, for as long as the workspace runs. */
static void watch_disk(void *arg)
{
	const struct disk_watch *w = arg;
	struct pollfd fd = { .fd = proc_pidfd(w->first.pid), .events = POLLIN };
	int64_t wait = DISK_LOOK_MS;

	while (proc_alive(w->first)) {
		int64_t began = clock_mono_ms(), bytes = 0, took;
		struct err ignored;
		bool whole;

		if (disk_usage(w->root, w->limit, deadline_in_ms(DISK_WALK_MS), &bytes, &whole,
		               &ignored) == 0 &&
		    bytes > w->limit) {
			say_full(w, bytes);
			proc_signal(w->first, SIGTERM);
			poll(&fd, 1, (int)w->grace_ms);
			proc_signal(w->first, SIGKILL);
			return;
		}
		took = clock_mono_ms() - began;
		wait = took * DISK_SHARE > DISK_LOOK_MS ? took * DISK_SHARE : DISK_LOOK_MS;
		poll(&fd, fd.fd >= 0, (int)wait);
	}
}

static void limit_files(pid_t pid, int64_t bytes)
{
	struct rlimit r = { (rlim_t)bytes, (rlim_t)bytes };

	(void)prlimit(pid, RLIMIT_FSIZE, &r, NULL);
}

static int start_watch(const struct native_bounds *b, struct proc_id first, struct err *e)
{
	const struct native_call *c = b->c;
	struct disk_watch w = { .first = first,
		                .root = c->paths.root,
		                .log = c->paths.log,
		                .limit = c->options.disk_bytes,
		                .grace_ms = c->options.grace_ms };
	struct spawned p;

	limit_files(first.pid, w.limit);
	if (spawn_start(&(struct spawn){ .work = watch_disk, .arg = &w, .lead = SPAWN_SESSION },
	                DEADLINE_NEVER, &p, e) < 0)
		return -1;
	spawn_forget(&p);
	return 0;
}

/* ---- groups ---- */

static bool any_limit(const struct cgroup_limits *l)
{
	return l->cpu_milli || l->memory_bytes || l->pids;
}

static unsigned all_of(const struct cgroup_limits *l)
{
	return (l->cpu_milli ? 1u << CGROUP_CPU : 0) | (l->memory_bytes ? 1u << CGROUP_MEMORY : 0) |
	       (l->pids ? 1u << CGROUP_PIDS : 0);
}

/* By the groups that are there. */
static unsigned kept(const struct cgroup *cgroup)
{
	unsigned bits = 0;

	for (unsigned i = CGROUP_CPU; i <= CGROUP_PIDS; i++)
		if (cgroup->at[i].dir && file_is_dir(cgroup->at[i].dir))
			bits |= 1u << i;
	return bits;
}

static int say_plan(struct native_bounds *b, const struct cgroup_plan *plan, struct err *e)
{
	struct str rest = buf_str(&plan->lines), line;

	while (str_next(&rest, '\n', &line)) {
		if (!line.n)
			continue;
		if (b->c->options.strict && str_find(line, ": not limited: "))
			return err_set(e, ERR_UNSUPPORTED, 0, "limit %.*s", STR_ARG(line));
		provider_logf(b->c->env, "limit %.*s", STR_ARG(line));
	}
	return 0;
}

int native_bounds_open(struct native_bounds *b, const struct native_call *c, bool boxed,
                       struct err *e)
{
	const struct cgroup_limits *l = &c->options.limits;
	struct cgroup_plan plan;
	int64_t limit;
	int rc;

	*b = (struct native_bounds){ .c = c, .boxed = boxed };
	b->watch_disk = c->options.disk_bytes && !disk_limited(c->paths.root, &limit);
	if (!boxed && !any_limit(l))
		return 0;
	if (open_group(&b->cgroup, &c->paths, e) < 0)
		return -1;
	cgroup_make(&b->cgroup, l, boxed, &plan);
	b->missing = plan.missing;
	rc = say_plan(b, &plan, e);
	cgroup_plan_free(&plan);
	return rc;
}

void native_bounds_close(struct native_bounds *b)
{
	cgroup_free(&b->cgroup);
	*b = (struct native_bounds){ 0 };
}

int native_bounds_admit(struct native_bounds *b, struct proc_id first, struct err *e)
{
	const struct native_options *o = &b->c->options;
	struct err why = { 0 };

	if (cgroup_put(&b->cgroup, first.pid, &why) < 0) {
		if (o->strict) {
			*e = why;
			return -1;
		}
		b->missing = all_of(&o->limits);
		if (b->missing)
			provider_logf(b->c->env, "limits are not kept: %s", why.msg);
	}
	cgroup_fall_back(first.pid, &o->limits, b->boxed, b->missing);
	return b->watch_disk ? start_watch(b, first, e) : 0;
}

int native_bounds_join(const struct native_paths *p, const struct native_options *o, bool boxed,
                       pid_t pid, struct err *e)
{
	struct cgroup cgroup;
	struct err why = { 0 };
	unsigned missing;
	int64_t limit;
	int rc = open_group(&cgroup, p, e);

	missing = all_of(&o->limits) & ~kept(&cgroup);
	/* An ordinary user has the groups of his services, but cannot go there from a login session. */
	if (rc == 0 && cgroup_put(&cgroup, pid, &why) < 0) {
		missing = all_of(&o->limits);
		if (o->strict) {
			*e = why;
			rc = -1;
		}
	}
	if (rc == 0)
		cgroup_fall_back(pid, &o->limits, boxed, missing);
	if (rc == 0 && o->disk_bytes && !disk_limited(p->root, &limit))
		limit_files(pid, o->disk_bytes);
	cgroup_free(&cgroup);
	return rc;
}

bool native_bounds_usage(const struct native_paths *p, struct cgroup_usage *u)
{
	struct cgroup cgroup;
	struct err ignored;
	bool there = open_group(&cgroup, p, &ignored) == 0 && cgroup_exists(&cgroup);

	if (there)
		cgroup_usage(&cgroup, u);
	cgroup_free(&cgroup);
	return there;
}

void native_bounds_tell(const struct provider_env *env, const struct native_paths *p)
{
	struct cgroup_usage u;

	if (!native_bounds_usage(p, &u))
		return;
	if (u.oom_kills > 0)
		provider_logf(env, "out of memory: %lld processes were ended (option Memory)",
		              (long long)u.oom_kills);
	if (u.pids_refused > 0)
		provider_logf(env, "too many processes: %lld were not started (option Pids)",
		              (long long)u.pids_refused);
}

int native_bounds_end(const struct native_paths *p, struct deadline d, struct err *e)
{
	struct cgroup cgroup;
	int rc = open_group(&cgroup, p, e);

	if (rc == 0)
		rc = cgroup_end(&cgroup, d, e);
	cgroup_free(&cgroup);
	return rc;
}
