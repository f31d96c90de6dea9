/* SPDX-License-Identifier: Apache-2.0 */
/* net/ws.h: handshake value, frames both ways, the reader on whole, split and truncated input. */
#include "net/ws.h"

#include "tests/test.h"

#include <stdlib.h>

#define B(s) s, sizeof(s) - 1

static void accept_value_is_the_standard_s(void)
{
	char out[29];

	ws_accept_value(STR_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out); /* RFC 6455 1.3 */
	CHECK_STR(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* Reads text in pieces; what was found as "op:payload|". False: protocol error. */
static bool read_all(const char *p, size_t n, size_t step, bool mask, struct buf *out,
                     struct err *e)
{
	struct ws_reader r = { .require_mask = mask };
	enum ws_opcode op;
	struct str payload;
	int rc = 0;

	for (size_t at = 0; at < n && rc == 0; at += step) {
		size_t piece = n - at < step ? n - at : step;
		char *copy = malloc(piece);

		if (!copy)
			abort();
		memcpy(copy, p + at, piece);
		ws_reader_feed(&r, (struct str){ copy, piece });
		free(copy);
		while ((rc = ws_reader_next(&r, &op, &payload, e)) > 0) {
			buf_addf(out, "%d:", (int)op);
			buf_add_str(out, payload);
			buf_addc(out, '|');
		}
	}
	ws_reader_free(&r);
	ws_reader_free(&r);
	return rc == 0;
}

static void frames_are_read(void)
{
	static const struct {
		const char *p;
		size_t n;
		const char *want; /* NULL: refused */
		bool mask;
	} rows[] = {
		{ B("\x81\x05Hello"), "1:Hello|", false },
		{ B("\x82\x00"), "2:|", false },
		{ B("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "1:Hello|", true },
		{ B("\x01\x03Hel\x80\x02lo"), "1:Hello|", false },
		{ B("\x01\x03Hel\x89\x01p\x00\x00\x80\x02lo\x81\x01x"), "9:p|1:Hello|1:x|", false },
		{ B("\x89\x05Hello\x8a\x00\x88\x02\x03\xe8"), "9:Hello|10:|8:\x03\xe8|", false },
		{ B("\x81\x7e\x00\x05Hello"), "1:Hello|", false },
		{ B("\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05Hello"), "1:Hello|", false },
		{ B("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), NULL,
		  false },                          /* a server must not mask */
		{ B("\x81\x05Hello"), NULL, true }, /* a client must */
		{ B("\xc1\x00"), NULL, false },
		{ B("\x83\x00"), NULL, false },
		{ B("\x8b\x00"), NULL, false },
		{ B("\x09\x00"), NULL, false },
		{ B("\x89\x7e\x00\x80"), NULL, false },
		{ B("\x80\x00"), NULL, false },
		{ B("\x00\x00"), NULL, false },
		{ B("\x01\x00\x81\x00"), NULL, false },
		{ B("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), NULL, false },
		{ B("\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01"), NULL, false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		for (size_t step = 1; step <= rows[i].n; step++) {
			struct buf out = { 0 };
			struct err e = { 0 };
			bool ok = read_all(rows[i].p, rows[i].n, step, rows[i].mask, &out, &e);

			CHECK(ok == (rows[i].want != NULL));
			if (rows[i].want)
				CHECK_STR(buf_cstr(&out), rows[i].want);
			else
				CHECK(e.kind == ERR_PARSE || e.kind == ERR_LIMIT);
			buf_free(&out);
		}
		for (size_t cut = 1; rows[i].want && cut < rows[i].n; cut++) {
			struct buf out = { 0 };
			struct err e = { 0 };

			CHECK(read_all(rows[i].p, cut, cut, rows[i].mask, &out, &e));
			CHECK(out.n < strlen(rows[i].want));
			buf_free(&out);
		}
	}
}

static void fragments_have_one_limit(void)
{
	struct ws_reader r = { 0 };
	struct buf part = { 0 };
	struct err e = { 0 };
	enum ws_opcode op;
	struct str payload;
	int rc = 0;

	buf_reserve(&part, 70000);
	memset(part.p, 'x', 65536);
	for (int i = 0; i < 40 && rc == 0; i++) {
		struct buf frame = { 0 };

		ws_frame_add(&frame, i ? WS_CONT : WS_TEXT, (struct str){ part.p, 65536 }, false);
		frame.p[0] = (char)(frame.p[0] & 0x7f);
		ws_reader_feed(&r, buf_str(&frame));
		rc = ws_reader_next(&r, &op, &payload, &e);
		CHECK(r.message.n <= WS_FRAME_MAX);
		buf_free(&frame);
	}
	CHECK_INT(rc, -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	ws_reader_free(&r);
	buf_free(&part);
}

static void what_is_written_is_read_back(void)
{
	static const size_t sizes[] = { 0, 1, 125, 126, 127, 65535, 65536, 70001 };

	for (size_t i = 0; i < TEST_N(sizes); i++) {
		for (int masked = 0; masked < 2; masked++) {
			struct ws_reader r = { .require_mask = masked };
			struct buf data = { 0 }, frame = { 0 };
			struct err e = { 0 };
			enum ws_opcode op = WS_CONT;
			struct str got = { 0 };

			TEST_ROW(i);
			for (size_t k = 0; k < sizes[i]; k++)
				buf_addc(&data, (char)(k * 31));
			ws_frame_add(&frame, WS_BINARY, buf_str(&data), masked);
			ws_reader_feed(&r, buf_str(&frame));
			CHECK_INT(ws_reader_next(&r, &op, &got, &e), 1);
			CHECK_INT(op, WS_BINARY);
			CHECK(got.n == data.n &&
			      (data.n == 0 || memcmp(got.p, data.p, data.n) == 0));
			CHECK_INT(ws_reader_next(&r, &op, &got, &e), 0);
			CHECK(r.raw.p == NULL); /* nothing is kept while idle */
			ws_reader_free(&r);
			buf_free(&data);
			buf_free(&frame);
		}
	}
}

static void masks_differ(void)
{
	struct buf a = { 0 }, b = { 0 };

	ws_frame_add(&a, WS_TEXT, STR_LIT("the same text, long enough"), true);
	ws_frame_add(&b, WS_TEXT, STR_LIT("the same text, long enough"), true);
	CHECK(a.n == b.n && memcmp(a.p, b.p, a.n) != 0);
	buf_free(&a);
	buf_free(&b);
}

static void a_reason_that_is_too_long_is_cut_between_characters(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	char reason[200];

	ws_close_payload(&b, 0, "nobody sees this");
	CHECK_INT(b.n, 0);
	for (size_t n = 115; n < 130; n++) {
		memset(reason, 'a', n);
		snprintf(reason + n, sizeof(reason) - n, "\xe2\x82\xac\xe2\x82\xac");
		buf_reset(&b);
		ws_close_payload(&b, 4001, reason);
		CHECK(b.n <= 125);
		CHECK_INT(ws_close_parse(buf_str(&b), &e), 4001);
		CHECK(b.n + 3 > 125 || b.n == strlen(reason) + 2);
	}
	buf_free(&b);
}

TEST_MAIN(TEST(a_reason_that_is_too_long_is_cut_between_characters),
          TEST(accept_value_is_the_standard_s), TEST(frames_are_read),
          TEST(fragments_have_one_limit), TEST(what_is_written_is_read_back), TEST(masks_differ))
