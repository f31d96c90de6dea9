/* SPDX-License-Identifier: Apache-2.0 */
/* What `logs` makes of entries, and where the last lines of a file begin. */
#include "host/logview.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show(struct logview v, const char *line, const char *want)
{
	struct buf out = { 0 };

	logview_add(&v, str_of(line), &out);
	CHECK_STR(buf_cstr(&out), want);
	buf_free(&out);
}

#define ENTRY(msg) \
	"{\"source\":\"runner\",\"label\":\"edge\",\"msg\":\"" msg \
	"\",\"level\":\"\",\"time\":\"2025-02-10T10:00:04+01:00\"}!-#_^*|"

static void entries_become_lines(void)
{
	static const struct {
		struct logview v;
		const char *line, *want;
	} rows[] = {
		{ { 0 }, ENTRY("a\\n"), "a\n" },
		{ { 0 }, ENTRY("half"), "half" },
		{ { .times = true },
		  ENTRY("a\\nb\\n"),
		  "2025-02-10T10:00:04+01:00 a\n2025-02-10T10:00:04+01:00 b\n" },
		{ { .times = true, .mid_line = true },
		  ENTRY("a\\nb"),
		  "a\n2025-02-10T10:00:04+01:00 b" },
		{ { .json = true },
		  ENTRY("a\\n"),
		  "{\"time\":\"2025-02-10T10:00:04+01:00\",\"source\":\"runner\",\"label\":\"edge\",\"msg\":\"a\\n\"}\n" },
		{ { 0 }, "plain", "plain\n" },
		{ { .json = true }, "plain", "{\"msg\":\"plain\"}\n" },
		{ { 0 }, "{\"source\":\"x\",\"ms", "" },
		{ { 0 }, "", "" },
		{ { 0 }, "!-#_^*|", "!-#_^*|\n" },
		{ { .terminal = true, .colours = true },
		  ENTRY("\\u001b[1mx\\u001b[0m"),
		  "\033[1mx\033[0m\033[0m" },
		{ { .terminal = true },
		  ENTRY("\\u001b[1mx\\u001b[0m\\u001b[2Jy\\u001b]0;t\\u0007z\\u001b"),
		  "xyz" },
		{ { .terminal = true }, ENTRY("a\\rb\\r\\nc\\r"), "a\nb\nc" },
		{ { .terminal = true }, ENTRY("\\u0007\\u0008"), "\\x07\\x08" },
		{ { 0 }, ENTRY("\\u001b[1mx\\u001b[2Jy\\r"), "x\033[2Jy\r" },
		{ { .word = "ab12" },
		  ENTRY("job running   ab12 workspace\\n"),
		  "job running   ab12 workspace\n" },
		{ { .word = "ab12" }, ENTRY("job running   ab123 workspace\\n"), "" },
		{ { .word = "ab12" }, ENTRY("xab12\\n"), "" },
		{ { .since_wall_ms = 1739178004000 }, ENTRY("new\\n"), "new\n" },
		{ { .since_wall_ms = 1739178004001 }, ENTRY("old\\n"), "" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		show(rows[i].v, rows[i].line, rows[i].want);
	}
}

static void bars_are_redrawn(void)
{
	static const struct {
		const char *line, *want;
	} rows[] = {
		{ ENTRY("Pulling x\\n"), "Pulling x\n" },
		{ ENTRY("10 % of 20.0 MiB\\n"), "\r\033[K[##------------------] 10 % of 20.0 MiB" },
		{ ENTRY("100 % of 20.0 MiB\\n"),
		  "\r\033[K[####################] 100 % of 20.0 MiB" },
		{ ENTRY("Extracting: 1 of 4 MB in 2 layers\\n"),
		  "\r\033[K[#####---------------] Extracting: 1 of 4 MB in 2 layers" },
		{ ENTRY("Extracting: 5 of 0 MB in 2 layers\\n"),
		  "\nExtracting: 5 of 0 MB in 2 layers\n" },
		{ ENTRY("half"), "half" },
		{ ENTRY("7 % of \\u001b[2J\\n"),
		  "\n\r\033[K[##------------------] 7 % of \\x1b[2J" },
		{ ENTRY("101 % of it\\n"), "\n101 % of it\n" },
		{ ENTRY("x: 5 % of it\\n"), "x: 5 % of it\n" },
		{ ENTRY("5 %\\n"), "5 %\n" },
		{ ENTRY("99999999999999999999 % of it\\n"), "99999999999999999999 % of it\n" },
	};
	struct logview v = { .terminal = true, .bars = true };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 };

		TEST_ROW(i);
		logview_add(&v, str_of(rows[i].line), &out);
		CHECK_STR(buf_cstr(&out), rows[i].want);
		buf_free(&out);
	}
	/* Nothing is redrawn elsewhere. */
	show((struct logview){ .terminal = true }, ENTRY("10 % of 20.0 MiB\\n"),
	     "10 % of 20.0 MiB\n");
}

static void damage_is_marked_once_and_counted(void)
{
	static const char line[] = "\0\0\0\0" ENTRY("kept\\n");
	struct logview v = { 0 };
	struct buf out = { 0 };

	logview_add(&v, (struct str){ line, sizeof(line) - 1 }, &out);
	CHECK_STR(buf_cstr(&out), "-- 4 bytes of the log are damaged here --\nkept\n");
	buf_free(&out);
}

static void the_last_lines_are_found(void)
{
	static const struct {
		const char *text;
		size_t n, found;
		off_t at;
	} rows[] = {
		{ "a\nb\nc\n", 1, 1, 4 }, { "a\nb\nc\n", 3, 3, 0 }, { "a\nb\nc\n", 9, 3, 0 },
		{ "a\nb\nc", 1, 1, 4 },   { "a\nb\nc", 2, 2, 2 },   { "", 5, 0, 0 },
		{ "\n", 1, 1, 0 },        { "a", 1, 1, 0 },         { "a\n\n\n", 2, 2, 2 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		char name[TEST_PATH_SIZE];
		int fd = test_mkstemp(name);
		size_t found, n = strlen(rows[i].text);

		TEST_ROW(i);
		unlink(name);
		CHECK(write(fd, rows[i].text, n) == (ssize_t)n);
		CHECK_INT(logview_tail(fd, (off_t)n, rows[i].n, &found), rows[i].at);
		CHECK_INT(found, rows[i].found);
		close(fd);
	}
}

/* Lines that lie across the blocks in which the file is read. */
static void long_files_are_read_from_behind(void)
{
	char name[TEST_PATH_SIZE];
	int fd = test_mkstemp(name);
	struct buf b = { 0 };
	size_t found;

	unlink(name);
	for (int i = 0; i < 30000; i++)
		buf_addf(&b, "line %d\n", i);
	CHECK(write(fd, b.p, b.n) == (ssize_t)b.n);
	for (size_t n = 1; n <= 30000; n = n * 3 + 1) {
		struct buf want = { 0 };
		off_t at = logview_tail(fd, (off_t)b.n, n, &found);

		buf_addf(&want, "line %zu\n", 30000 - n);
		CHECK_INT(found, n);
		CHECK(strncmp(b.p + at, buf_cstr(&want), want.n) == 0);
		buf_free(&want);
	}
	buf_free(&b);
	close(fd);
}

TEST_MAIN(TEST(entries_become_lines), TEST(damage_is_marked_once_and_counted),
          TEST(bars_are_redrawn), TEST(the_last_lines_are_found),
          TEST(long_files_are_read_from_behind))
