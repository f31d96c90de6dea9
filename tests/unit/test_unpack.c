/* SPDX-License-Identifier: Apache-2.0 */
/* base/unpack.h: what cmake/packer.py made of texts, empty and long, behind what is there. */
#include "base/unpack.h"

#include "base/attr.h"
#include "tests/test.h"

static void texts_are_whole(void)
{
	static const struct {
		const char *packed;
		size_t n;
		const char *again; /* what the text repeats */
		size_t size;
	} rows[] = {
		{ "\x00\x00\x00\x03\x00", 5, "", 0 },
		{ "\x00\x00\x03\x4b\x4c\x4a\x06\x00", 8, "abc", 3 },
		{ "\x00\x00\x10\x4b\x4c\x4a\x44\x81\x00", 9, "ab", 16 },
		{ "\x01\x11\x70\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xac\xeb\x5f\xc2\x12\x9e\x40\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x6f\x03",
		  89, "aa", 70000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t each = strlen(rows[i].again);
		struct buf b = { 0 };

		TEST_ROW(i);
		buf_adds(&b, "before");
		unpack(&b, (const unsigned char *)rows[i].packed, rows[i].n);
		CHECK_INT(b.n, 6 + rows[i].size);
		CHECK(memcmp(b.p, "before", 6) == 0);
		for (size_t k = 0; k < rows[i].size; k++)
			CHECK(b.p[6 + k] == rows[i].again[k % each]);
		CHECK_INT(b.p[b.n], 0);
		buf_free(&b);
	}
}

TEST_MAIN(TEST(texts_are_whole))
