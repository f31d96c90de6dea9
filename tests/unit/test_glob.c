/* SPDX-License-Identifier: Apache-2.0 */
#include "base/attr.h"
#include "base/buf.h"
#include "base/glob.h"
#include "tests/test.h"

#include <string.h>

static const struct {
	const char *pattern, *text;
	bool plain, segments;
} table[] = {
	{ "", "", true, true },
	{ "", "a", false, false },
	{ "a", "", false, false },
	{ "a", "a", true, true },
	{ "a", "ab", false, false },
	{ "*", "", true, true },
	{ "*", "abc", true, true },
	{ "*", "a/b", true, false },
	{ "a/*", "a/b", true, true },
	{ "a/*", "a/b/c", true, false },
	{ "*/*", "a/b", true, true },
	{ "*/c", "a/b/c", true, false },
	{ "*.c", "x.c", true, true },
	{ "*.c", "x.cc", false, false },
	{ "*.c", ".c", true, true },
	{ "a*b*c", "aXbYc", true, true },
	{ "a*b*c", "aXbY", false, false },
	{ "**", "ab", true, true },
	{ "a**b", "ab", true, true },
	{ "?", "a", true, true },
	{ "?", "", false, false },
	{ "?", "/", true, false },
	{ "a?c", "abc", true, true },
	{ "?", "\xc3\xa4", true, true },
	{ "??", "\xc3\xa4", false, false },
	{ "?", "\xff", true, true },
	{ "??",
	  "\xc3"
	  "a",
	  true, true },
	{ "?", "\xf0\x9f\x98\x80", true, true },
	{ "[ab]", "b", true, true },
	{ "[ab]", "c", false, false },
	{ "[a-c]", "b", true, true },
	{ "[c-a]", "b", false, false },
	{ "[!a]", "b", true, true },
	{ "[!a]", "a", false, false },
	{ "[^a]", "b", true, true },
	{ "[!a]", "/", true, false },
	{ "[]]", "]", true, true },
	{ "[!]]", "a", true, true },
	{ "[]a]", "a", true, true },
	{ "[a-]", "-", true, true },
	{ "[-a]", "-", true, true },
	{ "[a", "[a", true, true },
	{ "[", "[", true, true },
	{ "[!", "[!", true, true },
	{ "[\xc3\xa4-\xc3\xb6]", "\xc3\xa5", true, true },
	{ "[\xc3\xa4]", "\xc3", false, false },
	{ "x[0-9]*", "x1y", true, true },
	{ "*[0-9]", "x1", true, true },
	{ "*[0-9]", "x1/2", true, false },
	{ "\\*", "\\x", true, true },
	{ "\\*", "*", false, false },
	{ "registry.test/*/app:*", "registry.test/team/app:1", true, true },
	{ "registry.test/*/app:*", "registry.test/team/sub/app:1", true, false },
};

static void patterns(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *pattern = table[i].pattern, *text = table[i].text;

		TEST_ROW(i);
		CHECK(glob_match(pattern, text, false) == table[i].plain);
		CHECK(glob_match(pattern, text, true) == table[i].segments);
	}
}

/* Many stars on a text that nearly fits: it ends, soon. */
static void hostile(void)
{
	struct buf pattern = { 0 }, text = { 0 };

	for (int i = 0; i < 500; i++)
		buf_adds(&pattern, "*a");
	buf_addc(&pattern, 'b');
	for (int i = 0; i < 20000; i++)
		buf_addc(&text, 'a');
	CHECK(!glob_match(buf_cstr(&pattern), buf_cstr(&text), false));
	buf_free(&pattern);
	buf_free(&text);
}

TEST_MAIN(TEST(patterns), TEST(hostile))
