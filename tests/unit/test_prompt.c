/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown to a person: control bytes, narrow terminals, locales without UTF-8. */
#include "host/prompt.h"
#include "tests/test.h"

static void texts_are_fit_for_the_terminal(void)
{
	static const struct {
		bool utf8;
		int max;
		const char *text, *want;
	} rows[] = {
		{ true, 0, "plain", "plain" },
		{ true, 0, "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac" },
		{ false, 0, "\xc3\xa4-\xe2\x82\xac", "?-?" },
		{ true, 0, "\033[2Jx\a", "\\x1b[2Jx\\x07" },
		{ true, 8, "12345678", "123456.." },
		{ true, 9, "12345678", "12345678" },
		{ true, 5, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
		  "\xc3\xa4\xc3\xa4\xc3\xa4.." },
		{ true, 0, "", "" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct prompt p = { .utf8 = rows[i].utf8 };
		struct buf b = { 0 };

		TEST_ROW(i);
		prompt_show(&p, &b, str_of(rows[i].text), rows[i].max);
		CHECK_STR(buf_cstr(&b), rows[i].want);
		buf_free(&b);
	}
}

TEST_MAIN(TEST(texts_are_fit_for_the_terminal))
