/* SPDX-License-Identifier: Apache-2.0 */
/* A confined process cannot look into others or signal them, and works on files as before. */
#include "base/confine.h"

#include "base/file.h"
#include "base/proc.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77

static bool have_landlock;

static bool can_read(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool moves_between_directories(void)
{
	char dir[] = "/tmp/test-confine-XXXXXX";
	char a[64], b[64], from[80], to[80];
	struct err e = { 0 };
	bool ok;

	if (!mkdtemp(dir))
		return false;
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	snprintf(from, sizeof(from), "%s/f", a);
	snprintf(to, sizeof(to), "%s/g", b);
	ok = file_mkdirs(a, 0700, &e) == 0 && file_mkdirs(b, 0700, &e) == 0 &&
	     file_replace(from, 0600, STR_LIT("x"), &e) == 0 && rename(from, to) == 0;
	return file_remove_tree(dir, &e) == 0 && ok;
}

/* What fails in the confined child, as a bit each; SKIPPED without Landlock. */
static int in_child(pid_t parent)
{
	/* Root may read environments by a capability that it loses with the next exec. */
	const char *what = geteuid() == 0 ? "mem" : "environ";
	int wrong = 0;

	if (!can_read(parent, what) || kill(parent, 0) < 0)
		return 32; /* the comparison would mean nothing */
	if (!confine_self())
		return SKIPPED;
	wrong |= can_read(parent, what) ? 1 : 0;
	wrong |= can_read(getpid(), what) ? 0 : 2;
	wrong |= moves_between_directories() ? 0 : 4;
	wrong |= kill(getpid(), 0) == 0 ? 0 : 8;
	return wrong;
}

static void other_processes_are_out_of_reach(void)
{
	pid_t parent = getpid(), pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(in_child(parent));
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED)
		printf("this kernel has no Landlock: not tested\n");
	else
		CHECK_INT(WEXITSTATUS(status), 0);
	have_landlock = WEXITSTATUS(status) != SKIPPED;
}

static void take(void *arg, struct str bytes)
{
	buf_add_str(arg, bytes);
}

static void confined_programs_run(void)
{
	const char *const argv[] = {
		"sh", "-c", "cat /proc/$PPID/environ >/dev/null 2>&1 && echo read || echo refused",
		NULL
	};
	struct buf out = { 0 };
	struct err e = { 0 };
	struct proc_spawn s = { .argv = argv, .output = take, .arg = &out };
	int status = 1;

	CHECK(proc_run(&s, deadline_in_ms(20000), &status, &e) == 0);
	CHECK_STR(buf_cstr(&out), "read\n");
	buf_reset(&out);
	s.confined = true;
	CHECK(proc_run(&s, deadline_in_ms(20000), &status, &e) == 0);
	CHECK_INT(status, 0);
	if (have_landlock)
		CHECK_STR(buf_cstr(&out), "refused\n");
	buf_free(&out);
}

TEST_MAIN(TEST(other_processes_are_out_of_reach), TEST(confined_programs_run))
