/* SPDX-License-Identifier: Apache-2.0 */
/* The generated CA roots and notices: what the code that uses them relies on. */
#include "base/licenses.h"
#include "base/unpack.h"
#include "net/ca_roots.h"
#include "tests/test.h"

static size_t number(const unsigned char *p)
{
	return (size_t)p[0] << 8 | p[1];
}

static void roots_use_up_texts_and_keys(void)
{
	struct buf b = { 0 };
	size_t at = 0, keys = 0, n = 0;

	unpack(&b, ca_roots_texts, ca_roots_texts_n);
	for (; at + 6 <= b.n; n++) {
		const unsigned char *p = (const unsigned char *)b.p + at;

		TEST_ROW(n);
		CHECK(number(p) > 32 && number(p + 2) >= 32);
		keys += number(p + 2);
		at += 6 + number(p) + number(p + 4);
	}
	CHECK_INT(at, b.n);
	CHECK_INT(keys, ca_roots_keys_n);
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
	CHECK(b.n < 4096);
	CHECK(strstr(text, "mbedTLS 3.6"));
	CHECK(strstr(text, "Serge A. Zaitsev"));
	CHECK(strstr(text, "Ben Hoyt"));
	CHECK(strstr(text, "Rich Felker"));
	CHECK(strstr(text, "MPL-2.0"));
	buf_free(&b);
}

TEST_MAIN(TEST(roots_use_up_texts_and_keys), TEST(notices_name_everything_and_stay_short))
