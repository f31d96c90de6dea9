/* SPDX-License-Identifier: Apache-2.0 */
/* What a tree takes of a disk, and a quota of it on a file system made for the test. */
#include "sandbox/disk.h"

#include "base/file.h"
#include "base/proc.h"
#include "tests/test.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define MIB (1 << 20)

/* What could be written of it. */
static long long fill(const char *path, long long bytes)
{
	static char block[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	long long n = 0;

	memset(block, 'x', sizeof(block));
	while (fd >= 0 && n < bytes) {
		ssize_t k = write(fd, block, sizeof(block));

		if (k <= 0)
			break;
		n += k;
	}
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return n;
}

static void a_tree_is_measured(void)
{
	char dir[TEST_PATH_SIZE], path[TEST_PATH_SIZE + 16], other[TEST_PATH_SIZE + 16];
	int64_t bytes = 0;
	struct err e = { 0 };
	bool whole = false;

	CHECK(test_mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a", dir);
	CHECK(mkdir(path, 0700) == 0);
	snprintf(path, sizeof(path), "%s/a/f", dir);
	CHECK_INT(fill(path, 4 * MIB), 4 * MIB);
	CHECK_INT(disk_usage(dir, INT64_MAX, deadline_in_ms(20000), &bytes, &whole, &e), 0);
	CHECK(whole && bytes >= 4 * MIB && bytes < 5 * MIB);
	/* Another name is not another file, a link elsewhere is not followed. */
	snprintf(other, sizeof(other), "%s/g", dir);
	CHECK(link(path, other) == 0);
	snprintf(other, sizeof(other), "%s/root", dir);
	CHECK(symlink("/", other) == 0);
	CHECK_INT(disk_usage(dir, INT64_MAX, deadline_in_ms(20000), &bytes, &whole, &e), 0);
	CHECK(whole && bytes >= 4 * MIB && bytes < 5 * MIB);
	CHECK_INT(disk_usage(dir, MIB, deadline_in_ms(20000), &bytes, &whole, &e), 0);
	CHECK(!whole && bytes > MIB);
	CHECK_INT(disk_usage(dir, INT64_MAX, DEADLINE_PAST, &bytes, &whole, &e), 0);
	CHECK(!whole);
	CHECK_INT(disk_usage(other, INT64_MAX, deadline_in_ms(20000), &bytes, &whole, &e), -1);
	snprintf(path, sizeof(path), "%s/none", dir);
	CHECK_INT(disk_usage(path, INT64_MAX, deadline_in_ms(20000), &bytes, &whole, &e), -1);
	CHECK(e.kind == ERR_NOT_FOUND);
	CHECK_INT(disk_limit(path, MIB, &e), -1);
	disk_unlimit(path);
}

/* ---- a file system with project quotas ---- */

static bool shell(const char *script, const char *dir)
{
	const char *const argv[] = { "sh", "-c", script, "sh", dir, NULL };
	struct err e;
	int status = 1;

	return proc_run(&(struct proc_spawn){ .argv = argv }, deadline_in_ms(60000), &status, &e) ==
	               0 &&
	       status == 0;
}

/* As one whom the quota holds: root may pass it. */
static long long fill_as_nobody(const char *path, long long bytes)
{
	int fds[2];
	long long n = -1;
	pid_t pid;

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		n = setgid(65534) == 0 && setuid(65534) == 0 ? fill(path, bytes) : -1;
		_exit(write(fds[1], &n, sizeof(n)) == (ssize_t)sizeof(n) ? 0 : 1);
	}
	close(fds[1]);
	CHECK(read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n));
	close(fds[0]);
	CHECK(waitpid(pid, NULL, 0) == pid);
	return n;
}

static void check_quota(const char *at)
{
	char a[TEST_PATH_SIZE + 16], b[TEST_PATH_SIZE + 16], file[TEST_PATH_SIZE + 32];
	int64_t bytes = 0;
	bool whole = false;
	struct err e = { 0 };

	snprintf(a, sizeof(a), "%s/a", at);
	snprintf(b, sizeof(b), "%s/b", at);
	CHECK(mkdir(a, 0777) == 0 && chmod(a, 0777) == 0 && mkdir(b, 0777) == 0 &&
	      chmod(b, 0777) == 0);
	CHECK(!disk_limited(a, &bytes));
	if (!CHECK_INT(disk_limit(a, 8 * MIB, &e), 0)) {
		fprintf(stderr, "%s\n", e.msg);
		return;
	}
	CHECK(disk_limited(a, &bytes) && bytes == 8 * MIB);
	snprintf(file, sizeof(file), "%s/f", a);
	CHECK(fill_as_nobody(file, 20 * MIB) <= 8 * MIB);
	CHECK_INT(disk_usage(a, INT64_MAX, deadline_in_ms(20000), &bytes, &whole, &e), 0);
	CHECK(whole && bytes > 4 * MIB && bytes <= 8 * MIB);
	snprintf(file, sizeof(file), "%s/f", b);
	CHECK_INT(fill_as_nobody(file, 12 * MIB), 12 * MIB); /* the disk is not full */
	CHECK(unlink(file) == 0);
	/* Another limit for the same directory. */
	CHECK_INT(disk_limit(a, 16 * MIB, &e), 0);
	CHECK(disk_limited(a, &bytes) && bytes == 16 * MIB);
	snprintf(file, sizeof(file), "%s/g", a);
	CHECK(fill_as_nobody(file, 4 * MIB) == 4 * MIB);
	disk_unlimit(a);
	CHECK(!disk_limited(a, &bytes));
}

static void a_quota_bounds_a_tree(void)
{
	char dir[TEST_PATH_SIZE], at[TEST_PATH_SIZE + 8];

	if (geteuid() != 0 || !CHECK(test_mkdtemp(dir)) ||
	    !shell("cd \"$1\" && mkdir m && truncate -s 64M i && mkfs.ext4 -q -O quota,project -E "
	           "quotatype=prjquota i && mount -o loop,prjquota i m",
	           dir)) {
		TEST_SKIP("no loop device with project quotas for us");
		return;
	}
	snprintf(at, sizeof(at), "%s/m", dir);
	chmod(at, 0755);
	chmod(dir, 0755);
	chmod(test_tmp(), 0755);
	check_quota(at);
	CHECK(umount(at) == 0);
}

static void without_quotas_it_is_said(void)
{
	char dir[TEST_PATH_SIZE];
	struct err e = { 0 };

	CHECK(test_mkdtemp(dir));
	if (disk_limit(dir, MIB, &e) == 0) {
		disk_unlimit(dir);
		TEST_SKIP("the temporary directory has project quotas");
		return;
	}
	CHECK(e.kind == ERR_UNSUPPORTED && e.msg[0]);
	CHECK_INT(disk_limit(dir, 0, &e), 0);
}

TEST_MAIN(TEST(a_tree_is_measured), TEST(a_quota_bounds_a_tree), TEST(without_quotas_it_is_said))
