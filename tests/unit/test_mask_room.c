/* SPDX-License-Identifier: Apache-2.0 */
/* However many secrets there are and wherever a text is cut: none is shown, no part of one either. */
#include "base/err.h"
#include "base/mask.h"
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

static void name_secret(char out[32], int i)
{
	snprintf(out, 32, "%c%07dq-secret", 'a' + i % 26, i * 7919 % 9999991);
}

static void every_number_of_secrets_is_masked(void)
{
	static const int rows[] = { 1, 16, 17, 1024, 1025, 5000 };
	char s[32];

	for (size_t r = 0; r < TEST_N(rows); r++) {
		struct buf text = { 0 }, out = { 0 };

		TEST_ROW(r);
		for (int i = 0; i < rows[r]; i++) {
			name_secret(s, i);
			mask_add(str_of(s));
		}
		name_secret(s, rows[r] - 1);
		buf_add_str(&text, str_of(s));
		buf_addc(&text, ' ');
		buf_add_base64(&text, s, strlen(s), false, true);
		mask_text(&out, buf_str(&text));
		CHECK(!strstr(buf_cstr(&out), "secret") && strstr(buf_cstr(&out), "*** ***"));
		buf_free(&out);
		buf_free(&text);
		mask_clear();
	}
}

static void no_cut_of_an_error_shows_a_head(void)
{
	static const char secret[] = "Zq0Zq1Zq2Zq3Zq4Zq5Zq6Zq7";
	char before[sizeof(((struct err *)0)->msg) + 1];

	mask_add(str_of(secret));
	for (size_t n = 0; n < sizeof(before); n++) {
		struct err e = { 0 };

		TEST_ROW(n);
		memset(before, 'x', n);
		before[n] = '\0';
		err_set(&e, ERR_OTHER, 0, "%s%s", before, secret);
		CHECK(!strstr(e.msg, "Zq") && strlen(e.msg) < sizeof(e.msg));
		err_wrap(&e, "%s%s", before, secret);
		CHECK(!strstr(e.msg, "Zq"));
	}
	mask_clear();
}

/* Wherever the end of an output begins, and however the output comes in pieces. */
static void no_cut_of_a_tail_shows_an_end(void)
{
	static const char secret[] = "Zq0Zq1Zq2Zq3Zq4Zq5Zq6Zq7";
	static const size_t pieces[] = { 1, 2, 7, 64, 4096 };

	mask_add(str_of(secret));
	for (size_t n = 0; n < 100; n++) {
		for (size_t p = 0; p < TEST_N(pieces); p++) {
			struct mask_tail t = { .max = 40 };
			struct buf text = { 0 };
			struct str tail;

			TEST_ROW(n * 10 + p);
			buf_addf(&text, "%0*d%s%0*d\n", (int)(120 - n), 0, secret, (int)n + 1, 0);
			for (size_t at = 0; at < text.n; at += pieces[p]) {
				size_t left = text.n - at;

				mask_tail_add(&t,
				              (struct str){ text.p + at,
				                            left < pieces[p] ? left : pieces[p] });
			}
			tail = mask_tail_text(&t);
			CHECK(tail.n == 40 && !memmem(tail.p, tail.n, "Zq", 2));
			CHECK(memcmp(tail.p + 40 - (n < 40 ? n + 1 : 40),
			             "0000000000000000000000000000000000000000",
			             n < 40 ? n + 1 : 40) == 0);
			mask_tail_free(&t);
			buf_free(&text);
		}
	}
	mask_clear();
}

/* What a person reads begins with a line, unless the last line alone is too long. */
static void a_cut_tail_begins_with_a_line(void)
{
	static const struct {
		const char *said, *want;
	} rows[] = {
		{ "one\ntwo", "one\ntwo" },
		{ "the first line\nsecond\nthird\n", "second\nthird" },
		{ "12345678901234567890\n", "12345678901234567890" },
		{ "x\n1234567890123456789\n", "1234567890123456789" },
		{ "x\n12345678901234567890\n", "12345678901234567890" },
		{ "x123456789012345678901", "23456789012345678901" },
		{ "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x",
		  "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x" },
		{ "0000000000000000000000000000000000000000000000000000000000000000000000000000000\n"
		  "0000000000000000000000000000000000000000000000000000000\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
		  "                                \nend\n",
		  "end" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct mask_tail t = { .max = 20 };
		struct str s;

		TEST_ROW(i);
		for (const char *p = rows[i].said; *p; p++)
			mask_tail_add(&t, (struct str){ p, 1 });
		s = mask_tail_text(&t);
		CHECK(str_eq(s, rows[i].want));
		mask_tail_free(&t);
	}
}

/* A program says some text, a secret and much more, in pieces of every size. */
static void no_cut_of_a_head_shows_a_beginning(void)
{
	static const char secret[] = "ZqZqZqZqZqZqZqZqZqZq";

	mask_add(str_of(secret));
	for (size_t before = 0; before < 60; before++) {
		struct mask_head h = { .max = 40 };
		struct buf said = { 0 };
		struct str head;

		TEST_ROW(before);
		for (size_t i = 0; i < before; i++)
			buf_addc(&said, '.');
		buf_adds(&said, secret);
		for (size_t i = 0; i < 5000; i++)
			buf_addc(&said, '-');
		for (size_t at = 0, n = 1 + before % 7; at < said.n; at += n)
			mask_head_output(
				&h, (struct str){ said.p + at, said.n - at < n ? said.n - at : n });
		CHECK(h.text.n + h.stream.held.n < 100); /* the rest was dropped */
		head = mask_head_text(&h);
		CHECK(head.n == 40 && !memmem(head.p, head.n, "Z", 1));
		mask_head_free(&h);
		buf_free(&said);
	}
	mask_clear();
}

TEST_MAIN(TEST(every_number_of_secrets_is_masked), TEST(no_cut_of_an_error_shows_a_head),
          TEST(no_cut_of_a_tail_shows_an_end), TEST(a_cut_tail_begins_with_a_line),
          TEST(no_cut_of_a_head_shows_a_beginning))
