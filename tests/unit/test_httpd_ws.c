/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server's WebSockets: messages, texts that are none, and the ways of parting. */
#include "tests/unit/httpdcase.h"

static void websocket_echo(void)
{
	struct fixture f;
	struct buf out = { 0 }, reply = { 0 };
	struct ws_reader r = { 0 };
	struct err e = { 0 };
	enum ws_opcode op;
	struct str payload;
	bool closed;

	fixture_open(&f, NULL);
	buf_adds(&out, HANDSHAKE);
	ws_frame_add(&out, WS_TEXT, STR_LIT("one"), true);
	ws_frame_add(&out, WS_PING, STR_LIT("p"), true);
	ws_frame_add(&out, WS_BINARY, STR_LIT("two"), true);
	ws_frame_add(&out, WS_CLOSE, STR_LIT("\x03\xe8"), true);
	for (size_t piece = 1; piece <= out.n; piece += out.n - 1) {
		buf_reset(&reply);
		buf_reset(&f.messages);
		f.closed_code = 0;
		exchange(&f, out.p, out.n, piece, &reply, &closed);
		CHECK(closed);
		CHECK_STR(buf_cstr(&f.messages), "1:one;2:two;");
		CHECK_INT(f.closed_code, 1000);
		char *end = strstr(buf_cstr(&reply), "\r\n\r\n");
		if (!CHECK(end != NULL))
			break;
		end += 4;
		CHECK(strstr(reply.p, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") !=
		      NULL);
		ws_reader_feed(&r, (struct str){ end, reply.n - (size_t)(end - reply.p) });
		CHECK(ws_reader_next(&r, &op, &payload, &e) == 1 && op == WS_TEXT &&
		      str_eq(payload, "one"));
		CHECK(ws_reader_next(&r, &op, &payload, &e) == 1 && op == WS_PONG &&
		      str_eq(payload, "p"));
		CHECK(ws_reader_next(&r, &op, &payload, &e) == 1 && op == WS_BINARY &&
		      str_eq(payload, "two"));
		CHECK(ws_reader_next(&r, &op, &payload, &e) == 1 && op == WS_CLOSE &&
		      str_eq(payload, "\x03\xe8"));
		ws_reader_free(&r);
	}
	buf_free(&out);
	buf_free(&reply);
	fixture_close(&f);
}

static void websocket_ends(void)
{
	struct fixture f;
	struct buf out = { 0 }, reply = { 0 };
	bool closed;
	int fd;

	fixture_open(&f, NULL);
	/* No handshake. */
	exchange_text(&f, "GET /ws HTTP/1.1\r\n" H "\r\n", &reply, &closed);
	CHECK(str_starts(buf_str(&reply), "HTTP/1.1 400 Bad Request\r\n"));
	CHECK(strstr(buf_cstr(&reply), "X-A: b\r\n") != NULL);
	/* The peer leaves without a word: it is told 1011. */
	buf_reset(&reply);
	fd = client(&f);
	send_text(fd, HANDSHAKE);
	turn(&f, 2);
	shutdown(fd, SHUT_WR);
	turn(&f, 2);
	receive(fd, &reply, &closed);
	CHECK(closed);
	CHECK(str_ends(buf_str(&reply), "\x88\x02\x03\xf3"));
	CHECK_INT(f.closed_code, 1006);
	close(fd);
	/* An unmasked frame is an error of the protocol. */
	buf_reset(&reply);
	buf_adds(&out, HANDSHAKE);
	ws_frame_add(&out, WS_TEXT, STR_LIT("x"), false);
	exchange(&f, out.p, out.n, out.n, &reply, &closed);
	CHECK(str_ends(buf_str(&reply), "\x88\x02\x03\xea"));
	CHECK_INT(f.closed_code, 1002);
	CHECK(httpd_conns(f.h) == 0);
	buf_free(&out);
	buf_free(&reply);
	fixture_close(&f);
}

/* What the server answers to a close frame, and what its owner is told. */
static void websocket_close_codes(void)
{
	static const struct {
		const char *payload;
		size_t n;
		const char *answer;
		size_t answer_n;
		int told;
	} rows[] = {
		{ "", 0, "", 0, 1005 },
		{ "\x03", 1, "\x03\xea", 2, 1002 }, /* half a code */
		{ "\x00\x00", 2, "\x03\xea", 2, 1002 },
		{ "\x03\xe7", 2, "\x03\xea", 2, 1002 }, /* 999 */
		{ "\x03\xe8", 2, "\x03\xe8", 2, 1000 },
		{ "\x03\xe8ok", 4, "\x03\xe8", 2, 1000 },
		{ "\x03\xe8\xc3\x28", 4, "\x03\xef", 2, 1007 },
		{ "\x03\xeb", 2, "\x03\xeb", 2, 1003 },
		{ "\x03\xec", 2, "\x03\xea", 2, 1002 }, /* 1004 */
		{ "\x03\xed", 2, "\x03\xea", 2, 1002 }, /* 1005 */
		{ "\x03\xee", 2, "\x03\xea", 2, 1002 }, /* 1006 */
		{ "\x03\xef", 2, "\x03\xef", 2, 1007 },
		{ "\x03\xf6", 2, "\x03\xf6", 2, 1014 },
		{ "\x03\xf7", 2, "\x03\xea", 2, 1002 }, /* 1015 */
		{ "\x03\xf8", 2, "\x03\xea", 2, 1002 }, /* 1016 */
		{ "\x0b\xb7", 2, "\x03\xea", 2, 1002 }, /* 2999 */
		{ "\x0b\xb8", 2, "\x0b\xb8", 2, 3000 },
		{ "\x13\x87", 2, "\x13\x87", 2, 4999 },
		{ "\x13\x88", 2, "\x03\xea", 2, 1002 }, /* 5000 */
		{ "\xff\xff", 2, "\x03\xea", 2, 1002 },
	};
	struct fixture f;

	fixture_open(&f, NULL);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 }, reply = { 0 }, want = { 0 };
		bool closed;

		TEST_ROW(i);
		f.closed_code = 0;
		buf_adds(&out, HANDSHAKE);
		ws_frame_add(&out, WS_CLOSE, (struct str){ rows[i].payload, rows[i].n }, true);
		exchange(&f, out.p, out.n, out.n, &reply, &closed);
		buf_adds(&want, "\r\n\r\n");
		ws_frame_add(&want, WS_CLOSE, (struct str){ rows[i].answer, rows[i].answer_n },
		             false);
		CHECK(reply.n > want.n && memcmp(reply.p + reply.n - want.n, want.p, want.n) == 0);
		CHECK_INT(f.closed_code, rows[i].told);
		CHECK(closed);
		buf_free(&out);
		buf_free(&reply);
		buf_free(&want);
	}
	fixture_close(&f);
}

