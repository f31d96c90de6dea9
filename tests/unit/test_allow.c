/* SPDX-License-Identifier: Apache-2.0 */
#include "base/allow.h"

#include "base/attr.h"
#include "git/url.h"
#include "oci/image_ref.h"
#include "tests/test.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void patterns_keep_to_components(void)
{
	static const struct {
		const char *pattern, *name;
		bool is;
	} rows[] = {
		{ "docker.io/library/*", "docker.io/library/debian", true },
		{ "docker.io/library/*", "docker.io/library/a/b", false },
		{ "*", "debian", true },
		{ "*", "a/b", false },
		{ "a/**", "a/b", true },
		{ "a/**", "a/b/c/d", true },
		{ "a/**", "a", false },
		{ "a/**", "a/", false },
		{ "a/**", "b/a/c", false },
		{ "*/acme/**", "ghcr.io/acme/x/y", true },
		{ "*/acme/**", "ghcr.io/evil/acme/x", false },
		{ "https://*.acme.com/**", "https://git.acme.com/a/b", true },
		{ "https://*.acme.com/**", "https://evil.com/x.acme.com/b", false },
		{ "https://*.acme.com/**", "https://evil.com/git.acme.com/", false },
		{ "**", "a", true },
		{ "**", "a/b", false },
		{ "[a-c]?", "bx", true },
		{ "[a-c]?", "dx", false },
		{ "a\\*", "a\\b", true },
		{ "", "", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		TEST_ROW(i);
		CHECK(allow_match(rows[i].pattern, rows[i].name) == rows[i].is);
	}
}

static bool image(const char *images, const char *registries, const char *ref)
{
	struct image_ref r = { 0 };
	struct err e = { 0 };
	int rc;

	allow_set(ALLOW_IMAGES, images);
	allow_set(ALLOW_REGISTRIES, registries);
	rc = image_ref_parse(ref, &r, &e);
	CHECK(rc == 0 || e.kind == ERR_DENIED);
	image_ref_free(&r);
	allow_set(ALLOW_IMAGES, NULL);
	allow_set(ALLOW_REGISTRIES, NULL);
	return rc == 0;
}

static void every_spelling_of_an_image_is_one(void)
{
	static const char *const debian[] = { "debian",
		                              "debian:latest",
		                              "library/debian",
		                              "docker.io/debian",
		                              "docker.io/library/debian:12",
		                              "index.docker.io/library/debian",
		                              ("debian@" DIGEST) };
	static const char *const others[] = { "debiant",
		                              "evil/debian",
		                              "ghcr.io/debian",
		                              "ghcr.io/library/debian:12",
		                              "localhost/debian",
		                              "library/debian/x",
		                              "debian.io/x",
		                              DIGEST,
		                              "docker.io:443/library/debian" };
	static const char *const lists[] = { "debian", "docker.io/library/debian",
		                             "alpine, docker.io/library/debian", "x y\tdebian" };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (size_t k = 0; k < ARRAY_LEN(debian); k++) {
			TEST_ROW(k);
			CHECK(image(lists[i], NULL, debian[k]));
			CHECK(image(NULL, "docker.io", debian[k]));
			CHECK(!image(NULL, "ghcr.io *.docker.io", debian[k]));
			CHECK(!image(lists[i], "ghcr.io", debian[k]));
		}
		for (size_t k = 0; k < ARRAY_LEN(others); k++) {
			TEST_ROW(k);
			CHECK(!image(lists[i], NULL, others[k]));
			CHECK(image(NULL, NULL, others[k]));
		}
	}
	CHECK(image("debian:12", NULL, "debian:12"));
	CHECK(!image("debian:12", NULL, "debian:13"));
	CHECK(!image("debian:12", NULL, "debian:12@" DIGEST)); /* the digest decides */
	CHECK(image("debian:12@sha256:0123*", NULL, "debian:12@" DIGEST));
	CHECK(image("debian@sha256:0123*", NULL, "debian@" DIGEST));
	CHECK(image(NULL, "reg.example.org:5000", "reg.example.org:5000/a/b:c"));
	CHECK(!image(NULL, "reg.example.org", "reg.example.org:5000/a/b:c"));
	CHECK(!image(" , ", NULL, "debian")); /* a list of nothing */
}

static bool repository(const char *list, const char *url)
{
	struct git_source s = { 0 };
	struct err e = { 0 };
	int rc;

	allow_set(ALLOW_REPOSITORIES, list);
	rc = git_source_parse(url, true, &s, &e);
	git_source_free(&s);
	allow_set(ALLOW_REPOSITORIES, NULL);
	return rc == 0;
}

static void every_spelling_of_a_repository_is_one(void)
{
	static const char *const ours[] = { "https://github.com/acme/app",
		                            "https://github.com/acme/app.git",
		                            "https://github.com/acme/app/",
		                            "https://GitHub.com/acme/app",
		                            "https://user:secret@github.com/acme/app",
		                            "github.com/acme/app",
		                            "git@github.com:acme/app.git",
		                            "ssh://git@github.com/acme/app" };
	static const char *const others[] = { "https://github.com/evil/app",
		                              "https://github.com/acme",
		                              "https://github.com/acme/../evil/app",
		                              "https://github.com/acme/%2e%2e/evil",
		                              "https://github.com/acme/..%2fevil",
		                              "https://github.com//acme/app",
		                              "https://github.com/acme/./app",
		                              "https://github.com@evil.com/acme/app",
		                              "https://evil.com/github.com/acme/app",
		                              "https://evil.com/?github.com/acme/app",
		                              "https://evil.com/x#github.com/acme/app",
		                              "https://github.com:8443/acme/app",
		                              "https://github.com/acme/app?x=y",
		                              "git@evil.com:github.com/acme/app",
		                              "git@github.com:/acme/../evil/app",
		                              "/srv/git/app",
		                              "file:///github.com/acme/app" };

	for (size_t k = 0; k < ARRAY_LEN(ours); k++) {
		TEST_ROW(k);
		CHECK(repository("github.com/acme/*", ours[k]));
		CHECK(!repository("github.com/evil/*", ours[k]));
		CHECK(!repository("gitlab.com/**", ours[k]));
		CHECK(repository(NULL, ours[k]));
	}
	for (size_t k = 0; k < ARRAY_LEN(others); k++) {
		TEST_ROW(k);
		CHECK(!repository("github.com/acme/*", others[k]));
	}
	CHECK(repository("https://github.com/**", "https://github.com/a/b"));
	CHECK(!repository("https://github.com/**", "http://github.com/a/b"));
	CHECK(!repository("https://github.com/**", "git@github.com:a/b"));
	CHECK(repository("ssh://github.com/**", "git@github.com:a/b"));
	CHECK(repository("file:///srv/git/*", "/srv/git/app"));
	CHECK(!repository("file:///srv/git/*", "/srv/git/../../etc"));
	CHECK(repository("host:8443/**", "https://host:8443/a"));
}

TEST_MAIN(TEST(patterns_keep_to_components), TEST(every_spelling_of_an_image_is_one),
          TEST(every_spelling_of_a_repository_is_one))
