/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's output takes of the disk. */
#include "jobs/joblog.h"

#include "base/file.h"
#include "base/log.h"
#include "tests/test.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define FULL (64ll << 20)

static char dir[TEST_PATH_SIZE];

/* Writes n lines of 1 KiB; the Server is away. */
static void job(int n)
{
	struct url url = { 0 };
	struct api_settings settings = { .url = &url, .key = "key", .no_proxy = "*" };
	struct buf line = { 0 };
	struct err e = { 0 };
	struct api *api;
	struct joblog *l;

	CHECK_INT(url_parse(STR_LIT("http://127.0.0.1:1"), &url, &e), 0);
	api = api_new(&settings);
	l = joblog_open(api, dir, RES_WORKSPACE, "id", "name");
	for (int i = 0; i < 1023; i++)
		buf_addc(&line, 'x');
	buf_addc(&line, '\n');
	for (int i = 0; i < n; i++)
		joblog_output(l, buf_str(&line));
	joblog_close(l, 0);
	api_free(api);
	url_free(&url);
	buf_free(&line);
}

static long long size_of(const char *name)
{
	struct buf path = { 0 };
	struct stat st = { .st_size = -1 };

	buf_addf(&path, "%s/logs/workspaces/id/%s", dir, name);
	(void)stat(buf_cstr(&path), &st);
	buf_free(&path);
	return st.st_size;
}

static bool log_says(const char *text)
{
	char *path = joblog_path(dir, RES_WORKSPACE, "id");
	struct buf b = { 0 };
	struct err e = { 0 };
	bool found = file_read(path, 256u << 20, &b, &e) == 0 && str_find(buf_str(&b), text);

	buf_free(&b);
	free(path);
	return found;
}

static void many_jobs_do_not_fill_the_disk(void)
{
	char *path;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	path = joblog_path(dir, RES_WORKSPACE, "id");
	job(2);
	CHECK(size_of("log") > 2048);
	job(2);
	CHECK(size_of("log") > 4096 && size_of("log.1") < 0); /* one file as long as it is short */
	CHECK(truncate(path, FULL) == 0);                     /* as if written; with holes */
	job(2);
	CHECK(size_of("log") > 2048 && size_of("log") < 8192);
	CHECK_INT(size_of("log.1"), FULL);
	CHECK(truncate(path, FULL + 1) == 0);
	job(1);
	CHECK_INT(size_of("log.1"), FULL + 1); /* the older one is gone */
	CHECK_INT(size_of("log.2"), -1);
	free(path);
}

static void one_job_does_not_fill_the_disk(void)
{
	if (!CHECK(test_mkdtemp(dir)))
		return;
	job(70000);
	CHECK(log_says("output limit"));
	CHECK(size_of("log") < FULL + 4096);
}

/* In a name space of its own, so that nothing stays mounted. */
static int fill_small_disk(void)
{
	struct statvfs v;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", dir, "tmpfs", 0, "size=2m,mode=700") < 0)
		return 77;
	job(4000);
	CHECK(log_says("nearly full"));
	CHECK(statvfs(dir, &v) == 0 && v.f_bavail * v.f_frsize >= 150000);
	job(1); /* nor does the next one go on with it */
	CHECK(statvfs(dir, &v) == 0 && v.f_bavail * v.f_frsize >= 150000);
	return test_failed > 0;
}

static void room_is_kept_for_state(void)
{
	int status = -1;
	pid_t pid;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	pid = fork();
	if (pid == 0)
		_exit(fill_small_disk());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		TEST_SKIP("no file system can be mounted here");
	else
		CHECK_INT(status, 0);
}

TEST_MAIN(TEST(many_jobs_do_not_fill_the_disk), TEST(one_job_does_not_fill_the_disk),
          TEST(room_is_kept_for_state))