/* Text that is none: 1007, whole or in pieces that are none each. Binary may be anything. */
static void websocket_texts_are_utf8(void)
{
	static const struct {
		const char *first, *second; /* second: of two fragments */
		enum ws_opcode op;
		int told;
	} rows[] = {
		{ "\xc3\xa4", NULL, WS_TEXT, 1000 }, { "\xff", NULL, WS_TEXT, 1007 },
		{ "ok\xc3", NULL, WS_TEXT, 1007 },   { "\xed\xa0\x80", NULL, WS_TEXT, 1007 },
		{ "\xc0\xaf", NULL, WS_TEXT, 1007 }, { "\xf4\x90\x80\x80", NULL, WS_TEXT, 1007 },
		{ "\xff", NULL, WS_BINARY, 1000 },   { "\xc3", "\xa4", WS_TEXT, 1000 },
		{ "\xc3", "x", WS_TEXT, 1007 },      { "\xc3", "x", WS_BINARY, 1000 },
	};
	struct fixture f;

	fixture_open(&f, NULL);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 }, reply = { 0 };
		size_t from;
		bool closed;

		TEST_ROW(i);
		f.closed_code = 0;
		buf_reset(&f.messages);
		buf_adds(&out, HANDSHAKE);
		from = out.n;
		ws_frame_add(&out, rows[i].op, str_of(rows[i].first), true);
		if (rows[i].second) {
			out.p[from] = (char)rows[i].op; /* without FIN */
			ws_frame_add(&out, WS_CONT, str_of(rows[i].second), true);
		}
		ws_frame_add(&out, WS_CLOSE, STR_LIT("\x03\xe8"), true);
		exchange(&f, out.p, out.n, out.n, &reply, &closed);
		CHECK_INT(f.closed_code, rows[i].told);
		CHECK_INT(f.messages.n > 0, rows[i].told == 1000);
		buf_free(&out);
		buf_free(&reply);
	}
	fixture_close(&f);
}

