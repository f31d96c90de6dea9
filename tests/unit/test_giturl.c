/* SPDX-License-Identifier: Apache-2.0 */
/* Repository URLs, branches and commits that may be given to git, and directory names. */
#include "base/buf.h"
#include "base/mem.h"
#include "git/clone.h"
#include "git/url.h"
#include "tests/test.h"

static void accepted_urls_are_split(void)
{
	static const struct {
		const char *in, *url, *scheme, *host, *user, *password;
	} t[] = {
		{ "https://github.com/acme/app", "https://github.com/acme/app", "https",
		  "github.com", NULL, NULL },
		{ "github.com/acme/app", "https://github.com/acme/app", "https", "github.com", NULL,
		  NULL },
		{ " https://host/x \n", "https://host/x", "https", "host", NULL, NULL },
		{ "HTTPS://Host:8443/X", "https://Host:8443/X", "https", "host:8443", NULL, NULL },
		{ "https://u:p@host/x", "https://host/x", "https", "host", "u", "p" },
		{ "https://u%40x:p%3Aq@host/x", "https://host/x", "https", "host", "u@x", "p:q" },
		{ "https://u:p@w@host/x", "https://host/x", "https", "host", "u", "p@w" },
		{ "https://token@host/x", "https://host/x", "https", "host", "token", NULL },
		{ "https://:t@host/x", "https://host/x", "https", "host", "", "t" },
		{ "https://host/a@b/x", "https://host/a@b/x", "https", "host", NULL, NULL },
		{ "host:8080/x", "https://host:8080/x", "https", "host:8080", NULL, NULL },
		{ "localhost:3000", "https://localhost:3000", "https", "localhost:3000", NULL,
		  NULL },
		{ "u:p@host/x", "https://host/x", "https", "host", "u", "p" },
		{ "http://127.0.0.1:80/a b", "http://127.0.0.1:80/a b", "http", "127.0.0.1:80",
		  NULL, NULL },
		{ "https://[::1]:8/x", "https://[::1]:8/x", "https", "[::1]:8", NULL, NULL },
		{ "ssh://git@host:22/x", "ssh://git@host:22/x", "ssh", "host:22", "git", NULL },
		{ "ssh://git:pw@host/x", "ssh://git@host/x", "ssh", "host", "git", "pw" },
		{ "git@github.com:acme/app.git", "git@github.com:acme/app.git", "ssh", "github.com",
		  "git", NULL },
		{ "github.com:acme/app", "github.com:acme/app", "ssh", "github.com", NULL, NULL },
		{ "[git@host:2222]:a/b.git", "[git@host:2222]:a/b.git", "ssh", "host:2222", "git",
		  NULL },
		{ "[Host:2222]:a/b.git", "[Host:2222]:a/b.git", "ssh", "host:2222", NULL, NULL },
		{ "git@[::1]:a/b.git", "git@[::1]:a/b.git", "ssh", "[::1]", "git", NULL },
		{ "[::1]:a/b.git", "[::1]:a/b.git", "ssh", "[::1]", NULL, NULL },
		{ "git@[host:2222]:a/b.git", "git@[host:2222]:a/b.git", "ssh", "host:2222", "git",
		  NULL },
		{ "git+ssh://git@[::1]:2222/x", "ssh://git@[::1]:2222/x", "ssh", "[::1]:2222",
		  "git", NULL },
		{ "git+ssh://git@host:22/x", "ssh://git@host:22/x", "ssh", "host:22", "git", NULL },
		{ "ssh+git://host/x", "ssh://host/x", "ssh", "host", NULL, NULL },
		{ "git://host/x", "git://host/x", "git", "host", NULL, NULL },
		{ "/srv/x", "file:///srv/x", "file", "", NULL, NULL },
		{ "file:///srv/x", "file:///srv/x", "file", "", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct git_source s;
		struct err e = { 0 };

		test_row = (long)i;
		if (!CHECK(git_source_parse(t[i].in, true, &s, &e) == 0)) {
			fprintf(stderr, "  %s\n", e.msg);
			continue;
		}
		CHECK_STR(s.url, t[i].url);
		CHECK_STR(s.scheme, t[i].scheme);
		CHECK_STR(s.host, t[i].host);
		CHECK_STR(s.user, t[i].user);
		CHECK_STR(s.password, t[i].password);
		git_source_free(&s);
		git_source_free(&s);
	}
}

static void dangerous_urls_are_refused(void)
{
	static const char *const t[] = {
		"",
		"   ",
		"-u",
		"--upload-pack=x",
		"ext::sh -c id",
		"EXT::sh -c id",
		"fd::7",
		"transport::http://x/y",
		"https://host/x\ny",
		"https://host/\x01",
		"https:///x",
		"https://-oProxyCommand=id/x",
		"ssh://-oProxyCommand=id/x",
		"ssh://-x@host/x",
		"ssh://@host/x",
		"ssh://:p@host/x",
		"-oProxyCommand=id@host:x",
		"git@-oProxyCommand=id:x",
		"git@host:-x",
		"[git@-oProxyCommand=id]:x",
		"[-oProxyCommand=id@host:1]:x",
		"[git@host:22]:-x",
		"[git@host:22]:",
		"[]:x",
		"git@[]:x",
		/* git would connect to other.org */
		"ssh://git@[other.org].host.org/x",
		"ssh://git@[other.org]:22.host.org/x",
		"git@[v@other.org:22]:x",
		"ssh://[git@other.org:22]:a/x",
		"[git@[::1]:2222]:x",
		"[[::1]:2222]:x",
		"[git@host:2222]/x",
		"git+https://host/x",
		"https://u%0ahost%3Devil:p@host/x",
		"https://u:%00@host/x",
		"https://u:%zz@host/x",
		"https://ho st/x",
		"ftp://host/x",
		"javascript://x/y",
		"file://host/x",
		"file://",
		"./x",
		"../x",
		"~/x",
	};
	char *longest = mem_alloc(GIT_URL_MAX + 2);
	struct git_source s;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		test_row = (long)i;
		e = (struct err){ 0 };
		CHECK(git_source_parse(t[i], true, &s, &e) < 0);
		CHECK(e.kind != ERR_NONE && e.msg[0]);
		CHECK(s.url == NULL && s.password == NULL);
	}
	test_row = -1;
	CHECK(git_source_parse("/srv/x", false, &s, &e) < 0);
	CHECK(git_source_parse("file:///srv/x", false, &s, &e) < 0);
	CHECK_INT(e.kind, ERR_UNSUPPORTED);
	memset(longest, 'a', GIT_URL_MAX + 1);
	CHECK(git_source_parse(longest, true, &s, &e) < 0);
	free(longest);
}

