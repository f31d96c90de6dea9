/* SPDX-License-Identifier: Apache-2.0 */
/* agent/copy.h: archives that want to go where they were not asked to. */
#include "agent/copy.h"

#include "base/file.h"
#include "base/tar.h"
#include "tests/test.h"

#include <sys/socket.h>

static void add(struct buf *b, const char *name, char type, const char *link, const char *text)
{
	struct tar_entry en = {
		.name = name, .type = type, .link = link, .mode = 06755, .size = strlen(text)
	};

	tar_header(b, &en);
	buf_adds(b, text);
	tar_pad(b, en.size);
}

/* Receives the archive as path. */
static int receive(struct buf *b, const char *path, struct err *e)
{
	struct copy c = { 0 };
	FILE *f = tmpfile();
	int rc;

	fwrite(b->p, 1, b->n, f);
	rewind(f);
	rc = copy_receive(fileno(f), path, &c, e);
	fclose(f);
	buf_free(b);
	return rc;
}

static char *in_tmp(const char *name)
{
	static char path[4][512];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof(path[n]), "%s/%s", test_tmp(), name);
	return path[n];
}

static void set_up(void)
{
	FILE *f;

	mkdir(in_tmp("into"), 0700);
	mkdir(in_tmp("outside"), 0700);
	f = fopen(in_tmp("outside/kept"), "w");
	fputs("kept", f);
	fclose(f);
}

static void nothing_leaves_what_was_asked_for(void)
{
	static const struct {
		const char *first, *link, *second,
			*says; /* an entry, what it is a link to, and one more */
	} rows[] = {
		{ "../outside/kept", NULL, NULL, "leads out" },
		{ "a/../../outside/kept", NULL, NULL, "leads out" },
		{ "a/../../../outside/kept", NULL, NULL, "leads out" },
		{ "..", NULL, NULL, "leads out" },
		{ ".", NULL, NULL, "leads out" },
		{ "a", NULL, "b", "leads out" },
		{ "a", "../outside", "a/kept", "a link" },
		{ "a", "/", "a/etc/x", "a link" },
		{ "a", "../outside/kept", "b", "leads out" },
		{ "a/b", NULL, NULL, "No such file" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 }, kept = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		add(&b, rows[i].first, rows[i].link ? '2' : '0', rows[i].link, "");
		if (rows[i].second)
			add(&b, rows[i].second, '0', NULL, "hostile");
		tar_finish(&b);
		CHECK_INT(receive(&b, in_tmp("into"), &e), -1);
		CHECK(strstr(e.msg, rows[i].says));
		CHECK_INT(file_read(in_tmp("outside/kept"), 100, &kept, &e), 0);
		CHECK_STR(buf_cstr(&kept), "kept");
		buf_free(&kept);
		file_empty_dir(in_tmp("into"), &e);
	}
}

static void a_link_that_is_there_is_replaced_and_not_followed(void)
{
	struct buf b = { 0 }, text = { 0 };
	struct err e = { 0 };

	CHECK_INT(symlink("../outside/kept", in_tmp("into/a")), 0);
	add(&b, "a", '0', NULL, "new");
	tar_finish(&b);
	CHECK_INT(receive(&b, in_tmp("into"), &e), 0);
	CHECK_INT(file_read(in_tmp("outside/kept"), 100, &text, &e), 0);
	CHECK_STR(buf_cstr(&text), "kept");
	buf_reset(&text);
	CHECK_INT(file_read(in_tmp("into/a"), 100, &text, &e), 0);
	CHECK_STR(buf_cstr(&text), "new");
	buf_free(&text);
	/* Neither is a directory that a link stands for filled. */
	CHECK_INT(symlink("../outside", in_tmp("into/d")), 0);
	add(&b, "d/", '5', NULL, "");
	tar_finish(&b);
	CHECK_INT(receive(&b, in_tmp("into"), &e), -1);
	CHECK(strstr(e.msg, "is there and no directory"));
}

static void the_targets_name_takes_the_place_of_the_archives(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct stat st;

	add(&b, "top/", '5', NULL, "");
	add(&b, "top/sub/", '5', NULL, "");
	add(&b, "top/sub/file", '0', NULL, "text");
	add(&b, "top/sub/link", '2', "/etc", "");
	tar_finish(&b);
	CHECK_INT(receive(&b, in_tmp("named"), &e), 0);
	CHECK(stat(in_tmp("named/sub/file"), &st) == 0 && st.st_size == 4);
	CHECK_INT(st.st_mode & 07777, 0755); /* no set-id bits */
	CHECK(lstat(in_tmp("named/sub/link"), &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat(in_tmp("named/sub"), &st) == 0 && (st.st_mode & 07777) == 0755);
}

static void what_is_odd_or_cut_is_an_error(void)
{
	static const char types[] = { '1', '3', '4', '6' };

	for (size_t i = 0; i < sizeof(types); i++) {
		struct buf b = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		add(&b, "odd", types[i], types[i] == '1' ? "outside/kept" : NULL, "");
		tar_finish(&b);
		CHECK_INT(receive(&b, in_tmp("into"), &e), -1);
		CHECK(strstr(e.msg, "neither file, directory nor link"));
	}
	for (size_t cut = 0; cut < 2 * TAR_BLOCK; cut += 100) {
		struct buf b = { 0 };
		struct err e = { 0 };

		add(&b, "file", '0', NULL, "text");
		buf_cut(&b, cut);
		CHECK_INT(receive(&b, in_tmp("into"), &e), -1);
	}
}

TEST_MAIN(TEST(set_up), TEST(nothing_leaves_what_was_asked_for),
          TEST(a_link_that_is_there_is_replaced_and_not_followed),
          TEST(the_targets_name_takes_the_place_of_the_archives),
          TEST(what_is_odd_or_cut_is_an_error))
