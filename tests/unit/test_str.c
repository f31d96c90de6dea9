/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include "tests/test.h"

static void compare_and_trim(void)
{
	CHECK(str_eq(str_of("abc"), "abc"));
	CHECK(!str_eq(str_of("abc"), "abcd"));
	CHECK(!str_eq(str_of("abc"), "ab"));
	CHECK(str_eq(str_of(NULL), ""));
	CHECK(str_ieq(str_of("AbC"), "aBc"));
	CHECK(str_starts(str_of("abc"), "ab") && str_starts(str_of(NULL), ""));
	CHECK(!str_starts(str_of("a"), "ab"));
	CHECK(str_ends(str_of("abc"), "bc") && !str_ends(str_of("c"), "bc"));
	CHECK_STR(str_find(str_of("aab-aac"), "aac"), "aac");
	CHECK_STR(str_find(str_of("://"), "://"), "://");
	CHECK(!str_find(str_of("aaba"), "bab") && !str_find(str_of(""), "a"));
	CHECK(!str_find(str_of(NULL), "a") && !str_find((struct str){ "abc", 2 }, "bc"));
	CHECK(str_find((struct str){ "a\0bc", 4 }, "bc"));
	CHECK(str_hex_digit('0') == 0 && str_hex_digit('a') == 10 && str_hex_digit('F') == 15);
	CHECK(str_hex_digit('g') == -1 && str_hex_digit('@') == -1 && str_hex_digit(-1) == -1);
	CHECK(str_eq(str_trim(str_of(" \t\r\n a b \n")), "a b"));
	CHECK_INT((long long)str_trim(str_of(" \r\n")).n, 0);
}

static void next_gives_every_piece(void)
{
	static const struct {
		const char *in;
		const char *pieces;
		int n;
	} rows[] = {
		{ "a,,b", "a|*|b", 3 }, { "a", "a", 1 }, { "a,", "a|*", 2 },
		{ ",", "*|*", 2 },      { "", "*", 1 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct str rest = str_of(rows[i].in), piece;
		char got[64] = "";
		size_t at = 0;
		int n = 0;

		TEST_ROW(i);
		while (str_next(&rest, ',', &piece)) {
			at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%.*s", n++ ? "|" : "",
			                       piece.n ? (int)piece.n : 1, piece.n ? piece.p : "*");
		}
		CHECK_INT(n, rows[i].n);
		CHECK_STR(got, rows[i].pieces);
	}
	CHECK(!str_next(&(struct str){ 0 }, ',', &(struct str){ 0 }));
}

static void integers(void)
{
	static const struct {
		const char *in;
		int64_t min, max;
		bool ok;
		int64_t v;
	} rows[] = {
		{ "0", 0, 9, true, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, false, 0 },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, false, 0 },
		{ "99999999999999999999", INT64_MIN, INT64_MAX, false, 0 },
		{ "+5", 0, 9, true, 5 },
		{ "007", 0, 9, true, 7 },
		{ "10", 0, 9, false, 0 },
		{ "-1", 0, 9, false, 0 },
		{ "", 0, 9, false, 0 },
		{ "-", -9, 9, false, 0 },
		{ "+", -9, 9, false, 0 },
		{ "1 ", 0, 9, false, 0 },
		{ " 1", 0, 9, false, 0 },
		{ "1e1", 0, 99, false, 0 },
		{ "0x1", 0, 99, false, 0 },
		{ "--1", -9, 9, false, 0 },
		{ "3000000000", 0, INT64_MAX, true, 3000000000 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		int64_t v = -77;
		bool ok = str_to_i64(str_of(rows[i].in), rows[i].min, rows[i].max, &v);

		TEST_ROW(i);
		CHECK_INT(ok, rows[i].ok);
		CHECK_INT(v, rows[i].ok ? rows[i].v : -77);
	}
}

static void durations(void)
{
	static const struct {
		const char *in;
		int64_t unit;
		bool ok;
		int64_t ms;
	} rows[] = {
		{ "90", 1000, true, 90000 },
		{ "90s", 1, true, 90000 },
		{ "15m", 1000, true, 900000 },
		{ "1500ms", 1000, true, 1500 },
		{ "2h", 1, true, 7200000 },
		{ "1d", 1, true, 86400000 },
		{ "s", 1, false, 0 },
		{ "-1s", 1, false, 0 },
		{ "1x", 1, false, 0 },
		{ "", 1, false, 0 },
		{ "9223372036854775807h", 1, false, 0 },
		{ "1.5s", 1, false, 0 },
		{ "400d", 1, false, 0 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		int64_t v = -1;

		TEST_ROW(i);
		CHECK_INT(
			str_to_ms(str_of(rows[i].in), rows[i].unit, 0, 365 * INT64_C(86400000), &v),
			rows[i].ok);
		CHECK_INT(v, rows[i].ok ? rows[i].ms : -1);
	}
}

static void booleans(void)
{
	bool v = false;

	CHECK(str_to_bool(str_of("TRUE"), &v) && v);
	CHECK(str_to_bool(str_of("off"), &v) && !v);
	CHECK(str_to_bool(str_of("1"), &v) && v);
	CHECK(!str_to_bool(str_of("maybe"), &v) && v);
	CHECK(!str_to_bool(str_of(""), &v));
}

static void ids(void)
{
	static const struct {
		const char *in;
		bool ok;
	} rows[] = {
		{ "a", true },         { "A.b_c-9", true }, { ".", false },   { "..", false },
		{ "...", true },       { "", false },       { "a/b", false }, { "a b", false },
		{ "\xC3\xA9", false }, { "a\n", false },    { ".a", true },
	};
	char longest[130];

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_INT(str_is_id(str_of(rows[i].in)), rows[i].ok);
	}
	memset(longest, 'a', sizeof(longest));
	CHECK(str_is_id((struct str){ longest, 128 }));
	CHECK(!str_is_id((struct str){ longest, 129 }));
	CHECK(!str_is_id((struct str){ "a\0b", 3 }));
}

static void utf8_lengths(void)
{
	static const struct {
		const char *in;
		int len;
	} rows[] = {
		{ "a", 1 },
		{ "\xC3\xA9", 2 },
		{ "\xE2\x82\xAC", 3 },
		{ "\xF0\x9F\x98\x80", 4 },
		{ "\xF4\x8F\xBF\xBF", 4 },
		{ "\xC3", -1 },
		{ "\xE2\x82", -1 },
		{ "\xF0\x9F\x98", -1 },
		{ "\x80", 0 },
		{ "\xC0\xAF", 0 },         /* overlong */
		{ "\xE0\x80\xAF", 0 },     /* overlong */
		{ "\xF0\x80\x80\xAF", 0 }, /* overlong */
		{ "\xED\xA0\x80", 0 },     /* surrogate */
		{ "\xF4\x90\x80\x80", 0 }, /* above U+10FFFF */
		{ "\xF5\x80\x80\x80", 0 },
		{ "\xFF", 0 },
		{ "\xC3(", 0 },
		{ "\xE2\x82(", 0 },
		{ "\xED\xA0", 0 }, /* a surrogate is no valid beginning */
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_INT(str_utf8_len(rows[i].in, strlen(rows[i].in)), rows[i].len);
	}
	CHECK_INT(str_utf8_len("", 0), -1);
	CHECK_INT(str_utf8_len("\0", 1), 1);
}

TEST_MAIN(TEST(compare_and_trim), TEST(next_gives_every_piece), TEST(integers), TEST(durations),
          TEST(booleans), TEST(ids), TEST(utf8_lengths))
