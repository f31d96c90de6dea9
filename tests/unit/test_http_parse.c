/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/http_parse.h: heads and chunks, each input whole, truncated at every byte and split at every
 * byte, always in an exact-size block so that the sanitizer sees an overread.
 */
#include "net/http_parse.h"

#include "base/buf.h"

#include "tests/test.h"

#include <stdlib.h>

static char *exact(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, p, n);
	return copy;
}

static void response_heads(void)
{
	static const struct {
		const char *text, *method;
		int status; /* 0: refused */
		enum http_framing framing;
		long length;
		bool keep;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", 200, HTTP_LENGTH, 5,
		  true },
		{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 200, HTTP_LENGTH, 0, true },
		{ "HTTP/1.1 200 \r\n\r\n", "GET", 200, HTTP_UNTIL_CLOSE, 0, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", 200, HTTP_LENGTH, 5,
		  false },
		{ "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n", "GET",
		  200, HTTP_LENGTH, 5, true },
		{ "HTTP/1.1 200 OK\r\nconnection: x , CLOSE\r\ncontent-length:5\r\n\r\n", "GET",
		  200, HTTP_LENGTH, 5, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", 200, HTTP_CHUNKED,
		  0, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
		  "GET", 200, HTTP_CHUNKED, 5, false },
		{ "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", 204, HTTP_NO_BODY,
		  0, true },
		{ "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "POST", 304,
		  HTTP_NO_BODY, 0, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "HEAD", 200, HTTP_NO_BODY, 0,
		  true },
		{ "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "GET", 103, HTTP_NO_BODY, 0,
		  true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", 200,
		  HTTP_LENGTH, 5, true },
		{ "HTTP/1.1 200 caf\xc3\xa9\r\nX:\r\nY: \t a \t\r\nContent-Length: 9223372036854775807\r\n\r\n",
		  "GET", 200, HTTP_LENGTH, 0x7fffffffffffffff, true },
		{ "HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n", "CONNECT",
		  200, HTTP_NO_BODY, 0, true },
		{ "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\n", "GET", 0, 0, 0, false },
		{ "\r\nHTTP/1.1 200 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/2 200 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.2 200 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1  200 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 20 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 +20 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 099 OK\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nA : c\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\n: c\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "GET", 0, 0,
		  0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5,6\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "GET", 0, 0, 0, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "GET", 0, 0, 0,
		  false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "GET", 0, 0, 0,
		  false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		  "GET", 0, 0, 0, false },
		{ "SSH-2.0-x\r\n", "GET", 0, 0, 0, false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		size_t n = strlen(rows[i].text);
		struct http_head h;
		struct err e = { 0 };
		char *whole = exact(rows[i].text, n);
		long rc = http_parse_response((struct str){ whole, n }, rows[i].method, &h, &e);
		bool refused_early = false;

		TEST_ROW(i);
		CHECK_INT(rc, rows[i].status ? (long long)n : -1);
		if (rows[i].status && rc > 0) {
			CHECK_INT(h.status, rows[i].status);
			CHECK_INT(h.framing, rows[i].framing);
			CHECK(h.keep_alive == rows[i].keep);
			CHECK_INT((long long)h.length, rows[i].length);
		} else {
			CHECK_INT(e.kind, ERR_PARSE);
		}
		free(whole);
		for (size_t cut = 0; cut < n; cut++) {
			char *part = exact(rows[i].text, cut);

			rc = http_parse_response((struct str){ part, cut }, rows[i].method, &h, &e);
			CHECK(rc == 0 || (rc == -1 && !rows[i].status));
			CHECK(!refused_early || rc == -1); /* what is malformed stays so */
			refused_early |= rc == -1;
			free(part);
		}
	}
}