/* A request's body before it is whole, whatever it says about its length; and none at all. */
static void bytes_pass_as_they_come(void)
{
	static const char *const heads[] = {
		"POST /raw HTTP/1.1\r\n" H
		"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
		"POST /raw HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
		"GET /raw HTTP/1.1\r\n" H "\r\n",
	};
	const struct httpd_settings with = { .max_unknown = 8 };
	struct fixture f;

	fixture_open(&f, &with);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		for (f.allow = 1; f.allow < 40; f.allow += 19) {
			struct buf reply = { 0 };
			bool closed = false;
			int fd = client(&f);

			TEST_ROW(i);
			buf_reset(&f.messages);
			f.closed_code = 0;
			f.raw = NULL;
			send_text(fd, heads[i]);
			send_text(fd, "no \r\n\r\nframe\xff ");
			turn(&f, 2);
			send_text(fd, "end");
			for (int k = 0; k < 100 && f.messages.n < 18; k++) {
				turn(&f, 1);
				/* A turn that takes long sees its end as well. */
				if (f.raw && !f.closed_code)
					httpd_more(f.raw);
			}
			turn(&f, 2);
			receive(fd, &reply, &closed);
			CHECK_STR(buf_cstr(&f.messages), "no \r\n\r\nframe\xff end");
			CHECK_STR(buf_cstr(&reply), "answer");
			CHECK(closed);
			close(fd);
			turn(&f, 2);
			CHECK_INT(f.closed_code, 1000);
			buf_free(&reply);
		}
	}
	fixture_close(&f);
}

/* What nobody takes is not read, either. */
static void bytes_wait_for_who_takes_them(void)
{
	const struct httpd_settings with = { .max_unknown = 8 };
	char chunk[65536] = { 0 };
	struct fixture f;
	size_t sent = 0, more = 0;
	ssize_t n;
	int fd;

	fixture_open(&f, &with);
	fd = client(&f);
	send_text(fd, "POST /raw HTTP/1.1\r\n" H "Content-Length: 1000000000\r\n\r\n");
	for (int i = 0; i < 400 && (n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL)) > 0; i++) {
		sent += (size_t)n;
		turn(&f, 0);
	}
	CHECK(sent > 0 && sent < 20u << 20);
	CHECK_INT((long long)f.messages.n, 0);
	f.allow = SIZE_MAX;
	httpd_more(f.raw);
	turn(&f, 2);
	CHECK(f.messages.n > 0);
	while (more < sent && (n = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL)) > 0) {
		more += (size_t)n;
		turn(&f, 1);
	}
	CHECK(more >= sent);
	close(fd);
	turn(&f, 2);
	CHECK_INT(f.closed_code, 1006);
	fixture_close(&f);
}

TEST_MAIN(TEST(bytes_pass_as_they_come), TEST(bytes_wait_for_who_takes_them), TEST(websocket_echo),
          TEST(websocket_ends), TEST(websocket_close_codes), TEST(websocket_texts_are_utf8))
