/* SPDX-License-Identifier: Apache-2.0 */
/* The generated CA index and notices: what the code that uses them relies on. */
#include "base/licenses.h"
#include "base/unpack.h"
#include "net/ca_roots.h"
#include "tests/test.h"

static void index_is_sorted_and_covers_the_blob(void)
{
	CHECK(ca_roots_n > 100);
	CHECK(ca_roots[0].offset == 0);
	for (size_t i = 0; i < ca_roots_n; i++) {
		const struct ca_root_ref *r = &ca_roots[i];

		TEST_ROW(i);
		CHECK(i == 0 || r[0].subject_hash >= r[-1].subject_hash);
		CHECK(r[1].offset > r[0].offset);
	}
	CHECK(ca_roots[ca_roots_n].offset == ca_roots_packed_n);
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

TEST_MAIN(TEST(index_is_sorted_and_covers_the_blob), TEST(notices_name_everything_and_stay_short))
