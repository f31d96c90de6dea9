/* SPDX-License-Identifier: Apache-2.0 */
/* What lies below a directory is opened without a link, by both ways that there are. */
#include "base/beneath.h"
#include "base/file.h"
#include "tests/test.h"

#include <errno.h>

static void make(const char *dir, const char *name, const char *text)
{
	char *path = path_join(dir, name);
	struct err e = { 0 };

	CHECK_INT(file_replace(path, 0644, str_of(text), &e), 0);
	free(path);
}

/* top/in is the directory; top/out lies beside it. */
static int tree(void)
{
	struct err e = { 0 };
	int root;

	if (chdir(test_tmp()) < 0 || mkdir("in", 0755) < 0 || mkdir("in/d", 0755) < 0 ||
	    mkdir("in/d/e", 0755) < 0 || mkdir("out", 0755) < 0)
		return -1;
	make("in/d", "file", "inside");
	make("out", "file", "outside");
	if (symlink("/etc", "in/abs") < 0 || symlink("../out", "in/up") < 0 ||
	    symlink("d", "in/near") < 0 || symlink("file", "in/d/link") < 0 ||
	    symlink("/proc/self/root", "in/magic") < 0 || mkfifo("in/pipe", 0644) < 0)
		return -1;
	root = beneath_root("in", &e);
	CHECK(root >= 0);
	return root;
}

static const struct {
	const char *path;
	int err; /* 0: it is opened */
} rows[] = {
	{ "", 0 },
	{ ".", 0 },
	{ "d", 0 },
	{ "d/", 0 },
	{ "./d//e/.", 0 },
	{ "d/file", 0 },
	{ "pipe", 0 }, /* looked at, never opened */
	{ "none", ENOENT },
	{ "d/none", ENOENT },
	{ "d/file/x", ENOTDIR },
	{ "abs", ELOOP },
	{ "abs/passwd", ELOOP },
	{ "up", ELOOP },
	{ "up/file", ELOOP },
	{ "near", ELOOP },
	{ "near/file", ELOOP },
	{ "near/", ELOOP },
	{ "d/link", ELOOP },
	{ "magic", ELOOP },
	{ "magic/etc", ELOOP },
	{ "..", EXDEV },
	{ "../out/file", EXDEV },
	{ "d/../d/file", EXDEV },
	{ "d/e/../../..", EXDEV },
	{ "/etc/passwd", EXDEV },
	{ "/", EXDEV },
};

static void both_ways_are_as_strict(void)
{
	int root = tree();

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct stat st;
		int fd = beneath_look(root, rows[i].path, &st, &e), walked;

		TEST_ROW(i);
		CHECK((fd >= 0) == !rows[i].err);
		if (rows[i].err == ELOOP || rows[i].err == EXDEV)
			CHECK_INT(e.kind, ERR_DENIED);
		if (rows[i].err == ENOENT)
			CHECK_INT(e.kind, ERR_NOT_FOUND);
		walked = beneath_walk(root, rows[i].path, O_PATH);
		CHECK_INT(walked < 0 ? errno : 0, rows[i].err);
		if (fd >= 0 && walked >= 0) {
			struct stat other;

			CHECK_INT(fstat(walked, &other), 0);
			CHECK(st.st_ino == other.st_ino && st.st_dev == other.st_dev);
		}
		fd_close(&fd);
		fd_close(&walked);
	}
	fd_close(&root);
}

static void only_files_are_read(void)
{
	static const struct {
		const char *path;
		enum err_kind kind;
	} bad[] = {
		{ "pipe", ERR_DENIED },    { "d", ERR_DENIED },       { "d/link", ERR_DENIED },
		{ "up/file", ERR_DENIED }, { "none", ERR_NOT_FOUND },
	};
	struct err e = { 0 };
	struct buf b = { 0 };
	int root = beneath_root("in", &e), fd;

	CHECK_INT(beneath_read(root, "d/file", 100, &b, &e), 0);
	CHECK_STR(buf_cstr(&b), "inside");
	for (size_t i = 0; i < TEST_N(bad); i++) {
		TEST_ROW(i);
		err_clear(&e);
		CHECK_INT(beneath_read(root, bad[i].path, 100, &b, &e), -1);
		CHECK_INT(e.kind, bad[i].kind);
	}
	err_clear(&e);
	CHECK_INT(beneath_read(root, "d/file", 3, &b, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	err_clear(&e);
	fd = beneath_dir(root, "d/e", &e);
	CHECK(fd >= 0);
	fd_close(&fd);
	CHECK_INT(beneath_dir(root, "d/file", &e), -1);
	CHECK_INT(e.kind, ERR_DENIED);
	err_clear(&e);
	CHECK_INT(beneath_dir(root, "near", &e), -1);
	CHECK_INT(e.kind, ERR_DENIED);
	fd_close(&root);
	buf_free(&b);
}

static void the_directory_itself_is_no_link(void)
{
	struct err e = { 0 };

	CHECK_INT(beneath_root("in/near", &e), -1);
	CHECK_INT(e.kind, ERR_DENIED);
	err_clear(&e);
	CHECK_INT(beneath_root("none", &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	CHECK_INT(chdir("/"), 0);
}

TEST_MAIN(TEST(both_ways_are_as_strict), TEST(only_files_are_read),
          TEST(the_directory_itself_is_no_link))
