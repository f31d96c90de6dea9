/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, zstd and plain bytes: whole, split at every byte, truncated, damaged, too large. */
#include "base/buf.h"
#include "base/mem.h"
#include "oci/decode.h"
#include "tests/test.h"

#include <stdlib.h>

/* The first 200 bytes of content(), then 400 more, as other programs compressed them. */
static const unsigned char gzip_a[] = {
	31,  139, 8,  0,   0,   0,   0,   0,   2,   255, 203, 201, 204, 75,  85, 48,  80, 200,
	79,  83,  72, 84,  200, 73,  172, 76,  45,  226, 202, 1,   137, 24,  98, 136, 24, 97,
	136, 24,  99, 136, 152, 96,  136, 152, 98,  136, 152, 97,  136, 152, 99, 136, 88, 96,
	136, 88,  98, 186, 16,  213, 209, 0,   211, 44,  201, 62,  200, 0,   0,  0,
};
static const unsigned char gzip_b[] = {
	31,  139, 8,   0,   0,   0,   0,   0,   2,   255, 101, 206, 59,  10,  128, 48,
	20,  0,   193, 222, 83,  188, 35,  152, 141, 223, 227, 164, 136, 16,  8,   10,
	118, 222, 94,  108, 221, 118, 170, 105, 103, 141, 148, 226, 58,  162, 68,  47,
	79,  189, 135, 222, 62,  194, 148, 77,  147, 105, 54,  45,  166, 213, 180, 153,
	118, 17,  163, 201, 123, 188, 199, 123, 188, 199, 123, 188, 199, 123, 188, 199,
	251, 236, 125, 254, 237, 95,  173, 88,  234, 211, 144, 1,   0,   0,
};
static const unsigned char zstd_a[] = {
	40, 181, 47,  253, 0,   104, 149, 1,   0,   224, 108, 105, 110, 101, 32,
	48, 32,  111, 102, 32,  97,  32,  108, 97,  121, 101, 114, 10,  49,  50,
	51, 52,  53,  54,  55,  56,  57,  49,  11,  168, 16,  240, 250, 247, 176,
	35, 235, 16,  34,  225, 35,  209, 7,   184, 20,  94,  5,   154, 12,
};
static const unsigned char zstd_b[] = {
	40, 181, 47,  253, 4,   104, 21,  2,   0,   148, 2,   105, 110, 101, 32, 49,
	49, 32,  111, 102, 32,  97,  32,  108, 97,  121, 101, 114, 10,  108, 50, 51,
	52, 53,  54,  55,  56,  57,  50,  48,  49,  50,  51,  52,  53,  54,  55, 56,
	57, 51,  48,  49,  21,  168, 16,  224, 237, 191, 1,   240, 229, 16,  26, 225,
	27, 17,  249, 0,   252, 8,   235, 171, 93,  153, 2,   126, 6,   65,  47,
};
static const unsigned char window_256m[] = {
	40, 181, 47, 253, 4, 144, 100, 0, 0, 16, 0, 0, 2, 0, 233, 255, 55, 115,
};

static void content(struct buf *b)
{
	for (int i = 0; b->n < 600; i++)
		buf_addf(b, "line %d of a layer\n", i);
	buf_cut(b, 600);
}

static int take(void *arg, struct str bytes, struct err *e)
{
	(void)e;
	buf_add_str(arg, bytes);
	return 0;
}

static int decode(struct str in, size_t piece, uint64_t max, struct buf *out, struct err *e)
{
	struct decode *d = decode_new((struct sink){ take, out }, max);
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < in.n; at += piece) {
		size_t n = in.n - at < piece ? in.n - at : piece;
		char *exact = mem_dupn(in.p + at, n);

		rc = decode_feed(d, (struct str){ exact, n }, e);
		free(exact);
	}
	if (rc == 0)
		rc = decode_end(d, e);
	decode_free(d);
	return rc;
}

struct row {
	const unsigned char *a, *b; /* b follows a: another member or frame */
	size_t n_a, n_b;
};

static const struct row rows[] = {
	{ gzip_a, gzip_b, sizeof(gzip_a), sizeof(gzip_b) },
	{ zstd_a, zstd_b, sizeof(zstd_a), sizeof(zstd_b) },
};

static void streams_come_out_as_they_went_in(void)
{
	struct buf want = { 0 };

	content(&want);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf in = { 0 };

		TEST_ROW(i);
		buf_add(&in, rows[i].a, rows[i].n_a);
		buf_add(&in, rows[i].b, rows[i].n_b);
		for (size_t piece = 1; piece <= in.n; piece++) {
			struct buf out = { 0 };
			struct err e = { 0 };

			CHECK_INT(decode(buf_str(&in), piece, 600, &out, &e), 0);
			CHECK_STR(buf_cstr(&out), buf_cstr(&want));
			buf_free(&out);
		}
		/* Cut, it is complete only between the two. */
		for (size_t n = 1; n < in.n; n++) {
			struct buf out = { 0 };
			struct err e = { 0 };
			int rc = decode((struct str){ in.p, n }, 4096, 600, &out, &e);

			/* Of three bytes at most nobody can tell what they are. */
			if (n > 3)
				CHECK_INT(rc, n == rows[i].n_a ? 0 : -1);
			CHECK(rc == 0 || e.kind == ERR_CLOSED);
			buf_free(&out);
		}
		buf_free(&in);
	}
	buf_free(&want);
}

