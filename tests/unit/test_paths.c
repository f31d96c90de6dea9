/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: what a killed process left is swept, and nothing else. */
#include "base/buf.h"
#include "base/file.h"
#include "host/paths.h"
#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void what_was_half_written_goes(void)
{
	static const struct {
		const char *path;
		bool stays;
	} rows[] = {
		{ "providers.json.tmp-12", false },
		{ "targets/t1.tmp-1", false },
		{ "targets/t1/info.tmp-1", false },
		{ "builds/b1.tmp-99", false },
		{ "builds/b1/notes.tmp-99", false },
		{ "builds/b1/.runner/workspace.json.tmp-5", false },
		{ "builds/images/b1.tmp-99", false },
		{ "agents/v1.tmp-3", false },
		{ "logs/x.tmp-3", false },
		{ "logs/workspaces/x.tmp-3", false },
		{ "logs/workspaces/w1/log.tmp-3", false },
		{ "workspaces/w1/.docker-notes.tmp-4711", false },
		{ "workspaces/w1/.runner/workspace.json.tmp-4711", false },
		{ "workspaces/w1/.runner/home/mine.tmp-1", true },
		{ "workspaces/w1/app/mine.tmp-1", true },
		{ "builds/b1/app/mine.tmp-1", true },
		{ "builds/b1/.runner/home/mine.tmp-1", true },
		{ "outside/mine.tmp-1", true }, /* which links lead to */
		{ "journal", true },
		{ "x.tmp-", true },
		{ "x.tmp-1a", true },
		{ "x.tmp", true },
		{ "logs/workspaces/w1/log", true },
	};
	static const char *const links[] = { "workspaces/w2", "targets/t2", "logs/l2",
		                             "workspaces/w1/.runner2" };
	char dir[TEST_PATH_SIZE], outside[TEST_PATH_SIZE + 16];
	struct err e = { 0 };

	CHECK(test_mkdtemp(dir));
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf p = { 0 };
		int fd;

		TEST_ROW(i);
		buf_addf(&p, "%s/%s", dir, rows[i].path);
		*strrchr(p.p, '/') = '\0';
		CHECK_INT(file_mkdirs(p.p, 0700, &e), 0);
		p.p[strlen(p.p)] = '/';
		fd = open(p.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		CHECK(fd >= 0);
		close(fd);
		buf_free(&p);
	}
	snprintf(outside, sizeof(outside), "%s/outside", dir);
	for (size_t i = 0; i < TEST_N(links); i++) {
		char *path = path_join(dir, links[i]);

		CHECK_INT(symlink(outside, path), 0);
		free(path);
	}
	paths_sweep(dir, 4000000, NULL);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *path = path_join(dir, rows[i].path);

		TEST_ROW(i);
		CHECK(file_exists(path));
		free(path);
	}
	paths_sweep(dir, 0, NULL);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *path = path_join(dir, rows[i].path);

		TEST_ROW(i);
		CHECK(file_exists(path) == rows[i].stays);
		free(path);
	}
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

/* Of a killed job: nobody else's directory is so much as opened, so it costs the same with 20,000 of them. */
static void what_a_job_has_left_goes(void)
{
	static const struct {
		const char *path;
		bool stays;
	} rows[] = {
		{ "status.json.tmp-77", false },
		{ "agents/v1.tmp-77", false },
		{ "workspaces/w1/.docker-notes.tmp-77", false },
		{ "workspaces/w1/.runner/agent.json.tmp-77", false },
		{ "workspaces/w1/.runner/agent.json.tmp-78", true },
		{ "workspaces/w1/app/mine.tmp-77", true },
		{ "logs/workspaces/w1/log.tmp-77", false },
		{ "targets/w1.tmp-77", false },
		{ "builds/w1/notes.tmp-77", false },
		{ "builds/images/w1.tmp-77", false },
		{ "builds/images/w1.tmp-78", true },
		{ "workspaces/w2/.docker-notes.tmp-77", true },
		{ "workspaces/w2/.runner/agent.json.tmp-77", true },
		{ "logs/workspaces/w2/log.tmp-77", true },
	};
	char dir[TEST_PATH_SIZE];
	struct err e = { 0 };

	CHECK(test_mkdtemp(dir));
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < TEST_N(rows); i++) {
			char *path = path_join(dir, rows[i].path), *slash = strrchr(path, '/');

			TEST_ROW(i);
			*slash = '\0';
			if (turn == 0)
				CHECK_INT(file_mkdirs(path, 0700, &e), 0);
			*slash = '/';
			if (turn == 0)
				CHECK_INT(file_replace(path, 0600, STR_LIT("x"), &e), 0);
			else
				CHECK(file_exists(path) == rows[i].stays);
			free(path);
		}
		paths_sweep(dir, 77, "../workspaces/w2"); /* that is no id */
		paths_sweep(dir, 77, "w1");
	}
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

/* Those of a process, and of the configuration: they hold a key. */
static void what_one_has_left_goes(void)
{
	char dir[TEST_PATH_SIZE], name[64];
	struct err e = { 0 };
	static const struct {
		const char *name;
		bool of_77, unless_living, of_all; /* what removes it */
	} rows[] = {
		{ "providers.json.tmp-77", true, false, false },
		{ "providers.json.tmp-78", false, false, false },
		{ "runner.ini", false, false, false },
		{ "runner.ini.tmp-4194999", false, true,
		  true },                                     /* no kernel gives that number away */
		{ "runner.ini.tmp-%ld", false, false, true }, /* ours */
		{ "ca-1234.pem.tmp-4194999", false, true, true },
		{ "others.tmp-4194999", false, false, false },
		{ "runner.ini.tmp-x", false, false, false },
	};

	for (int way = 0; way < 3; way++) {
		char *file;

		if (!CHECK(test_mkdtemp(dir)))
			return;
		file = path_join(dir, "runner.ini");
		for (int turn = 0; turn < 2; turn++) {
			for (size_t i = 0; i < TEST_N(rows); i++) {
				char *path;
				bool goes = way == 0   ? rows[i].of_77
				            : way == 1 ? rows[i].unless_living
				                       : rows[i].of_all;

				TEST_ROW(i);
				snprintf(name, sizeof(name), "runner.ini.tmp-%ld", (long)getpid());
				path = path_join(dir,
				                 strchr(rows[i].name, '%') ? name : rows[i].name);
				if (turn == 0)
					CHECK_INT(file_replace(path, 0600, STR_LIT("key"), &e), 0);
				else
					CHECK(file_exists(path) == !goes);
				free(path);
			}
			if (way == 0)
				paths_sweep(dir, 77, NULL);
			else
				paths_sweep_config(file, way == 1);
		}
		free(file);
		CHECK_INT(file_remove_tree(dir, &e), 0);
	}
}

TEST_MAIN(TEST(what_was_half_written_goes), TEST(what_a_job_has_left_goes),
          TEST(what_one_has_left_goes))
