/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: places out of made-up hosts, limits in made-up groups, and all of it on those of this machine. */
#include "sandbox/cgroup.h"

#include "base/file.h"
#include "base/spawn.h"
#include "tests/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define HANG_MS 120000 /* beyond this it hangs, on the busiest machine */

#define MOUNT(root, point, rest) "30 23 0:28 " root " " point " rw,relatime shared:7 - " rest "\n"
#define V1(name) MOUNT("/", "/cg/" name, "cgroup cgroup rw," name)
#define V2(point) MOUNT("/", point, "cgroup2 cgroup2 rw,nsdelegate")
#define OTHER "22 27 0:21 / /proc rw,relatime - proc proc rw\n"

/* ---- mountinfo and cgroup ---- */

static void places_are_parsed(void)
{
	static const struct {
		const char *mountinfo, *own;
		int which;
		const char *dir, *path;
	} rows[] = {
		{ OTHER V2("/cg"), "0::/a/b\n", CGROUP_UNIFIED, "/cg", "/a/b" },
		{ OTHER V2("/cg"), "0::/\n", CGROUP_UNIFIED, "/cg", "" },
		{ V1("memory") V1("pids"), "4:memory:/m\n3:pids:/\n0::/\n", CGROUP_MEMORY,
		  "/cg/memory", "/m" },
		{ V1("cpu,cpuacct"), "4:cpu,cpuacct:/m\n", CGROUP_CPU, "/cg/cpu,cpuacct", "/m" },
		{ V1("cpu,cpuacct"), "4:cpu,cpuacct:/m\n", CGROUP_CPUACCT, "/cg/cpu,cpuacct",
		  "/m" },
		/* A name that begins like another is another. */
		{ V1("cpuset"), "4:cpuset:/m\n", CGROUP_CPU, NULL, NULL },
		{ V1("name=systemd"), "1:name=systemd:/\n", CGROUP_CPU, NULL, NULL },
		/* Named by mountinfo, but not by cgroup. */
		{ V1("memory"), "0::/\n", CGROUP_MEMORY, NULL, NULL },
		/* A container sees its own part. */
		{ MOUNT("/docker/x", "/cg", "cgroup c rw,memory"), "4:memory:/docker/x\n",
		  CGROUP_MEMORY, "/cg", "" },
		{ MOUNT("/docker/x", "/cg", "cgroup c rw,memory"), "4:memory:/docker/x/y\n",
		  CGROUP_MEMORY, "/cg", "/y" },
		{ MOUNT("/docker/x", "/cg", "cgroup c rw,memory"), "4:memory:/docker/xy\n",
		  CGROUP_MEMORY, NULL, NULL },
		{ MOUNT("/docker/x", "/a", "cgroup c rw,memory")
		          MOUNT("/", "/b", "cgroup c rw,memory"),
		  "4:memory:/docker/z\n", CGROUP_MEMORY, "/b", "/docker/z" },
		/* Of another namespace. */
		{ V2("/cg"), "0::/../b\n", CGROUP_UNIFIED, NULL, NULL },
		{ V2("/cg/.."), "0::/b\n", CGROUP_UNIFIED, NULL, NULL },
		{ MOUNT("/", "/c\\040g", "cgroup2 c rw"), "0::/b\n", CGROUP_UNIFIED, "/c g", "/b" },
		{ MOUNT("/", "/c\\04", "cgroup2 c rw"), "0::/b\n", CGROUP_UNIFIED, NULL, NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct cgroup_mount at[CGROUP_N];
		struct err e = { 0 };

		TEST_ROW(i);
		if (!CHECK_INT(
			    cgroup_locate(str_of(rows[i].mountinfo), str_of(rows[i].own), at, &e),
			    0))
			continue;
		CHECK_STR(at[rows[i].which].dir, rows[i].dir);
		CHECK_STR(at[rows[i].which].own, rows[i].path);
		cgroup_mounts_free(at);
	}
}

static void malformed_lines_are_refused(void)
{
	static const struct {
		const char *mountinfo, *own;
	} rows[] = {
		{ "x\n", "0::/\n" },
		{ "30 23 0:28 / /cg rw,relatime cgroup2 c rw\n", "0::/\n" },
		{ "30 23 0:28 / /cg rw,relatime - cgroup2 c\n", "0::/\n" },
		{ V2("/cg"), "x\n" },
		{ V2("/cg"), "0:/\n" },
		{ V2("/cg"), "0::b\n" },
		{ V2("/cg"), "-1::/\n" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct cgroup_mount at[CGROUP_N];
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(cgroup_locate(str_of(rows[i].mountinfo), str_of(rows[i].own), at, &e),
		          -1);
		CHECK(e.kind == ERR_PARSE);
		CHECK(!at[CGROUP_UNIFIED].dir);
	}
}

/* ---- made-up hosts ---- */

static char root[TEST_PATH_SIZE];

static void put(const char *path, const char *text)
{
	char *full = path_join(root, path), *slash = strrchr(full, '/');
	struct err e;

	*slash = 0;
	CHECK(file_mkdirs(full, 0755, &e) == 0);
	*slash = '/';
	CHECK(file_replace(full, 0644, str_of(text), &e) == 0);
	free(full);
}

static bool is(const char *path, const char *text)
{
	char *full = path_join(root, path);
	struct buf b = { 0 };
	struct err e;
	bool same;

	(void)file_read(full, 4096, &b, &e);
	same = strncmp(buf_cstr(&b), text, strlen(text)) == 0;
	if (!same)
		fprintf(stderr, "  %s: %s\n", path, buf_cstr(&b));
	buf_free(&b);
	free(full);
	return same;
}

/* What the kernel puts into a group. */
static void group(const char *dir, const char *const *files)
{
	char path[TEST_PATH_SIZE];

	for (; *files; files++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *files);
		put(path, "");
	}
}

static const char *const files_v2[] = { "cgroup.procs", "cgroup.subtree_control",
	                                "cgroup.kill",  "cpu.max",
	                                "memory.max",   "memory.swap.max",
	                                "pids.max",     NULL };

static char name_of_group[64];

static void host(const char *mountinfo, const char *own)
{
	struct cgroup cgroup;
	struct err e;

	CHECK(test_mkdtemp(root));
	put("proc/self/mountinfo", mountinfo);
	put("proc/self/cgroup", own);
	/* The name is not to be known here, but has to be the same at each call. */
	put("cg/cgroup.procs", "");
	put("cg/cgroup.subtree_control", "");
	put("cg/cgroup.controllers", "cpuset cpu memory pids\n");
	put("cg/pids/cgroup.procs", "");
	put("cg/memory/cgroup.procs", "");
	put("cg/cpu/cgroup.procs", "");
	CHECK_INT(cgroup_open(&cgroup, root, "/", "w1", &e), 0);
	for (int i = 0; i < CGROUP_N; i++)
		if (cgroup.at[i].dir)
			snprintf(name_of_group, sizeof(name_of_group), "%s",
			         strrchr(cgroup.at[i].dir, '/') + 1);
	cgroup_free(&cgroup);
}

static const char *in_group(const char *top, const char *file)
{
	static char path[TEST_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/daytona-runner/%s%s%s", top, name_of_group,
	         *file ? "/" : "", file);
	return path;
}

static const struct cgroup_limits some = { 1500, 64 << 20, 99 };

static void limits_of_version_2(void)
{
	struct cgroup_plan plan;
	struct cgroup_usage u;
	struct cgroup cgroup;
	struct err e;

	host(V2("/cg"), "0::/system.slice/r.service\n");
	put("cg/system.slice/cgroup.procs", "");
	put("cg/system.slice/cgroup.subtree_control", "");
	put("cg/system.slice/r.service/cgroup.procs", "");
	put("cg/system.slice/r.service/cgroup.subtree_control", "");
	put("cg/daytona-runner/cgroup.subtree_control", "");
	group(in_group("cg", ""), files_v2);
	CHECK_INT(cgroup_open(&cgroup, root, "/", "w1", &e), 0);
	cgroup_make(&cgroup, &some, false, &plan);
	CHECK_INT(plan.missing, 0);
	CHECK(is("cg/daytona-runner/cgroup.subtree_control", "+"));
	CHECK(is(in_group("cg", "cpu.max"), "150000 100000"));
	CHECK(is(in_group("cg", "memory.max"), "67108864"));
	CHECK(is(in_group("cg", "memory.swap.max"), "0"));
	CHECK(is(in_group("cg", "pids.max"), "99"));
	CHECK(strstr(buf_cstr(&plan.lines), "CPUs 1.500: control group of version 2\n"));
	cgroup_plan_free(&plan);
	CHECK(cgroup_exists(&cgroup));
	CHECK_INT(cgroup_put(&cgroup, 4711, &e), 0);
	CHECK(is(in_group("cg", "cgroup.procs"), "4711"));

	put(in_group("cg", "memory.current"), "5000\n");
	put(in_group("cg", "memory.stat"), "anon 5\ninactive_file_x 1\ninactive_file 1000\n");
	put(in_group("cg", "cpu.stat"), "usage_usec 77\nuser_usec 70\n");
	put(in_group("cg", "memory.events"), "low 0\noom 3\noom_kill 2\n");
	put(in_group("cg", "pids.current"), "7\n");
	cgroup_usage(&cgroup, &u);
	CHECK_INT(u.memory_bytes, 4000);
	CHECK_INT(u.cpu_us, 77);
	CHECK_INT(u.oom_kills, 2);
	CHECK_INT(u.pids, 7);
	CHECK_INT(u.pids_refused, -1);
	cgroup_free(&cgroup);
}

static void limits_of_version_1(void)
{
	static const char *const memory[] = { "cgroup.procs", "memory.limit_in_bytes",
		                              "memory.memsw.limit_in_bytes", NULL };
	static const char *const pids[] = { "cgroup.procs", "pids.max", NULL };
	struct cgroup_plan plan;
	struct cgroup_usage u;
	struct cgroup cgroup;
	struct err e;

	/* Hybrid: version 2 without a controller, and no "cpu" at all. */
	host(V1("memory") V1("pids") MOUNT("/", "/v2", "cgroup2 c rw"),
	     "4:memory:/\n3:pids:/\n0::/\n");
	put("v2/cgroup.procs", "");
	put("v2/cgroup.subtree_control", "");
	put("v2/cgroup.controllers", "\n");
	put(in_group("v2", "cgroup.procs"), "");
	group(in_group("cg/memory", ""), memory);
	group(in_group("cg/pids", ""), pids);
	CHECK_INT(cgroup_open(&cgroup, root, "/", "w1", &e), 0);
	cgroup_make(&cgroup, &some, true, &plan);
	CHECK_INT(plan.missing, 1u << CGROUP_CPU);
	CHECK(strstr(buf_cstr(&plan.lines), "CPUs 1.500: not limited: no control group for cpu"));
	CHECK(strstr(buf_cstr(&plan.lines), "Pids 99: control group of version 1\n"));
	CHECK(is(in_group("cg/memory", "memory.limit_in_bytes"), "67108864"));
	CHECK(is(in_group("cg/memory", "memory.memsw.limit_in_bytes"), "67108864"));
	CHECK(is(in_group("cg/pids", "pids.max"), "99"));
	cgroup_plan_free(&plan);
	CHECK_INT(cgroup_put(&cgroup, 4711, &e), 0);
	CHECK(is(in_group("v2", "cgroup.procs"), "4711"));
	CHECK(is(in_group("cg/pids", "cgroup.procs"), "4711"));
	put(in_group("cg/memory", "memory.oom_control"),
	    "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
	cgroup_usage(&cgroup, &u);
	CHECK_INT(u.oom_kills, 5);
	put(in_group("cg/memory", "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\n");
	put(in_group("cg/memory", "memory.failcnt"), "8\n");
	cgroup_usage(&cgroup, &u);
	CHECK_INT(u.oom_kills, 8);
	CHECK_INT(u.cpu_us, -1);
	cgroup_free(&cgroup);

	/* A limit that the group does not take is one that is missing. */
	{
		char *gone = path_join(root, in_group("cg/pids", "pids.max"));

		CHECK(unlink(gone) == 0);
		free(gone);
	}
	CHECK_INT(cgroup_open(&cgroup, root, "/", "w1", &e), 0);
	cgroup_make(&cgroup, &some, true, &plan);
	CHECK_INT(plan.missing, 1u << CGROUP_CPU | 1u << CGROUP_PIDS);
	CHECK(strstr(buf_cstr(&plan.lines), "those of each user in it are limited instead"));
	cgroup_plan_free(&plan);
	cgroup_free(&cgroup);
}

static void no_groups_are_no_error(void)
{
	struct cgroup_plan plan;
	struct cgroup cgroup;
	struct err e = { 0 };

	CHECK(test_mkdtemp(root));
	CHECK_INT(cgroup_open(&cgroup, root, "/", "w1", &e), 0);
	cgroup_make(&cgroup, &some, false, &plan);
	CHECK_INT(plan.missing, 1u << CGROUP_CPU | 1u << CGROUP_MEMORY | 1u << CGROUP_PIDS);
	CHECK(!cgroup_exists(&cgroup));
	CHECK_INT(cgroup_put(&cgroup, getpid(), &e), 0);
	CHECK_INT(cgroup_end(&cgroup, DEADLINE_PAST, &e), 0);
	cgroup_plan_free(&plan);
	cgroup_free(&cgroup);
	CHECK_INT(cgroup_open(&cgroup, root, "/", "../w1", &e), -1);
	CHECK_INT(cgroup_open(&cgroup, root, "/", "", &e), -1);
}

/* ---- this machine ---- */

static void sleeps(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

/* Children until there are no more, each of which goes on. */
static void forks(void *arg)
{
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		if (pid == 0)
			sleeps(NULL);
		if (pid < 0)
			*(volatile int *)arg = i;
	}
	sleeps(NULL);
}

static char *volatile eaten; /* else a compiler leaves it all out */

static void eats(void *arg)
{
	(void)arg;
	for (;;) {
		eaten = malloc(1 << 20);
		if (eaten)
			memset(eaten, 1, 1 << 20);
	}
}

struct later {
	void (*work)(void *);
	void *arg;
};

static void when_told(void *arg)
{
	const struct later *l = arg;
	char c;

	if (read(0, &c, 1) == 1)
		l->work(l->arg);
}

/* It begins once it is in the group. */
static bool runs(const struct cgroup *cgroup, void (*work)(void *), void *arg, struct spawned *p)
{
	struct later l = { work, arg };
	struct err e;
	int fds[2];
	bool ok = false;

	if (!CHECK(pipe2(fds, O_CLOEXEC) == 0))
		return false;
	if (CHECK(spawn_start(&(struct spawn){ .work = when_told,
	                                       .arg = &l,
	                                       .std = { fds[0], SPAWN_OURS, SPAWN_OURS },
	                                       .death_signal = SIGKILL },
	                      deadline_in_ms(HANG_MS), p, &e) == 0)) {
		ok = CHECK_INT(cgroup_put(cgroup, p->pid, &e), 0) &&
		     CHECK(write(fds[1], "x", 1) == 1);
		if (!ok)
			spawn_end(p);
	}
	close(fds[0]);
	close(fds[1]);
	return ok;
}

static bool real_group(struct cgroup *cgroup, const struct cgroup_limits *l, int needed)
{
	struct cgroup_plan plan;
	struct err e;
	bool ok;

	CHECK_INT(cgroup_open(cgroup, "", test_tmp(), "unit", &e), 0);
	cgroup_make(cgroup, l, false, &plan);
	ok = cgroup_exists(cgroup) && !(plan.missing & 1u << needed) && cgroup->at[needed].dir;
	if (!ok) {
		TEST_SKIP(plan.lines.n ? buf_cstr(&plan.lines)
		                       : "no control groups that we may write");
		CHECK_INT(cgroup_end(cgroup, deadline_in_ms(HANG_MS), &e), 0);
		cgroup_free(cgroup);
	}
	cgroup_plan_free(&plan);
	return ok;
}

static void what_is_in_a_group_is_ended(void)
{
	struct cgroup_limits l = { 500, 256 << 20, 64 };
	struct cgroup cgroup, again;
	struct spawned p;
	struct err e;
	int status = 0;

	if (!real_group(&cgroup, &l, CGROUP_PIDS))
		return;
	if (runs(&cgroup, sleeps, NULL, &p)) {
		/* Found again by id alone; another id and another state directory have others. */
		CHECK_INT(cgroup_open(&again, "", test_tmp(), "unit", &e), 0);
		CHECK(cgroup_exists(&again));
		CHECK_INT(cgroup_end(&again, deadline_in_ms(HANG_MS), &e), 0);
		CHECK(!cgroup_exists(&again) && !cgroup_exists(&cgroup));
		CHECK_INT(cgroup_end(&again, deadline_in_ms(HANG_MS), &e), 0);
		cgroup_free(&again);
		CHECK(spawn_collect(&p, &status));
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	cgroup_free(&cgroup);
}

static void a_fork_bomb_is_bounded(void)
{
	struct cgroup_limits l = { .pids = 20 };
	struct cgroup_usage u;
	struct cgroup cgroup;
	struct spawned p;
	struct err e;
	volatile int *stopped = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!CHECK(stopped != MAP_FAILED) || !real_group(&cgroup, &l, CGROUP_PIDS))
		return;
	*stopped = -1;
	if (runs(&cgroup, forks, (void *)(uintptr_t)stopped, &p)) {
		struct deadline d = deadline_in_ms(HANG_MS);

		while (*stopped < 0 && !deadline_passed(d))
			usleep(1000);
		CHECK(*stopped >= 0);
		cgroup_usage(&cgroup, &u);
		CHECK(u.pids > 1 && u.pids <= 20);
		CHECK(u.pids_refused != 0);
		CHECK_INT(cgroup_end(&cgroup, deadline_in_ms(HANG_MS), &e), 0);
		spawn_end(&p);
	}
	munmap((void *)(uintptr_t)stopped, sizeof(int));
	CHECK_INT(cgroup_end(&cgroup, deadline_in_ms(HANG_MS), &e), 0);
	cgroup_free(&cgroup);
}

static void out_of_memory_is_seen(void)
{
	struct cgroup_limits l = { .memory_bytes = 64 << 20 };
	struct cgroup_usage u;
	struct cgroup cgroup;
	struct spawned p;
	struct err e;
	int status = 0;

	if (!real_group(&cgroup, &l, CGROUP_MEMORY))
		return;
	cgroup_usage(&cgroup, &u);
	CHECK_INT(u.oom_kills, 0);
	if (runs(&cgroup, eats, NULL, &p)) {
		struct deadline d = deadline_in_ms(HANG_MS);

		while (spawn_look(&p) == SPAWN_RUNS && !deadline_passed(d))
			usleep(1000);
		cgroup_usage(&cgroup, &u);
		CHECK(u.oom_kills > 0);
		spawn_signal(&p, SIGKILL);
		CHECK(spawn_collect(&p, &status));
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	CHECK_INT(cgroup_end(&cgroup, deadline_in_ms(HANG_MS), &e), 0);
	cgroup_free(&cgroup);
}

static int lowered(void)
{
	struct rlimit data, nproc;

	cgroup_fall_back(0, &some, true, 1u << CGROUP_MEMORY | 1u << CGROUP_PIDS);
	if (getrlimit(RLIMIT_DATA, &data) < 0 || getrlimit(RLIMIT_NPROC, &nproc) < 0)
		return 1;
	if (data.rlim_cur > (rlim_t)some.memory_bytes || data.rlim_max > (rlim_t)some.memory_bytes)
		return 2;
	return nproc.rlim_max > (rlim_t)some.pids ? 3 : 0;
}

static void own_limits_stand_in(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(lowered());
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
}

TEST_MAIN(TEST(places_are_parsed), TEST(malformed_lines_are_refused), TEST(limits_of_version_2),
          TEST(limits_of_version_1), TEST(no_groups_are_no_error), TEST(own_limits_stand_in),
          TEST(what_is_in_a_group_is_ended), TEST(a_fork_bomb_is_bounded),
          TEST(out_of_memory_is_seen))
