/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "tests/test.h"

#include <stdlib.h>

static void grows_and_ends_in_nul(void)
{
	struct buf b = { 0 };

	CHECK_STR(buf_cstr(&b), "");
	buf_add(&b, NULL, 0);
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,", i);
	CHECK_INT((long long)b.n, 3890);
	CHECK_INT(b.p[b.n], 0);
	CHECK(str_ends(buf_str(&b), ",998,999,"));
	buf_drop(&b, 3886);
	CHECK_STR(buf_cstr(&b), "999,");
	buf_cut(&b, 3);
	CHECK_STR(buf_cstr(&b), "999");
	buf_cut(&b, 4);
	CHECK_STR(buf_cstr(&b), "999");
	buf_drop(&b, 99);
	CHECK_STR(buf_cstr(&b), "");
	buf_free(&b);
	buf_free(&b);
	CHECK(b.p == NULL && b.n == 0 && b.cap == 0);
}

static void limit_refuses_and_keeps(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	CHECK_INT(buf_add_max(&b, "abc", 3, 3, &e), 0);
	CHECK_INT(buf_add_max(&b, "d", 1, 3, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK_STR(buf_cstr(&b), "abc");
	CHECK_INT(buf_add_max(&b, "", 0, 3, &e), 0);
	buf_free(&b);
}

static void take_hands_out(void)
{
	struct buf b = { 0 };
	char *s = buf_take(&b);

	CHECK_STR(s, "");
	free(s);
	buf_adds(&b, "x");
	s = buf_take(&b);
	CHECK_STR(s, "x");
	CHECK(b.p == NULL);
	free(s);
}

static void base64_both_ways(void)
{
	static const struct {
		const char *plain, *padded, *bare;
	} rows[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
	};
	static const char *const malformed[] = { "A",    "AAAAA", "A=",    "AA=",
		                                 "A*AA", "AA==A", "AA===", "A A=" };
	struct buf b = { 0 };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		buf_reset(&b);
		buf_add_base64(&b, rows[i].plain, strlen(rows[i].plain), false, true);
		CHECK_STR(buf_cstr(&b), rows[i].padded);
		buf_reset(&b);
		buf_add_base64(&b, rows[i].plain, strlen(rows[i].plain), true, false);
		CHECK_STR(buf_cstr(&b), rows[i].bare);
		buf_reset(&b);
		CHECK(buf_add_unbase64(&b, str_of(rows[i].padded)));
		CHECK_STR(buf_cstr(&b), rows[i].plain);
		buf_reset(&b);
		CHECK(buf_add_unbase64(&b, str_of(rows[i].bare)));
		CHECK_STR(buf_cstr(&b), rows[i].plain);
	}
	buf_reset(&b);
	buf_add_base64(&b, "~~~???", 6, false, true);
	CHECK_STR(buf_cstr(&b), "fn5+Pz8/");
	buf_reset(&b);
	buf_add_base64(&b, "~~~???", 6, true, true);
	CHECK_STR(buf_cstr(&b), "fn5-Pz8_");
	buf_reset(&b);
	CHECK(buf_add_unbase64(&b, str_of("fn5-Pz8_")) && str_eq(buf_str(&b), "~~~???"));
	for (size_t i = 0; i < TEST_N(malformed); i++) {
		TEST_ROW(i);
		buf_reset(&b);
		buf_adds(&b, "k");
		CHECK(!buf_add_unbase64(&b, str_of(malformed[i])));
		CHECK_STR(buf_cstr(&b), "k");
	}
	buf_free(&b);
}

static void url_encoding(void)
{
	static const char *const malformed[] = { "%", "%1", "%zz", "a%2" };
	struct buf b = { 0 };

	buf_add_urlenc(&b, str_of("a-_.~/ ?\xC3\xA9%"));
	CHECK_STR(buf_cstr(&b), "a-_.~%2F%20%3F%C3%A9%25");
	buf_reset(&b);
	CHECK(buf_add_urldec(&b,
	                     str_of("a%2f+%41%"
	                            "20"),
	                     false));
	CHECK_STR(buf_cstr(&b), "a/+A ");
	buf_reset(&b);
	CHECK(buf_add_urldec(&b, str_of("a+b"), true));
	CHECK_STR(buf_cstr(&b), "a b");
	for (size_t i = 0; i < TEST_N(malformed); i++) {
		TEST_ROW(i);
		CHECK(!buf_add_urldec(&b, str_of(malformed[i]), false));
		CHECK_STR(buf_cstr(&b), "a b");
	}
	buf_free(&b);
}

static void shell_quoting(void)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain-1.2/x:y@z", "plain-1.2/x:y@z" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\\''s'" },
		{ "$(x)", "'$(x)'" },
		{ "~", "'~'" },
		{ "a=b", "'a=b'" },
		{ "a\nb", "'a\nb'" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		buf_add_shell(&b, str_of(rows[i].in));
		CHECK_STR(buf_cstr(&b), rows[i].out);
		buf_free(&b);
	}
}

static void printable_is_harmless(void)
{
	static const struct {
		const char *in, *out;
		bool keep_nl;
	} rows[] = {
		{ "tab\tok", "tab\tok", false },
		{ "a\nb", "a\\x0ab", false },
		{ "a\nb\r", "a\nb\\x0d", true },
		{ "\x1b[31m", "\\x1b[31m", true },
		{ "\xC2\x9B"
		  "31m",
		  "\\x9b31m", true },
		{ "\x7f", "\\x7f", true },
		{ "\xC3\xA9\xE2\x82\xAC", "\xC3\xA9\xE2\x82\xAC", true },
		{ "\x80x\xC3", "\xEF\xBF\xBDx\xEF\xBF\xBD", true },
		{ "\xC2\xA0", "\xC2\xA0", true },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		buf_add_printable(&b, str_of(rows[i].in), rows[i].keep_nl);
		CHECK_STR(buf_cstr(&b), rows[i].out);
		buf_free(&b);
	}
}

static void hex(void)
{
	struct buf b = { 0 };

	buf_add_hex(&b, "\x00\xff\x1a", 3);
	CHECK_STR(buf_cstr(&b), "00ff1a");
	buf_wipe(&b);
	CHECK(b.p == NULL);
}

TEST_MAIN(TEST(grows_and_ends_in_nul), TEST(limit_refuses_and_keeps), TEST(take_hands_out),
          TEST(base64_both_ways), TEST(url_encoding), TEST(shell_quoting),
          TEST(printable_is_harmless), TEST(hex))
