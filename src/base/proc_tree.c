/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See proc.h: proc_descendants and proc_end_tree. A process is known by its parent or, since both
 * pass to descendants, by the leader of its session or group. Before SIGTERM and SIGKILL all are
 * stopped until a walk finds no new one: what is stopped cannot fork, nor leave its children to others.
 */
#include "base/mem.h"
#include "base/proc.h"
#include "base/proc_stat.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FREEZE_ROUNDS_MAX 200
#define WAIT_MIN_MS 5
#define WAIT_MAX_MS 100

struct member {
	struct proc_stat stat; /* as last seen; gone once it is not there any more */
	int sent;              /* the last signal: 0, SIGSTOP, SIGTERM, SIGKILL */
};

struct tree {
	struct member *v;
	size_t n, cap;
	struct proc_stat *seen; /* all processes of the last walk, by pid */
	bool *mine;             /* for each of seen */
	size_t n_seen;
	pid_t never; /* not to be taken in; 0: none */
};

static void tree_free(struct tree *t)
{
	free(t->v);
	free(t->seen);
	free(t->mine);
	*t = (struct tree){ 0 };
}

static void tree_add(struct tree *t, struct proc_stat s)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->v = mem_realloc(t->v, t->cap * sizeof(*t->v));
	}
	t->v[t->n++] = (struct member){ .stat = s };
}

static int by_pid(const void *a, const void *b)
{
	const struct proc_stat *stat = a, *y = b;

	return (stat->id.pid > y->id.pid) - (stat->id.pid < y->id.pid);
}

static size_t find_seen(const struct tree *t, pid_t pid)
{
	struct proc_stat key = { .id = { .pid = pid } };
	const struct proc_stat *at = NULL;

	if (t->n_seen)
		at = bsearch(&key, t->seen, t->n_seen, sizeof(key), by_pid);
	return at ? (size_t)(at - t->seen) : SIZE_MAX;
}

static int walk(struct tree *t, struct err *e)
{
	DIR *dir = opendir("/proc");
	struct dirent *ent;
	size_t cap = 0;

	free(t->seen);
	free(t->mine);
	t->seen = NULL;
	t->n_seen = 0;
	while (dir && (ent = readdir(dir)) != NULL) {
		int64_t pid;

		if (!str_to_i64(str_of(ent->d_name), 1, INT_MAX, &pid))
			continue;
		if (t->n_seen == cap) {
			cap = cap ? cap * 2 : 128;
			t->seen = mem_realloc(t->seen, cap * sizeof(*t->seen));
		}
		if (proc_stat_read((pid_t)pid, &t->seen[t->n_seen]))
			t->n_seen++;
	}
	t->mine = mem_array(t->n_seen, sizeof(*t->mine));
	if (!dir)
		return err_sys(e, errno, "list /proc");
	closedir(dir);
	if (t->n_seen)
		qsort(t->seen, t->n_seen, sizeof(*t->seen), by_pid);
	return 0;
}

/* Marks what is a member already, and what is gone of the members. */
static void refresh(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct member *member = &t->v[i];
		size_t at = find_seen(t, member->stat.id.pid);

		if (member->stat.gone)
			continue;
		if (at >= t->n_seen || t->seen[at].id.start != member->stat.id.start) {
			/* A walk is no snapshot: who was not met is looked up before he counts as gone, since nobody
			 * would look at him again. */
			struct proc_stat now;

			if (proc_stat_read(member->stat.id.pid, &now) &&
			    now.id.start == member->stat.id.start)
				member->stat = now;
			else
				member->stat.gone = true;
			continue;
		}
		member->stat = t->seen[at];
		t->mine[at] = true;
	}
}

enum relation { BY_PARENT, BY_GROUP, BY_SESSION };

static pid_t relative(const struct proc_stat *s, enum relation r)
{
	return r == BY_PARENT ? s->ppid : r == BY_GROUP ? s->pgid : s->sid;
}

/* Whether stat_m may be the one that s names so: not younger, and the leader that a leader must be. */
static bool fits(const struct proc_stat *stat_m, const struct proc_stat *s, enum relation r)
{
	return stat_m->id.start <= s->id.start &&
	       (r == BY_PARENT || relative(stat_m, r) == stat_m->id.pid);
}

static bool belongs(const struct tree *t, const struct proc_stat *s, enum relation r)
{
	pid_t pid = relative(s, r);
	size_t at = find_seen(t, pid);

	if (at != SIZE_MAX && !t->seen[at].gone)
		return t->mine[at] && fits(&t->seen[at], s, r);
	for (size_t i = 0; i < t->n; i++) { /* it may have ended meanwhile */
		if (t->v[i].stat.id.pid == pid && fits(&t->v[i].stat, s, r))
			return true;
	}
	return false;
}

