/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_parts.h: request bytes, dates, Retry-After, where redirects may lead. */
#include "net/http_parts.h"

#include "tests/test.h"

static void dates_in_three_forms(void)
{
	static const struct {
		const char *text;
		long long want; /* -1: refused */
	} rows[] = {
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
		{ "Sun Nov  6 08:49:37 1994", 784111777 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Tue, 29 Feb 2028 23:59:60 GMT", 1835481600 },
		{ "Fri, 01-Jan-38 00:00:00 GMT", 2145916800 },
		{ "Sun, 06 Nov 1994 08:49:37", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 CET", -1 },
		{ "Sun, 06 Nop 1994 08:49:37 GMT", -1 },
		{ "Sun, 32 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", -1 },
		{ "Sun, +6 Nov 1994 08:49:37 GMT", -1 },
		{ "soon", -1 },
		{ "", -1 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		int64_t got = -1;

		TEST_ROW(i);
		CHECK(http_date_parse(str_of(rows[i].text), &got) == (rows[i].want >= 0));
		CHECK_INT(got, rows[i].want);
	}
}

static void retry_after(void)
{
	static const struct {
		const char *headers;
		long long want;
	} rows[] = {
		{ "", -1 },
		{ "Retry-After: 7\r\n", 7000 },
		{ "Retry-After: 0\r\n", 0 },
		{ "Retry-After: -1\r\n", -1 },
		{ "Retry-After: 7.5\r\n", -1 },
		{ "Retry-After: 1e3\r\n", -1 },
		{ "Retry-After: 99999999999999999999\r\n", 600000 },
		{ "Retry-After: soon\r\n", -1 },
		{ "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n",
		  60000 },
		{ "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:30 GMT\r\n",
		  0 },
		{ "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1999 08:49:30 GMT\r\n",
		  600000 },
		{ "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n", 0 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };
		struct http_head h;
		struct err e = { 0 };

		TEST_ROW(i);
		buf_addf(&b, "HTTP/1.1 429 x\r\n%s\r\n", rows[i].headers);
		CHECK(http_parse_response(buf_str(&b), "GET", &h, &e) > 0);
		CHECK_INT(http_retry_after(&h), rows[i].want);
		buf_free(&b);
	}
}

static void requests_are_written(void)
{
	const struct http_field fields[] = { { "Authorization", "Bearer k" } };
	struct http_request req = { .method = "POST",
		                    .fields = fields,
		                    .n_fields = 1,
		                    .body = STR_LIT("{}"),
		                    .content_type = "application/json" };
	struct conn_target t = { 0 };
	struct url u, proxy;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (!CHECK(url_parse(STR_LIT("http://h:3986"), &u, &e) == 0 &&
	           url_parse(STR_LIT("http://Aladdin:open%20sesame@p:1"), &proxy, &e) == 0))
		return;
	t.url = &u;
	CHECK(http_request_head(&b, &req, "/a?b", &t, "ua", &e) == 0);
	CHECK_STR(
		buf_cstr(&b),
		"POST /a?b HTTP/1.1\r\nHost: h:3986\r\nUser-Agent: ua\r\nAuthorization: Bearer k\r\n"
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n");
	buf_reset(&b);
	t.proxy = &proxy;
	req = (struct http_request){ .method = "GET", .no_keep_alive = true };
	CHECK(http_request_head(&b, &req, "/", &t, NULL, &e) == 0);
	CHECK_STR(
		buf_cstr(&b),
		"GET http://h:3986/ HTTP/1.1\r\nHost: h:3986\r\n"
		"Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\nConnection: close\r\n\r\n");
	buf_reset(&b);
	t.proxy = NULL;
	req = (struct http_request){ .method = "PUT", .upgrade = true };
	CHECK(http_request_head(&b, &req, "/", &t, NULL, &e) == 0);
	CHECK_STR(
		buf_cstr(&b),
		"PUT / HTTP/1.1\r\nHost: h:3986\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\r\n");
	buf_free(&b);
	url_free(&u);
	url_free(&proxy);
}

static void requests_cannot_be_split(void)
{
	static const struct {
		const char *method, *target, *name, *value;
	} rows[] = {
		{ "GET\r\n", "/", "A", "b" },     { "", "/", "A", "b" },
		{ "GET", "/a b", "A", "b" },      { "GET", "/a\r\nX: y", "A", "b" },
		{ "GET", "a", "A", "b" },         { "GET", "", "A", "b" },
		{ "GET", "/", "A:", "b" },        { "GET", "/", "", "b" },
		{ "GET", "/", "A", "b\r\nX: y" }, { "GET", "/", "A", "b\n" },
		{ "GET", "/", "A\r", "b" },       { "GET", "/", "A", "\x7f" },
	};
	struct conn_target t = { 0 };
	struct url u;
	struct err e = { 0 };

	if (!CHECK(url_parse(STR_LIT("http://h"), &u, &e) == 0))
		return;
	t.url = &u;
	for (size_t i = 0; i < TEST_N(rows); i++) {
		const struct http_field f = { rows[i].name, rows[i].value };
		const struct http_request req = { .method = rows[i].method,
			                          .fields = &f,
			                          .n_fields = 1 };
		struct buf b = { 0 };

		TEST_ROW(i);
		err_clear(&e);
		CHECK(http_request_head(&b, &req, rows[i].target, &t, NULL, &e) == -1);
		CHECK_INT(e.kind, ERR_USAGE);
		CHECK(b.n == 0);
		buf_free(&b);
	}
	url_free(&u);
}

static void redirects(void)
{
	static const struct {
		const char *origin, *method, *location, *want; /* NULL: refused */
		int status;
	} rows[] = {
		{ "http://h:80", "GET", "/b", "/b", 302 },
		{ "http://h", "GET", "http://h:80/b/?c", "/b/?c", 301 },
		{ "http://h", "HEAD", "b", "/x/b", 303 },
		{ "http://h", "POST", "/b", "/b", 308 },
		{ "http://h", "POST", "/b", "/b", 307 },
		{ "http://h", "POST", "/b", NULL, 301 },
		{ "http://h", "DELETE", "/b", NULL, 302 },
		{ "http://h", "GET", "https://h/b", NULL, 301 },
		{ "https://h", "GET", "http://h/b", NULL, 301 },
		{ "http://h", "GET", "http://g/b", NULL, 301 },
		{ "http://h", "GET", "http://h:81/b", NULL, 301 },
		{ "http://h", "GET", "//g/b", NULL, 301 },
		{ "ws://h", "GET", "http://h/b", "/b", 301 },
		{ "unix:///run/x", "GET", "/b", "/b", 301 },
		{ "tcp://h", "GET", "/b", "/b", 301 },
		{ "http://h", "GET", "ftp://h/", NULL, 301 },
		{ "http://h", "GET", "http://u:secret@g/b", NULL, 301 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct http_reply r = { .status = rows[i].status };
		struct conn_target t = { 0 };
		struct buf next = { 0 };
		struct url u;
		struct err e = { 0 };

		TEST_ROW(i);
		if (!CHECK(url_parse(str_of(rows[i].origin), &u, &e) == 0))
			continue;
		t.url = &u;
		buf_addf(&r.head, "HTTP/1.1 %d x\r\nLocation: %s\r\n\r\n", rows[i].status,
		         rows[i].location);
		CHECK(http_parse_response(buf_str(&r.head), "GET", &r.h, &e) > 0);
		CHECK_INT(http_redirect(&t, rows[i].method, "/x/a?q", &r, &next, &e),
		          rows[i].want ? 1 : -1);
		if (rows[i].want)
			CHECK_STR(buf_cstr(&next), rows[i].want);
		else
			CHECK(strstr(e.msg, "secret") == NULL && e.kind != ERR_NONE);
		buf_free(&next);
		buf_free(&r.head);
		url_free(&u);
	}
}

static void proxies(void)
{
	static const struct {
		const char *url, *configured, *no_proxy, *want;
	} rows[] = {
		{ "http://h", "http://p", NULL, "http://p" },
		{ "http://h", "http://p", "", "http://p" },
		{ "http://h", NULL, NULL, "http://env" },
		{ "https://h", NULL, NULL, "http://envs" },
		{ "wss://h", NULL, NULL, "http://envs" },
		{ "tcp://h", NULL, NULL, NULL },
		{ "tcp://h", "http://p", NULL, "http://p" },
		{ "unix:///x", "http://p", NULL, NULL },
		{ "http://localhost:1", "http://p", NULL, NULL },
		{ "http://127.0.0.1", "http://p", NULL, NULL },
		{ "http://[::1]", "http://p", NULL, NULL },
		{ "http://excepted.example", NULL, NULL, NULL },
		{ "http://h", "http://p", "*", NULL },
		{ "http://h", "http://p", "x, h", NULL },
		{ "http://h", "http://p", "H", NULL },
		{ "http://a.h", "http://p", "h", NULL },
		{ "http://a.h", "http://p", ".h", NULL },
		{ "http://h", "http://p", ".h", NULL },
		{ "http://a.h", "http://p", "*.h", NULL },
		{ "http://a.h.", "http://p", "h", NULL },
		{ "http://ah", "http://p", "h", "http://p" },
		{ "http://h", "http://p", "h:80", NULL },
		{ "http://h", "http://p", "h:81", "http://p" },
		{ "http://10.1.2.3", "http://p", "10.0.0.0/8", NULL },
		{ "http://11.1.2.3", "http://p", "10.0.0.0/8", "http://p" },
		{ "http://10.1.2.3", "http://p", "10.1.2.0/23", NULL },
		{ "http://10.1.4.3", "http://p", "10.1.2.0/23", "http://p" },
		{ "http://10.1.2.3", "http://p", "10.1.2.3", NULL },
		{ "http://10.1.2.3", "http://p", "10.1.2.3:80", NULL },
		{ "http://10.1.2.3", "http://p", "2.3", "http://p" },
		{ "http://[fd00::1]", "http://p", "fd00::/8", NULL },
		{ "http://[fd00::1]", "http://p", "[fd00::1]:80", NULL },
		{ "http://[fd00::1]", "http://p", "fd00:0::1", NULL },
		{ "http://10.1.2.3", "http://p", "10.0.0.0/33,10.0.0.0/x,/", "http://p" },
		{ "http://10.1.2.3", "http://p", "0.0.0.0/0", NULL },
		{ "http://h", "http://p", ",,.,:,[],", "http://p" },
	};

	setenv("http_proxy", "http://env", 1);
	setenv("https_proxy", "http://envs", 1);
	setenv("no_proxy", "excepted.example", 1);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct url u;
		struct err e = { 0 };

		TEST_ROW(i);
		if (!CHECK(url_parse(str_of(rows[i].url), &u, &e) == 0))
			continue;
		CHECK_STR(proxy_for(&u, rows[i].configured, rows[i].no_proxy), rows[i].want);
		url_free(&u);
	}
}

static void proxy_values(void)
{
	struct url u;
	struct err e = { 0 };

	CHECK(proxy_parse("proxy:3128", &u, &e) == 0);
	CHECK_INT(u.port, 3128);
	url_free(&u);
	CHECK(proxy_parse("http://u:p@proxy:3128/", &u, &e) == 0);
	CHECK_STR(u.user, "u");
	url_free(&u);
	CHECK(proxy_parse("socks5://proxy:1080", &u, &e) == -1);
	CHECK(proxy_parse("https://proxy", &u, &e) == -1);
	CHECK_INT(e.kind, ERR_UNSUPPORTED);
}

TEST_MAIN(TEST(dates_in_three_forms), TEST(retry_after), TEST(requests_are_written),
          TEST(requests_cannot_be_split), TEST(redirects), TEST(proxies), TEST(proxy_values))
