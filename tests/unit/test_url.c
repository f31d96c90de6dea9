/* SPDX-License-Identifier: Apache-2.0 */
/* net/url.h: what is taken, what is refused and how it is said, origins, references. */
#include "net/url.h"

#include "tests/test.h"

#include <stdlib.h>

static char *exact(const char *s)
{
	size_t n = strlen(s);
	char *p = malloc(n ? n : 1);

	if (!p)
		abort();
	memcpy(p, s, n);
	return p;
}

static int parse(const char *text, struct url *u, struct err *e)
{
	char *copy = exact(text);
	int rc = url_parse((struct str){ copy, strlen(text) }, u, e);

	free(copy);
	return rc;
}

static void accepted_urls_have_their_parts(void)
{
	static const struct {
		const char *text, *scheme, *user, *password, *host, *path, *query, *display;
		int port;
		bool ip, given;
	} rows[] = {
		{ "http://h", "http", NULL, NULL, "h", "", NULL, "http://h", 80, false, false },
		{ "HTTPS://H.Example/", "https", NULL, NULL, "h.example", "", NULL,
		  "https://h.example", 443, false, false },
		{ "  http://h:3986/a/b//\r\n", "http", NULL, NULL, "h", "/a/b", NULL,
		  "http://h:3986/a/b", 3986, false, true },
		{ "http://h:80/", "http", NULL, NULL, "h", "", NULL, "http://h", 80, false, true },
		{ "http://h:/x", "http", NULL, NULL, "h", "/x", NULL, "http://h/x", 80, false,
		  false },
		{ "https://u:p%40ss@h/x?a=b#f", "https", "u", "p@ss", "h", "/x", "a=b",
		  "https://h/x?a=b", 443, false, false },
		{ "https://a@b:p@h", "https", "a@b", "p", "h", "", NULL, "https://h", 443, false,
		  false },
		{ "http://[::1]:8080/", "http", NULL, NULL, "::1", "", NULL, "http://[::1]:8080",
		  8080, true, true },
		{ "http://10.0.0.5", "http", NULL, NULL, "10.0.0.5", "", NULL, "http://10.0.0.5",
		  80, true, false },
		{ "wss://h?q", "wss", NULL, NULL, "h", "", "q", "wss://h?q", 443, false, false },
		{ "tcp://h", "tcp", NULL, NULL, "h", "", NULL, "tcp://h", 2375, false, false },
		{ "unix:///run/x.sock", "unix", NULL, NULL, "", "/run/x.sock", NULL,
		  "unix:///run/x.sock", 0, false, false },
		{ "http://srv.example.:1", "http", NULL, NULL, "srv.example.", "", NULL,
		  "http://srv.example.:1", 1, false, true },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };
		struct buf b = { 0 };

		TEST_ROW(i);
		if (!CHECK(parse(rows[i].text, &u, &e) == 0))
			continue;
		CHECK_STR(u.scheme, rows[i].scheme);
		CHECK_STR(u.user, rows[i].user);
		CHECK_STR(u.password, rows[i].password);
		CHECK_STR(u.host, rows[i].host);
		CHECK_STR(u.path, rows[i].path);
		CHECK_STR(u.query, rows[i].query);
		CHECK_INT(u.port, rows[i].port);
		CHECK(u.host_is_ip == rows[i].ip);
		CHECK(u.port_given == rows[i].given);
		url_display(&u, &b);
		CHECK_STR(buf_cstr(&b), rows[i].display);
		buf_free(&b);
		url_free(&u);
		url_free(&u);
	}
}