/* Walks /proc once and takes in what belongs; returns how many were new, or -1. */
static long tree_scan(struct tree *t, struct err *e)
{
	size_t before = t->n;
	bool again = true;

	if (walk(t, e) < 0)
		return -1;
	refresh(t);
	while (again) {
		again = false;
		for (size_t i = 0; i < t->n_seen; i++) {
			const struct proc_stat *s = &t->seen[i];

			if (t->mine[i] || s->gone || s->id.pid == t->never || s->id.pid == 1)
				continue;
			if (!belongs(t, s, BY_PARENT) && !belongs(t, s, BY_GROUP) &&
			    !belongs(t, s, BY_SESSION))
				continue;
			t->mine[i] = true;
			tree_add(t, *s);
			again = true;
		}
	}
	return (long)(t->n - before);
}

size_t proc_descendants(pid_t root, struct proc_id **out)
{
	struct tree t = { 0 };
	struct proc_stat s;
	struct err e = { 0 };
	size_t n = 0;

	*out = NULL;
	if (proc_stat_read(root, &s) && !s.gone) {
		tree_add(&t, s);
		tree_scan(&t, &e);
		*out = mem_array(t.n, sizeof(**out));
		for (size_t i = 1; i < t.n; i++)
			(*out)[n++] = t.v[i].stat.id;
	}
	tree_free(&t);
	return n;
}

static size_t living(const struct tree *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += !t->v[i].stat.gone;
	return n;
}

/* Sends sig to each that has not got it; what stands still and is asked to end must go on for that. */
static void send_new(struct tree *t, int sig)
{
	for (size_t i = 0; i < t->n; i++) {
		struct member *member = &t->v[i];
		bool still = member->stat.stopped || member->sent == SIGSTOP;

		if (member->stat.gone || member->sent == sig)
			continue;
		member->sent = sig;
		proc_signal(member->stat.id, sig);
		if (sig == SIGTERM && still)
			proc_signal(member->stat.id, SIGCONT);
	}
}

static void nap(int64_t *ms, struct deadline d)
{
	int64_t left = deadline_left_ms(d);
	int64_t t = *ms < left ? *ms : left;

	usleep((useconds_t)(t * 1000));
	if (*ms < WAIT_MAX_MS)
		*ms *= 2;
}

static int freeze(struct tree *t, struct deadline d, struct err *e)
{
	for (int round = 0; round < FREEZE_ROUNDS_MAX; round++) {
		long found = tree_scan(t, e);

		if (found < 0)
			return -1;
		if (round > 0 && found == 0)
			break;
		send_new(t, SIGSTOP);
		if (deadline_passed(d))
			break;
	}
	return 0;
}

/* SIGTERM to all, also to those that appear, until none is left (1) or the time is over (0). */
static int terminate(struct tree *t, struct deadline d, struct err *e)
{
	int64_t ms = WAIT_MIN_MS;

	if (deadline_passed(d))
		return 0;
	if (freeze(t, d, e) < 0)
		return -1;
	for (;;) {
		send_new(t, SIGTERM);
		if (tree_scan(t, e) < 0)
			return -1;
		if (!living(t))
			return 1;
		if (deadline_passed(d))
			return 0;
		nap(&ms, d);
	}
}

static int report_left(const struct tree *t, struct err *e)
{
	struct buf b = { 0 };
	size_t named_pids = 0;

	for (size_t i = 0; i < t->n && named_pids < 5; i++) {
		if (!t->v[i].stat.gone)
			buf_addf(&b, "%s%ld", named_pids++ ? ", " : "", (long)t->v[i].stat.id.pid);
	}
	err_set(e, ERR_TIMEOUT, 0, "%zu processes do not end, among them %s", living(t),
	        buf_cstr(&b));
	buf_free(&b);
	return -1;
}

static int kill_all(struct tree *t, struct deadline d, struct err *e)
{
	int64_t ms = WAIT_MIN_MS;

	for (;;) {
		if (freeze(t, d, e) < 0)
			return -1;
		if (!living(t))
			return 0;
		send_new(t, SIGKILL);
		if (deadline_passed(d))
			break;
		nap(&ms, d);
	}
	usleep(WAIT_MAX_MS * 1000); /* what was killed last needs a moment to be gone */
	if (tree_scan(t, e) < 0)
		return -1;
	return living(t) ? report_left(t, e) : 0;
}

int proc_end_tree(const struct proc_id *ids, size_t n, int64_t grace_ms, struct deadline d,
                  struct err *e)
{
	struct tree t = { .never = getpid() };
	int rc;

	for (size_t i = 0; i < n; i++) {
		struct proc_stat s;

		if (ids[i].pid != t.never && proc_stat_read(ids[i].pid, &s) &&
		    s.id.start == ids[i].start)
			tree_add(&t, s);
	}
	rc = terminate(&t, deadline_min(d, deadline_in_ms(grace_ms)), e);
	if (rc == 0)
		rc = kill_all(&t, d, e);
	tree_free(&t);
	return rc < 0 ? -1 : 0;
}
