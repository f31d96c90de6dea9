/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include "base/str.h"
#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>

static void set_keeps_kind_code_and_text(void)
{
	struct err e = { 0 };

	CHECK_INT(err_set(&e, ERR_LIMIT, 7, "more than %d", 5), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK_INT(e.code, 7);
	CHECK_STR(e.msg, "more than 5");
	err_clear(&e);
	CHECK_INT(e.kind, ERR_NONE);
	CHECK_INT(e.code, 0);
	CHECK_STR(e.msg, "");
}

static void sys_appends_the_system_text(void)
{
	struct err e = { 0 };

	CHECK_INT(err_sys(&e, EACCES, "open %s", "/x"), -1);
	CHECK_INT(e.kind, ERR_SYS);
	CHECK_INT(e.code, EACCES);
	CHECK_STR(e.msg, "open /x: Permission denied");
	err_sys(&e, ENOENT, "open /x");
	CHECK_INT(e.kind, ERR_NOT_FOUND);
}

static void wrap_goes_in_front_and_keeps_the_rest(void)
{
	struct err e = { 0 };

	err_set(&e, ERR_HTTP, 404, "not there");
	CHECK_INT(err_wrap(&e, "job %s", "a"), -1);
	CHECK_STR(e.msg, "job a: not there");
	CHECK_INT(e.kind, ERR_HTTP);
	CHECK_INT(e.code, 404);
	err_clear(&e);
	err_wrap(&e, "nothing known");
	CHECK_INT(e.kind, ERR_OTHER);
}

static void own_text_may_be_an_argument(void)
{
	struct err e = { 0 };

	err_set(&e, ERR_OTHER, 0, "inner");
	err_set(&e, ERR_CONFIG, 0, "outer: %s", e.msg);
	CHECK_STR(e.msg, "outer: inner");
}

static void text_stays_one_line(void)
{
	struct err e = { 0 };

	err_set(&e, ERR_OTHER, 0, "a\r\nb\x1b[0m\x7f");
	CHECK_STR(e.msg, "a  b [0m ");
}

static void long_text_is_cut_between_characters(void)
{
	static const char *const characters[] = { "a", "\xC3\xA9", "\xE2\x82\xAC",
		                                  "\xF0\x9F\x98\x80" };
	char text[2000];

	for (size_t c = 0; c < TEST_N(characters); c++) {
		for (size_t shift = 0; shift < 4; shift++) {
			struct err e = { 0 };
			struct str s;
			size_t n = shift;

			TEST_ROW(c * 4 + shift);
			memset(text, 'x', shift);
			while (n + 5 < sizeof(text)) {
				memcpy(text + n, characters[c], strlen(characters[c]));
				n += strlen(characters[c]);
			}
			text[n] = '\0';
			err_set(&e, ERR_OTHER, 0, "%s", text);
			err_wrap(&e, "p");
			CHECK(strlen(e.msg) > sizeof(e.msg) - 6);
			for (s = str_of(e.msg); s.n;) {
				int len = str_utf8_len(s.p, s.n);

				if (!CHECK(len > 0))
					break;
				s.p += len;
				s.n -= (size_t)len;
			}
		}
	}
}

TEST_MAIN(TEST(set_keeps_kind_code_and_text), TEST(sys_appends_the_system_text),
          TEST(wrap_goes_in_front_and_keeps_the_rest), TEST(own_text_may_be_an_argument),
          TEST(text_stays_one_line), TEST(long_text_is_cut_between_characters))
