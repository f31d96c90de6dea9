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
		{ "agents/v1.tmp-3", false },
		{ "logs/x.tmp-3", false },
		{ "logs/workspaces/x.tmp-3", false },
		{ "logs/workspaces/w1/log.tmp-3", false },
		{ "workspaces/w1/.docker-notes.tmp-4711", false },
		{ "workspaces/w1/.runner/workspace.json.tmp-4711", false },
		{ "workspaces/w1/.runner/home/mine.tmp-1", true },
		{ "workspaces/w1/app/mine.tmp-1", true },
		{ "builds/b1/app/mine.tmp-1", true },
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
	paths_sweep(dir);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		char *path = path_join(dir, rows[i].path);

		TEST_ROW(i);
		CHECK(file_exists(path) == rows[i].stays);
		free(path);
	}
	CHECK_INT(file_remove_tree(dir, &e), 0);
}

TEST_MAIN(TEST(what_was_half_written_goes))