static void refused_urls_say_why(void)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "empty" },
		{ " \r\n ", "empty" },
		{ "h:3986", "no scheme" },
		{ "ftp://h", "unknown scheme" },
		{ "http://", "no host" },
		{ "http:///x", "no host" },
		{ "http://:80", "no host" },
		{ "http://h:0", "port" },
		{ "http://h:65536", "port" },
		{ "http://h:+80", "port" },
		{ "http://h:8x", "port" },
		{ "http://[::1", "bracket" },
		{ "http://[::1]x", "port" },
		{ "http://[1.2.3.4]", "not an IPv6" },
		{ "http://[zz::1]", "not an IPv6" },
		{ "http://::1/", "brackets" },
		{ "http://10.0.0.256", "not an IPv4" },
		{ "http://a b/", "space or control" },
		{ "http://a\tb/", "space or control" },
		{ "http://h/\x01", "space or control" },
		{ "http://h\xc3\xa9/", "xn--" },
		{ "http://h_/%", NULL },
		{ "http://u%zz@h", "percent-encoded" },
		{ "http://u%00@h", "percent-encoded" },
		{ "http://a..b/", "empty part" },
		{ "http://.a/", "empty part" },
		{ "unix://run/x", "begin with /" },
		{ "unix://", "begin with /" },
		{ "unix:///", "empty" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };
		int rc = parse(rows[i].text, &u, &e);

		TEST_ROW(i);
		if (!rows[i].why) {
			CHECK(rc == 0);
			url_free(&u);
			continue;
		}
		CHECK(rc == -1);
		CHECK_INT(e.kind, ERR_CONFIG);
		if (!CHECK(strstr(e.msg, rows[i].why) != NULL))
			fprintf(stderr, "  have: %s\n", e.msg);
	}
}

static void messages_never_show_the_user_part(void)
{
	static const char *const rows[] = { "http://u:hunter2@h:0/", "ftp://u:hunter2@h",
		                            "http://u:hunter2@/x", "http://u:hunter2@a@h:99999",
		                            "http://u:hunter2@h x" };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK(parse(rows[i], &u, &e) == -1);
		CHECK(strstr(e.msg, "hunter2") == NULL);
	}
}

static void overlong_is_refused(void)
{
	char text[5000];
	struct url u;
	struct err e = { 0 };

	memset(text, 'a', sizeof(text));
	memcpy(text, "http://h/", 9);
	CHECK(url_parse((struct str){ text, sizeof(text) }, &u, &e) == -1);
	CHECK(url_parse((struct str){ text, 4096 }, &u, &e) == 0);
	url_free(&u);
	memcpy(text, "http://hh", 9);
	CHECK(url_parse((struct str){ text, 400 }, &u, &e) == -1);
}

static void loopback_is_recognised(void)
{
	static const struct {
		const char *text;
		bool loopback;
	} rows[] = {
		{ "http://localhost", true },          { "http://LOCALHOST:1", true },
		{ "http://a.localhost", true },        { "http://localhost.", true },
		{ "http://127.9.9.9", true },          { "http://[::1]", true },
		{ "http://[::ffff:127.0.0.1]", true }, { "unix:///x", true },
		{ "http://128.0.0.1", false },         { "http://[::2]", false },
		{ "http://notlocalhost", false },      { "http://localhost.evil", false },
		{ "http://127.0.0.1.evil", false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };

		TEST_ROW(i);
		if (!CHECK(parse(rows[i].text, &u, &e) == 0))
			continue;
		CHECK(url_is_loopback(&u) == rows[i].loopback);
		url_free(&u);
	}
}

