/* SPDX-License-Identifier: Apache-2.0 */
/* The generated CA roots and notices: what the code that uses them relies on. */
#include "base/licenses.h"
#include "base/unpack.h"
#include "net/ca_roots.h"
#include "tests/test.h"

static void roots_are_certificates_one_after_another(void)
{
	struct buf b = { 0 };
	size_t at = 0, n = 0;

	unpack(&b, ca_roots, ca_roots_size);
	for (; at + 4 <= b.n; n++) {
		const unsigned char *p = (const unsigned char *)b.p + at;

		TEST_ROW(n);
		CHECK(p[0] == 0x30 && p[1] == 0x82);
		at += 4 + ((size_t)p[2] << 8 | p[3]);
	}
	CHECK_INT(at, b.n);
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

TEST_MAIN(TEST(roots_are_certificates_one_after_another),
          TEST(notices_name_everything_and_stay_short))
