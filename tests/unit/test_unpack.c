/* SPDX-License-Identifier: Apache-2.0 */
/* base/unpack.h: each kind of step and copies that overlap. */
#include "base/unpack.h"

#include "base/attr.h"
#include "tests/test.h"

static void steps_are_followed(void)
{
	static const struct {
		const char *packed;
		size_t n;
		const char *want;
	} rows[] = {
		{ "", 0, "" },
		{ "\x02"
		  "abc",
		  4, "abc" },
		{ "\x02"
		  "abc\x80\x02",
		  6, "abcabc" },
		{ "\x00"
		  "a\xd0\x00",
		  4, "aaaaaaaaa" }, /* 8 is the longest copy of two bytes */
		{ "\x00"
		  "a\xf0\x00\x06",
		  5, "aaaaaaaaaa" }, /* 9 */
		{ "\x00"
		  "a\xe0\x00\x00\x06",
		  6, "aaaaaaaaaa" }, /* the long way */
		{ "\x01"
		  "ab\xf0\x01\x0c",
		  6, "ababababababababa" }, /* 15, overlapping */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		unpack(&b, (const unsigned char *)rows[i].packed, rows[i].n);
		CHECK_STR(buf_cstr(&b), rows[i].want);
		buf_free(&b);
	}
}

static void far_and_long_copies(void)
{
	/* The longest from as near as can be, then the last of it from beyond that. */
	static const unsigned char packed[] = { 0xff, 0xff, 0xff, 0xe0, 0x10, 0xff, 0x02 };
	struct buf b = { 0 };

	for (unsigned i = 0; i < 4096; i++)
		buf_addc(&b, (char)('a' + i % 23));
	unpack(&b, packed, sizeof(packed));
	CHECK_INT(b.n, 4096 + 258 + 5);
	CHECK(memcmp(b.p + 4096, b.p, 258) == 0);
	CHECK(memcmp(b.p + 4096 + 258, b.p + 258 - 256, 5) == 0);
	CHECK_INT(b.p[b.n], 0);
	buf_free(&b);
}

TEST_MAIN(TEST(steps_are_followed), TEST(far_and_long_copies))
