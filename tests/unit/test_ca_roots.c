/* SPDX-License-Identifier: Apache-2.0 */
/* The generated CA roots and notices: what the code that uses them relies on. */
#include "base/licenses.h"
#include "base/unpack.h"
#include "net/ca_roots.h"
#include "tests/test.h"

static void records_and_numbers_of_roots_meet(void)
{
	struct buf b = { 0 };
	size_t at = 0, numbers, n = 0;

	unpack(&b, ca_roots, ca_roots_size);
	numbers = b.n;
	for (; at < numbers; n++) {
		const unsigned char *p = (const unsigned char *)b.p + at;

		TEST_ROW(n);
		at += 8;
		for (size_t i = 0; i < 3; i++)
			at += (size_t)p[2 * i] << 8 | p[2 * i + 1];
		numbers -= 4 + ((size_t)p[6] << 8 | p[7]);
	}
	CHECK_INT(at, numbers);
	CHECK_INT(n, ca_roots_n);
	CHECK(n > 100);
	buf_free(&b);
}

static void notices_name_everything_and_stay_short(void)
{
	struct buf b = { 0 };
	const char *text;

	unpack(&b, dr_licenses, dr_licenses_n);
	text = buf_cstr(&b);
	CHECK(b.n < 16384);
	CHECK(strstr(text, "mbedTLS 3.6"));
	CHECK(strstr(text, "Serge A. Zaitsev"));
	CHECK(strstr(text, "Ben Hoyt"));
	CHECK(strstr(text, "Rich Felker"));
	CHECK(strstr(text, "musl 1.2"));
	CHECK(strstr(text, "Jean-loup Gailly"));
	CHECK(strstr(text, "Meta Platforms"));
	CHECK(strstr(text, "MPL-2.0"));
	buf_free(&b);
}

TEST_MAIN(TEST(records_and_numbers_of_roots_meet), TEST(notices_name_everything_and_stay_short))