static void an_error_never_shows_the_user_part(void)
{
	static const char *const t[] = {
		"https://u:s3cr3t@-host/x",
		"https://u:s3cr3t%0a@host/x",
		"foo://u:s3cr3t@host/x",
		"u:s3cr3t@-host:x",
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct git_source s;
		struct err e = { 0 };

		test_row = (long)i;
		CHECK(git_source_parse(t[i], true, &s, &e) < 0);
		CHECK(strstr(e.msg, "s3cr3t") == NULL);
	}
}

static void normalize_gives_the_url_alone(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	CHECK_INT(git_url_normalize("/srv/x", false, &b, &e), -1);
	CHECK_INT((long long)b.n, 0);
	CHECK_INT(git_url_normalize("https://u:p@host/x", false, &b, &e), 0);
	CHECK_STR(buf_cstr(&b), "https://host/x");
	buf_free(&b);
}

static void branches(void)
{
	static const char *const good[] = {
		"main", "feature/x", "v1.0", "a-b_c", "x\"y", "x;y", "x$(id)", "\xc3\xa4", "a@b",
	};
	static const char *const bad[] = {
		"",     "-x",     "--upload-pack=id",
		"a b",  "a\nb",   "a..b",
		"a~b",  "a^b",    "a:b",
		"a?b",  "a*b",    "a[b",
		"a\\b", "a.",     "/a",
		"a/",   ".a",     "a/.b",
		"a//b", "a.lock", "a.lock/b",
		"@",    "a@{b",   "a\x7f",
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		test_row = (long)i;
		CHECK(git_branch_ok(good[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		test_row = (long)i;
		CHECK(!git_branch_ok(bad[i]));
	}
}

static void commits(void)
{
	CHECK(git_sha_ok("0123456789abcdef0123456789abcdef01234567"));
	CHECK(git_sha_ok("ABCD"));
	CHECK(!git_sha_ok(""));
	CHECK(!git_sha_ok("abc"));
	CHECK(!git_sha_ok("-abcd"));
	CHECK(!git_sha_ok("abcd "));
	CHECK(!git_sha_ok("master"));
	CHECK(!git_sha_ok("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"));
}

static void directory_names(void)
{
	static const struct {
		const char *name, *url, *want;
	} t[] = {
		{ "app", "https://h/acme/other", "app" },
		{ "", "https://h/acme/app", "app" },
		{ "", "https://h/acme/app.git", "app" },
		{ "", "https://h/acme/app/", "app" },
		{ "", "git@h:app.git", "app" },
		{ "", "https://h/acme/app?x=/y", "app" },
		{ "../..", "https://h/app", "app" },
		{ "a/b", "https://h/app", "app" },
		{ ".git", "https://h/app", "app" },
		{ ".runner", "https://h/app", "app" },
		{ "-rf", "https://h/app", "app" },
		{ "a b", "https://h/a b", "repository" },
		{ "..", "https://h/..", "repository" },
		{ "", "", "repository" },
		{ NULL, NULL, "repository" },
		{ "", "////", "repository" },
		{ "", ".git", "repository" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char name[64], url[64];
		struct repository r = { 0 };
		char *have;

		test_row = (long)i;
		snprintf(name, sizeof(name), "%s", t[i].name ? t[i].name : "");
		snprintf(url, sizeof(url), "%s", t[i].url ? t[i].url : "");
		r.name = t[i].name ? name : NULL;
		r.url = t[i].url ? url : NULL;
		have = git_dir_name(&r);
		CHECK_STR(have, t[i].want);
		free(have);
	}
}

TEST_MAIN(TEST(accepted_urls_are_split), TEST(dangerous_urls_are_refused),
          TEST(an_error_never_shows_the_user_part), TEST(normalize_gives_the_url_alone),
          TEST(branches), TEST(commits), TEST(directory_names))
