/* SPDX-License-Identifier: Apache-2.0 */
/* The generated CA index and notices: what the code that uses them relies on. */
#include "base/licenses.h"
#include "net/ca_roots.h"
#include "tests/test.h"

static void index_is_sorted_and_covers_the_blob(void)
{
	uint32_t hash = 0, offset = 0;

	CHECK(ca_roots_n > 100);
	for (size_t i = 0; i < ca_roots_n; i++) {
		const struct ca_root_ref *r = &ca_roots[i];
		const unsigned char *der = ca_roots_der + r->offset;

		TEST_ROW(i);
		CHECK(r->subject_hash >= hash);
		CHECK_INT(r->offset, offset);
		/* A certificate is one SEQUENCE with a two-byte length. */
		CHECK(r->len > 4 && der[0] == 0x30 && der[1] == 0x82);
		CHECK_INT(r->len, 4 + der[2] * 256 + der[3]);
		hash = r->subject_hash;
		offset += r->len;
	}
}

static void notices_name_everything_and_stay_short(void)
{
	CHECK(strlen(dr_licenses) < 4096);
	CHECK(strstr(dr_licenses, "mbedTLS 3.6"));
	CHECK(strstr(dr_licenses, "Serge A. Zaitsev"));
	CHECK(strstr(dr_licenses, "Ben Hoyt"));
	CHECK(strstr(dr_licenses, "Rich Felker"));
	CHECK(strstr(dr_licenses, "MPL-2.0"));
}

TEST_MAIN(TEST(index_is_sorted_and_covers_the_blob), TEST(notices_name_everything_and_stay_short))
