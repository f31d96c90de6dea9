/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[TEST_PATH_SIZE];

/* Borrowed until the fourth call from now. */
static const char *in(const char *name)
{
	static char path[4][512];
	static unsigned turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", base, name);
	return path[turn];
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : (unsigned)st.st_mode & 07777;
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void replace_writes_whole_files(void)
{
	struct err e = { 0 };
	struct buf b = { 0 };

	umask(0);
	CHECK_INT(file_replace(in("a"), 0600, str_of("one"), &e), 0);
	CHECK_INT(file_replace(in("a"), 0600, str_of("two"), &e), 0);
	CHECK_INT(mode_of(in("a")), 0600);
	CHECK_INT(file_read(in("a"), 3, &b, &e), 0);
	CHECK_STR(buf_cstr(&b), "two");
	CHECK_INT(count_entries(base), 1);
	CHECK_INT(file_read(in("a"), 2, &b, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK_INT(file_read(in("none"), 2, &b, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	CHECK(strstr(e.msg, "none") != NULL);
	buf_free(&b);
}

static void replace_follows_a_link(void)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	struct stat st;

	CHECK_INT(symlink("a", in("link")), 0);
	CHECK_INT(file_replace(in("link"), 0600, str_of("three"), &e), 0);
	CHECK(lstat(in("link"), &st) == 0 && S_ISLNK(st.st_mode));
	CHECK_INT(file_read(in("a"), 100, &b, &e), 0);
	CHECK_STR(buf_cstr(&b), "three");
	buf_free(&b);
}

static void failed_replace_keeps_the_old_content(void)
{
	struct err e = { 0 };

	CHECK_INT(mkdir(in("dir"), 0755), 0);
	CHECK_INT(mkdir(in("dir/sub"), 0755), 0);
	CHECK_INT(file_replace(in("dir"), 0600, str_of("x"), &e), -1);
	CHECK(strstr(e.msg, in("dir")) != NULL);
	CHECK(file_is_dir(in("dir/sub")));
	CHECK_INT(file_replace(in("none/x"), 0600, str_of("x"), &e), -1);
	CHECK(!file_exists(in("none")));
}

static void mkdirs_makes_parents(void)
{
	struct err e = { 0 };

	umask(022);
	CHECK_INT(file_mkdirs(in("m/n/o"), 0700, &e), 0);
	CHECK_INT(mode_of(in("m/n/o")), 0700);
	CHECK_INT(mode_of(in("m/n")), 0755);
	CHECK_INT(file_mkdirs(in("m/n"), 0700, &e), 0);
	CHECK_INT(mode_of(in("m/n")), 0755);
	CHECK_INT(file_mkdirs(in("m/slash//"), 0700, &e), 0);
	CHECK_INT(mode_of(in("m/slash")), 0700);
	CHECK_INT(file_mkdirs(in("a/x"), 0700, &e), -1);
	CHECK_INT(file_mkdirs("", 0700, &e), -1);
	CHECK_INT(file_mkdirs("/", 0700, &e), 0);
	umask(0777);
	CHECK_INT(file_mkdirs(in("strict"), 0700, &e), 0);
	CHECK_INT(mode_of(in("strict")), 0700);
	umask(022);
}

static void remove_does_not_follow_links(void)
{
	struct err e = { 0 };

	file_mkdirs(in("keep"), 0755, &e);
	file_replace(in("keep/file"), 0600, str_of("x"), &e);
	file_mkdirs(in("gone/deep"), 0755, &e);
	CHECK_INT(symlink(in("keep"), in("gone/deep/link")), 0);
	CHECK_INT(file_replace(in("gone/deep/f"), 0000, str_of("x"), &e), 0);
	CHECK_INT(mkdir(in("gone/readonly"), 0755), 0);
	CHECK_INT(file_replace(in("gone/readonly/f"), 0600, str_of("x"), &e), 0);
	chmod(in("gone/readonly"), 0500);
	CHECK_INT(file_remove_tree(in("gone"), &e), 0);
	CHECK(!file_exists(in("gone")));
	CHECK(file_exists(in("keep/file")));
	CHECK_INT(symlink(in("keep"), in("link2")), 0);
	CHECK_INT(file_remove_tree(in("link2"), &e), 0);
	CHECK(!file_exists(in("link2")) && file_exists(in("keep/file")));
	CHECK_INT(file_remove_tree(in("link2"), &e), 0);
	CHECK_INT(file_remove_tree("", &e), -1);
	CHECK_INT(file_remove_tree("/", &e), -1);
	CHECK_INT(file_remove_tree("x/..", &e), -1);
}

static void remove_takes_any_depth(void)
{
	struct err e = { 0 };
	int fd, depth;

	CHECK_INT(mkdir(in("deep"), 0755), 0);
	fd = open(in("deep"), O_RDONLY | O_DIRECTORY);
	for (depth = 0; depth < 3000; depth++) {
		int next;

		if (mkdirat(fd, "d", 0755) < 0)
			break;
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		close(fd);
		fd = next;
	}
	close(fd);
	CHECK_INT(depth, 3000);
	CHECK_INT(file_remove_tree(in("deep"), &e), 0);
	CHECK_STR(e.msg, "");
	CHECK(!file_exists(in("deep")));
}

/* In a child with mounts of its own: "outside" is also at "bound/in/there". Exit status 2: none can be made here. */
static void bound_child(int (*remove)(const char *path, struct err *e))
{
	struct err e = { 0 };

	if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(in("outside"), in("bound/in/there"), NULL, MS_BIND, NULL) < 0)
		_exit(2);
	_exit(remove(in("bound"), &e) == -1 && strstr(e.msg, "mount point there") ? 0 : 1);
}

static void remove_stops_at_a_bind_mount(void)
{
	static int (*const calls[])(const char *path, struct err *e) = { file_remove_tree,
		                                                         file_empty_dir };
	struct err e = { 0 };

	for (size_t i = 0; i < TEST_N(calls); i++) {
		int status = -1;
		pid_t pid;

		TEST_ROW(i);
		CHECK_INT(file_mkdirs(in("outside"), 0755, &e), 0);
		CHECK_INT(file_replace(in("outside/file"), 0600, str_of("x"), &e), 0);
		CHECK_INT(file_mkdirs(in("bound/in/there"), 0755, &e), 0);
		CHECK_INT(file_replace(in("bound/gone"), 0600, str_of("x"), &e), 0);
		pid = fork();
		if (pid == 0)
			bound_child(calls[i]);
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK(WIFEXITED(status));
		if (WEXITSTATUS(status) == 2) {
			TEST_SKIP("no mount namespace here");
			return;
		}
		CHECK_INT(WEXITSTATUS(status), 0);
		CHECK(file_exists(in("outside/file")));
		CHECK(file_exists(in("bound/in/there")));
		CHECK(!file_exists(in("bound/gone")));
	}
}

static void empty_keeps_the_directory(void)
{
	struct err e = { 0 };

	CHECK_INT(file_mkdirs(in("kept/a/b"), 0755, &e), 0);
	CHECK_INT(file_replace(in("kept/a/f"), 0600, str_of("x"), &e), 0);
	CHECK_INT(symlink(base, in("kept/link")), 0);
	CHECK_INT(file_empty_dir(in("kept"), &e), 0);
	CHECK_INT(count_entries(in("kept")), 0);
	CHECK_INT(file_empty_dir(in("kept"), &e), 0);
	CHECK_INT(file_empty_dir(in("nothing"), &e), -1);
	CHECK_INT(symlink(in("keep"), in("kept/link")), 0);
	CHECK_INT(file_empty_dir(in("kept/link"), &e), -1);
	CHECK(file_exists(in("keep/file")));
	CHECK_INT(file_remove_tree(in("kept"), &e), 0);
}

static void wait_has_an_end(void)
{
	struct err e = { 0 };
	int fd[2];

	CHECK_INT(pipe(fd), 0);
	CHECK_INT(wait_fd(fd[0], POLLIN, deadline_in_ms(10), &e), -1);
	CHECK_INT(e.kind, ERR_TIMEOUT);
	CHECK_INT(write(fd[1], "x", 1), 1);
	CHECK_INT(wait_fd(fd[0], POLLIN, deadline_in_ms(0), &e), POLLIN);
	fd_close(&fd[0]);
	fd_close(&fd[1]);
	fd_close(&fd[1]);
	CHECK_INT(fd[1], -1);
}

static void paths_join(void)
{
	static const struct {
		const char *dir, *name, *path;
	} rows[] = { { "/a", "b", "/a/b" }, { "/a/", "b", "/a/b" }, { "/", "b", "/b" } };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *p = path_join(rows[i].dir, rows[i].name);

		TEST_ROW(i);
		CHECK_STR(p, rows[i].path);
		free(p);
	}
}

static void components_are_added_within_the_root(void)
{
	static const struct {
		const char *before, *path, *want;
		bool inside;
	} rows[] = {
		{ "", "", "", true },
		{ "", "/a//./b/", "a/b", true },
		{ "a/b", "../c", "a/c", true },
		{ "a", "..", "", true },
		{ "a", "../..", "", false },
		{ "", "../a", "a", false },
		{ "a", "b/../../../c/d", "c/d", false },
		{ "a", "..b/...", "a/..b/...", true },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		buf_adds(&b, rows[i].before);
		CHECK_INT(path_add(&b, str_of(rows[i].path)), rows[i].inside);
		CHECK_STR(buf_cstr(&b), rows[i].want);
		buf_free(&b);
	}
}

static void make_base(void)
{
	CHECK(test_mkdtemp(base));
}

static void remove_base(void)
{
	struct err e = { 0 };

	CHECK_INT(file_remove_tree(base, &e), 0);
	CHECK(!file_exists(base));
}

TEST_MAIN(TEST(make_base), TEST(replace_writes_whole_files), TEST(replace_follows_a_link),
          TEST(failed_replace_keeps_the_old_content), TEST(mkdirs_makes_parents),
          TEST(remove_does_not_follow_links), TEST(remove_takes_any_depth),
          TEST(remove_stops_at_a_bind_mount), TEST(empty_keeps_the_directory),
          TEST(wait_has_an_end), TEST(paths_join), TEST(components_are_added_within_the_root),
          TEST(remove_base))
