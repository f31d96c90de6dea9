/* SPDX-License-Identifier: Apache-2.0 */
/* Mirrors and registries without TLS as the operator names them. */
#include "oci/where.h"

#include "base/attr.h"
#include "tests/test.h"

static void mirrors_are_asked_in_their_order(void)
{
	static const struct {
		const char *text, *host, *mirrors;
	} rows[] = {
		{ NULL, "docker.io", "" },
		{ "", "docker.io", "" },
		{ "docker.io=a:5000", "docker.io", "a:5000 " },
		{ "docker.io=a:5000", "ghcr.io", "" },
		{ " docker.io=a:5000 , ghcr.io=b,Docker.IO=c", "docker.io", "a:5000 c " },
		{ "host:1=m", "host:1", "m " },
		{ "host:1=m", "host", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = { 0 };

		where_set(rows[i].text, NULL);
		for (size_t k = 0; where_mirror(rows[i].host, k, &b); k++)
			buf_addc(&b, ' ');
		CHECK_STR(buf_cstr(&b), rows[i].mirrors);
		buf_free(&b);
	}
	where_set(NULL, NULL);
}

static void plain_ones_are_those_named(void)
{
	where_set(NULL, "a:5000, B ,c");
	CHECK(where_is_plain("a:5000") && where_is_plain("b") && where_is_plain("c"));
	CHECK(!where_is_plain("a") && !where_is_plain("a:5001") && !where_is_plain(""));
	where_set(NULL, NULL);
	CHECK(!where_is_plain("a:5000"));
}

static void what_is_no_mirror_is_named(void)
{
	static const char *const good[] = { "", "a=b", "docker.io=m:5000, ghcr.io=[::1]:5000" };
	static const char *const bad[] = { "a",     "=b",     "a=",       "a=b=c", "a=http://b",
		                           "a/b=c", "a=b,,c", "user@a=b", "a=b c" };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		CHECK_INT(where_check(good[i], &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CHECK_INT(where_check(bad[i], &e), -1);
		CHECK(strstr(e.msg, "is not HOST=MIRROR[:PORT]") != NULL);
		err_clear(&e);
	}
}

TEST_MAIN(TEST(mirrors_are_asked_in_their_order), TEST(plain_ones_are_those_named),
          TEST(what_is_no_mirror_is_named))
