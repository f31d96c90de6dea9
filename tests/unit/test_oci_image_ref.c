/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image_ref.h"
#include "tests/test.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define HEX96 HEX32 HEX32 HEX32

static void references_are_split_as_written(void)
{
	static const struct {
		const char *text, *domain, *path, *name, *tag, *digest, *full;
	} rows[] = {
		{ "debian", "docker.io", "library/debian", "debian", "latest", "",
		  "docker.io/library/debian:latest" },
		{ "debian:12", "docker.io", "library/debian", "debian", "12", "",
		  "docker.io/library/debian:12" },
		{ "a/b", "docker.io", "a/b", "a/b", "latest", "", "docker.io/a/b:latest" },
		{ "docker.io/debian", "docker.io", "library/debian", "docker.io/debian", "latest",
		  "", "docker.io/library/debian:latest" },
		{ "host:5000/app", "host:5000", "app", "host:5000/app", "latest", "",
		  "host:5000/app:latest" },
		{ "host:5000/app:1", "host:5000", "app", "host:5000/app", "1", "",
		  "host:5000/app:1" },
		{ "reg.acme.test/app", "reg.acme.test", "app", "reg.acme.test/app", "latest", "",
		  "reg.acme.test/app:latest" },
		{ "localhost/app:v1.2-x_3", "localhost", "app", "localhost/app", "v1.2-x_3", "",
		  "localhost/app:v1.2-x_3" },
		{ "[::1]:5000/a/b:t", "[::1]:5000", "a/b", "[::1]:5000/a/b", "t", "",
		  "[::1]:5000/a/b:t" },
		{ "a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		  "docker.io", "a/b", "a/b", "",
		  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		  "docker.io/a/b@sha256:"
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" },
		{ "r.io/a-b__c.d/e:1@sha384:" HEX96, "r.io", "a-b__c.d/e", "r.io/a-b__c.d/e", "1",
		  "sha384:" HEX96, "r.io/a-b__c.d/e:1@sha384:" HEX96 },
		{ "r-1.io/a@sha512:" HEX96 HEX32, "r-1.io", "a", "r-1.io/a", "",
		  "sha512:" HEX96 HEX32, "r-1.io/a@sha512:" HEX96 HEX32 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct image_ref r;
		struct err e = { 0 };
		struct buf full = { 0 };

		TEST_ROW(i);
		if (!CHECK_INT(image_ref_parse(rows[i].text, &r, &e), 0))
			continue;
		CHECK_STR(r.domain, rows[i].domain);
		CHECK_STR(r.path, rows[i].path);
		CHECK_STR(r.name, rows[i].name);
		CHECK_STR(r.tag, rows[i].tag);
		CHECK_STR(r.digest, rows[i].digest);
		CHECK(!r.is_id);
		image_ref_full(&r, &full);
		CHECK_STR(buf_cstr(&full), rows[i].full);
		buf_free(&full);
		image_ref_free(&r);
	}
}

static void ids_are_local(void)
{
	static const char *const ids[] = {
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	};

	for (size_t i = 0; i < TEST_N(ids); i++) {
		struct image_ref r;
		struct err e = { 0 };

		TEST_ROW(i);
		if (CHECK_INT(image_ref_parse(ids[i], &r, &e), 0)) {
			CHECK(r.is_id);
			CHECK_STR(r.name, ids[i]);
			image_ref_free(&r);
		}
	}
}

static void malformed_references_are_refused(void)
{
	static const char *const bad[] = {
		"a@sha256:" HEX32,
		"a@sha256:" HEX32 HEX32 "00",
		"a@sha512:" HEX32 HEX32,
		"a@md5:" HEX32,
		"a@SHA256:" HEX32 HEX32,
		"host-/a",
		"host-.io/a",
		"host.-io/a",
		"-host.io/a",
		"host.io-/a",
		"host.io./a",
		"host-:5000/a",
		"",
		"Debian",
		"a//b",
		"/a",
		"a/",
		"a:",
		"a:b:c",
		"a b",
		"a@sha256:12",
		"a@b",
		"-a",
		"a..b",
		"a___b",
		"host:x/app",
		"host:0/app",
		"h:99999/app",
		"a\nb",
		"a:-x",
		".a/b",
		"a_/b",
		"http://x/y",
		"a/B",
		"../x",
		"[::1/a",
		"a@sha256:zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
	};

	for (size_t i = 0; i < TEST_N(bad); i++) {
		struct image_ref r;
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(image_ref_parse(bad[i], &r, &e), -1);
		CHECK(e.kind == ERR_PARSE && *e.msg);
		CHECK(!r.name);
	}
}

TEST_MAIN(TEST(references_are_split_as_written), TEST(ids_are_local),
          TEST(malformed_references_are_refused))