static void damage_is_noticed(void)
{
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf in = { 0 }, out = { 0 }, want = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		content(&want);
		buf_add(&in, rows[i].b, rows[i].n_b);
		in.p[in.n - 3] ^= 1; /* in the checksum */
		CHECK_INT(decode(buf_str(&in), 7, 600, &out, &e), -1);
		CHECK_INT(e.kind, ERR_PARSE);
		buf_free(&in);
		buf_free(&out);
		buf_free(&want);
	}
}

static void plain_bytes_and_trailing_zeros_pass(void)
{
	static const char *const plain[] = { "", "a", "abc", "\x1f", "abcdefgh" };
	struct buf in = { 0 }, out = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < TEST_N(plain); i++) {
		TEST_ROW(i);
		buf_reset(&out);
		CHECK_INT(decode(str_of(plain[i]), 2, 8, &out, &e), 0);
		CHECK_STR(buf_cstr(&out), plain[i]);
	}
	buf_add(&in, gzip_a, sizeof(gzip_a));
	buf_add(&in, "\0\0\0\0\0\0\0", 7);
	buf_reset(&out);
	CHECK_INT(decode(buf_str(&in), 3, 600, &out, &e), 0);
	CHECK_INT(out.n, 200);
	buf_free(&in);
	buf_free(&out);
}

static void limits_hold(void)
{
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf out = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(decode((struct str){ (const char *)rows[i].a, rows[i].n_a }, 100, 199,
		                 &out, &e),
		          -1);
		CHECK_INT(e.kind, ERR_LIMIT);
		CHECK(out.n <= 199);
		buf_free(&out);
	}
	{
		struct buf out = { 0 };
		struct err e = { 0 };

		/* The head of a frame that asks for 256 MiB of memory. */
		CHECK_INT(decode((struct str){ (const char *)window_256m, sizeof(window_256m) },
		                 100, UINT64_MAX, &out, &e),
		          -1);
		CHECK(strstr(e.msg, "window above 8 MiB") != NULL);
		buf_free(&out);
	}
}

static int drop(void *arg, struct str bytes, struct err *e)
{
	(void)e;
	*(uint64_t *)arg += bytes.n;
	return 0;
}

/* Below its limit a window is fine; above it that can be told from damage. */
static void a_window_has_a_limit_of_its_own(void)
{
	static const struct {
		unsigned char descriptor;
		unsigned log, code;
		uint64_t window;
	} heads[] = {
		{ 11 << 3, DECODE_WINDOW_LOG_USUAL, 0, 2 << 20 },
		{ 12 << 3, DECODE_WINDOW_LOG_USUAL, DECODE_WINDOW_CODE, 4 << 20 },
		{ (11 << 3) + 1, DECODE_WINDOW_LOG_USUAL, DECODE_WINDOW_CODE,
		  (2 << 20) + (2 << 17) },
		{ 15 << 3, DECODE_WINDOW_LOG_MAX, 0, 32 << 20 },
		{ 17 << 3, DECODE_WINDOW_LOG_MAX, 0, 128 << 20 },
		{ 18 << 3, DECODE_WINDOW_LOG_MAX, DECODE_WINDOW_CODE, 256 << 20 },
	};

	for (size_t i = 0; i < TEST_N(heads); i++) {
		char head[DECODE_HEAD] = { 0x28,       (char)0xb5, 0x2f,
			                   (char)0xfd, 0,          (char)heads[i].descriptor };
		uint64_t n = 0;
		struct decode *d = decode_new((struct sink){ drop, &n }, 1000);
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK(decode_window((struct str){ head, sizeof(head) }) == heads[i].window);
		decode_limit_window(d, heads[i].log);
		(void)decode_feed(d, (struct str){ head, sizeof(head) }, &e);
		CHECK_INT(e.kind == ERR_LIMIT ? e.code : 0, (int)heads[i].code);
		decode_free(d);
	}
	CHECK(decode_window(STR_LIT("\x1f\x8b of gzip, and more of it")) == 0);
	CHECK(decode_window(STR_LIT("")) == 0);
}

/* One block of zeros again and again, each one frame of 13 bytes for 128 KiB: ten thousand times its size. */
static void a_bomb_is_refused(void)
{
	static const char frame[] = "\x28\xb5\x2f\xfd\x00\x38\x03\x00\x10";
	struct buf in = { 0 };
	struct err e = { 0 };
	uint64_t seen = 0;
	struct decode *d = decode_new((struct sink){ drop, &seen }, UINT64_MAX);
	int rc = 0;

	for (int i = 0; i < 1000; i++)
		buf_add(&in, frame, sizeof(frame));
	for (int i = 0; rc == 0 && i < 100; i++)
		rc = decode_feed(d, buf_str(&in), &e);
	CHECK_INT(rc, -1);
	CHECK(strstr(e.msg, "decompression bomb") != NULL);
	CHECK(seen <= DECODE_FACTOR_FREE + (1u << 20));
	decode_free(d);
	buf_free(&in);
}

TEST_MAIN(TEST(streams_come_out_as_they_went_in), TEST(damage_is_noticed),
          TEST(plain_bytes_and_trailing_zeros_pass), TEST(limits_hold),
          TEST(a_window_has_a_limit_of_its_own), TEST(a_bomb_is_refused))