static void references_resolve(void)
{
	/* From RFC 3986 5.4 where our schemes allow it. */
	static const struct {
		const char *ref, *want;
	} rows[] = {
		{ "g", "http://a/b/c/g" },
		{ "./g", "http://a/b/c/g" },
		{ "g/", "http://a/b/c/g/" },
		{ "/g", "http://a/g" },
		{ "//g", "http://g" },
		{ "//g/x/", "http://g/x/" },
		{ "?y", "http://a/b/c/d?y" },
		{ "g?y", "http://a/b/c/g?y" },
		{ "#s", "http://a/b/c/d?q" },
		{ "", "http://a/b/c/d?q" },
		{ ".", "http://a/b/c/" },
		{ "..", "http://a/b/" },
		{ "../g", "http://a/b/g" },
		{ "../../g", "http://a/g" },
		{ "../../../g", "http://a/g" },
		{ "/./g", "http://a/g" },
		{ "/../g", "http://a/g" },
		{ "g.", "http://a/b/c/g." },
		{ "./g/.", "http://a/b/c/g/" },
		{ "g/../h", "http://a/b/c/h" },
		{ "https://x:1/y", "https://x:1/y" },
		{ "https://u:p@x/", "https://x/" },
		{ "mailto:x", NULL },
		{ "http://", NULL },
		{ "a b", NULL },
	};
	struct url base;
	struct err e = { 0 };

	if (!CHECK(parse("http://a/b/c/d?q", &base, &e) == 0))
		return;
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct buf b = { 0 };
		int rc = url_resolve(&base, str_of(rows[i].ref), &u, &e);

		TEST_ROW(i);
		CHECK((rc == 0) == (rows[i].want != NULL));
		if (rc == 0) {
			url_display(&u, &b);
			CHECK_STR(buf_cstr(&b), rows[i].want);
			buf_free(&b);
			url_free(&u);
		}
	}
	url_free(&base);
}

static void origins_compare(void)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "http://h/a", "http://H:80/b", true },    { "http://h", "https://h", false },
		{ "http://h", "http://h:81", false },       { "http://h", "http://g", false },
		{ "unix:///a", "unix:///a", true },         { "unix:///a", "unix:///b", false },
		{ "https://h", "https://h:443/x?y", true },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url a, b;
		struct err e = { 0 };

		TEST_ROW(i);
		if (!CHECK(parse(rows[i].a, &a, &e) == 0 && parse(rows[i].b, &b, &e) == 0))
			continue;
		CHECK(url_same_origin(&a, &b) == rows[i].same);
		url_free(&a);
		url_free(&b);
	}
}

static void host_header_leaves_the_default_port_out(void)
{
	static const char *const rows[][2] = {
		{ "http://h:80", "h" },       { "http://h:81", "h:81" },
		{ "https://[::1]", "[::1]" }, { "wss://h:80", "h:80" },
		{ "unix:///x", "localhost" }, { "tcp://h:2376", "h:2376" }
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };
		struct buf b = { 0 };

		TEST_ROW(i);
		if (!CHECK(parse(rows[i][0], &u, &e) == 0))
			continue;
		url_host_header(&u, &b);
		CHECK_STR(buf_cstr(&b), rows[i][1]);
		buf_free(&b);
		url_free(&u);
	}
}

static void texts_compare(void)
{
	static const struct {
		const char *a, *b;
		bool origin, path;
	} rows[] = {
		{ "https://a.example/x", "https://A.example:443/x", true, true },
		{ "https://a.example/x", "https://a.example/y", true, false },
		{ "https://a.example/x", "http://a.example/x", false, false },
		{ "https://a.example/x", "https://b.example/x", false, false },
		{ "no url", "no url", false, false },
		{ NULL, "https://a.example", false, false },
		{ "https://a.example", NULL, false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		TEST_ROW(i);
		CHECK(url_texts_match(rows[i].a, rows[i].b, false) == rows[i].origin);
		CHECK(url_texts_match(rows[i].a, rows[i].b, true) == rows[i].path);
	}
	CHECK(url_text_is_loopback("http://127.0.0.1:1"));
	CHECK(!url_text_is_loopback("http://192.0.2.1:1"));
	CHECK(!url_text_is_loopback("no url"));
	CHECK(!url_text_is_loopback(NULL));
	CHECK(!url_is_loopback(&(struct url){ 0 }));
	CHECK(!url_is_tls(&(struct url){ 0 }));
}

TEST_MAIN(TEST(accepted_urls_have_their_parts), TEST(refused_urls_say_why),
          TEST(messages_never_show_the_user_part), TEST(overlong_is_refused),
          TEST(loopback_is_recognised), TEST(references_resolve), TEST(origins_compare),
          TEST(texts_compare), TEST(host_header_leaves_the_default_port_out))