static void request_heads(void)
{
	static const struct {
		const char *text, *method, *target;
		enum http_framing framing;
		long consumed;
	} rows[] = {
		{ "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\nrest", "GET", "/a?b", HTTP_NO_BODY, 30 },
		{ "\r\nPOST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", "POST", "/", HTTP_LENGTH,
		  40 },
		{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "POST", "/",
		  HTTP_CHUNKED, 47 },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*", HTTP_NO_BODY, 22 },
		{ "\r\n\r\nGET / HTTP/1.1\r\n\r\n", NULL, NULL, 0, -1 },
		{ "GET  / HTTP/1.1\r\n\r\n", NULL, NULL, 0, -1 },
		{ "GET / a HTTP/1.1\r\n\r\n", NULL, NULL, 0, -1 },
		{ "GET /\r\n\r\n", NULL, NULL, 0, -1 },
		{ "GET / HTTP/1.1 \r\n\r\n", NULL, NULL, 0, -1 },
		{ "G(T / HTTP/1.1\r\n\r\n", NULL, NULL, 0, -1 },
		{ "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
		  NULL, NULL, 0, -1 },
		{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, NULL, 0, -1 },
		{ "\x16\x03\x01\x02\r\n", NULL, NULL, 0, -1 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		size_t n = strlen(rows[i].text);
		struct http_head h;
		struct err e = { 0 };
		char *whole = exact(rows[i].text, n);
		long rc = http_parse_request((struct str){ whole, n }, &h, &e);

		TEST_ROW(i);
		CHECK_INT(rc, rows[i].consumed);
		if (rc > 0) {
			CHECK(str_eq(h.method, rows[i].method));
			CHECK(str_eq(h.target, rows[i].target));
			CHECK_INT(h.framing, rows[i].framing);
		}
		free(whole);
		for (size_t cut = 0; rows[i].consumed > 0 && cut < (size_t)rows[i].consumed;
		     cut++) {
			char *part = exact(rows[i].text, cut);

			CHECK_INT(http_parse_request((struct str){ part, cut }, &h, &e), 0);
			free(part);
		}
	}
}

static void head_limits(void)
{
	struct buf b = { 0 };
	struct http_head h;
	struct err e = { 0 };

	buf_adds(&b, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_addf(&b, "X-%d: y\r\n", i);
	CHECK_INT(http_parse_response(buf_str(&b), "GET", &h, &e), 0);
	buf_adds(&b, "\r\n");
	CHECK_INT(http_parse_response(buf_str(&b), "GET", &h, &e), (long long)b.n);
	CHECK_INT((long long)h.n_headers, HTTP_HEADERS_MAX);
	b.n -= 2;
	buf_adds(&b, "One: more\r\n\r\n");
	CHECK_INT(http_parse_response(buf_str(&b), "GET", &h, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	buf_reset(&b);
	buf_adds(&b, "HTTP/1.1 200 OK\r\nX: ");
	while (b.n < HTTP_HEAD_MAX - 1)
		buf_addc(&b, 'a');
	CHECK_INT(http_parse_response(buf_str(&b), "GET", &h, &e), 0);
	buf_adds(&b, "aaaa");
	CHECK_INT(http_parse_response(buf_str(&b), "GET", &h, &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	buf_free(&b);
}

/* Feeds text in pieces of step bytes. Consumed bytes, or -1; the payload goes to out. */
static long feed(const char *text, size_t n, size_t step, struct buf *out, bool *done)
{
	struct http_chunked c = { 0 };
	struct err e = { 0 };
	long used = 0;

	for (size_t at = 0; at < n && !c.done;) {
		size_t piece = n - at < step ? n - at : step;
		char *copy = exact(text + at, piece);
		size_t pos = 0;

		while (pos < piece && !c.done) {
			struct str data;
			long rc = http_chunked_feed(&c, (struct str){ copy + pos, piece - pos },
			                            &data, &e);

			if (rc <= 0) {
				free(copy);
				CHECK(rc < 0); /* bytes that are there are always consumed */
				return -1;
			}
			buf_add_str(out, data);
			pos += (size_t)rc;
		}
		used += (long)pos;
		at += pos;
		free(copy);
	}
	*done = c.done;
	return used;
}

static void chunked_bodies(void)
{
	static const struct {
		const char *text, *data;
		long used; /* -1 refused; complete otherwise */
	} rows[] = {
		{ "0\r\n\r\n", "", 5 },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello", 15 },
		{ "5\r\nhello\r\nA;x=y;z=\"q\"\r\n0123456789\r\n000\r\n\r\nHTTP/1.1",
		  "hello0123456789", 42 },
		{ "1 \r\na\r\n0\t;e\r\n\r\n", "a", 15 },
		{ "1\r\na\r\n0\r\nEtag: x\r\nB: c\r\n\r\nHTTP/1.1 200", "a", 26 },
		{ "\r\n", "", -1 },
		{ "g\r\n", "", -1 },
		{ "-1\r\n", "", -1 },
		{ "0x5\r\n", "", -1 },
		{ "5\nhello\r\n", "", -1 },
		{ "5\r\nhello0\r\n", "hello", -1 },
		{ "5\r\nhello\n0\r\n", "hello", -1 },
		{ "5\rx", "", -1 },
		{ "0\r\n\n", "", -1 },
		{ "0\r\n\rx", "", -1 },
		{ "0\r\nA: b\n\r\n", "", -1 },
		{ "FFFFFFFFFFFFFFFFF\r\n", "", -1 },
		{ "8000000000000000\r\n", "", -1 },
		{ "1 1\r\na", "", -1 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		size_t n = strlen(rows[i].text);

		TEST_ROW(i);
		for (size_t step = 1; step <= n; step++) {
			struct buf out = { 0 };
			bool done = false;

			CHECK_INT(feed(rows[i].text, n, step, &out, &done), rows[i].used);
			CHECK_STR(buf_cstr(&out), rows[i].data);
			CHECK(done == (rows[i].used >= 0));
			buf_free(&out);
		}
		for (size_t cut = 0; rows[i].used > 0 && cut < (size_t)rows[i].used; cut++) {
			struct buf out = { 0 };
			bool done = false;

			CHECK_INT(feed(rows[i].text, cut, 3, &out, &done), (long long)cut);
			CHECK(!done);
			buf_free(&out);
		}
	}
}

static void chunk_limits(void)
{
	struct buf b = { 0 }, out = { 0 };
	bool done = false;

	buf_adds(&b, "1;");
	while (b.n < HTTP_CHUNK_LINE_MAX - 2)
		buf_addc(&b, 'x');
	buf_adds(&b, "\r\na\r\n0\r\n\r\n");
	CHECK_INT(feed(b.p, b.n, 100, &out, &done), (long long)b.n);
	CHECK(done);
	buf_reset(&b);
	buf_adds(&b, "1;");
	while (b.n < HTTP_CHUNK_LINE_MAX + 10)
		buf_addc(&b, 'x');
	CHECK_INT(feed(b.p, b.n, 100, &out, &done), -1);
	buf_reset(&b);
	buf_adds(&b, "0\r\n");
	while (b.n < HTTP_TRAILERS_MAX + 100)
		buf_adds(&b, "Aaaa: bbbb\r\n");
	CHECK_INT(feed(b.p, b.n, 1000, &out, &done), -1);
	buf_free(&b);
	buf_free(&out);
}

TEST_MAIN(TEST(response_heads), TEST(request_heads), TEST(head_limits), TEST(chunked_bodies),
          TEST(chunk_limits))
