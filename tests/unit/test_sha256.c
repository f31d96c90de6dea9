/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, by whichever way this processor has: FIPS 180-4's examples, every length, every split. */
#include "base/buf.h"
#include "net/tls.h"
#include "tests/test.h"

static void hex_of(const void *p, size_t n, size_t piece, struct buf *hex)
{
	struct sha256 *h = sha256_new();
	unsigned char out[32];

	for (size_t at = 0; at < n; at += piece)
		sha256_add(h, (const char *)p + at, n - at < piece ? n - at : piece);
	sha256_end(h, out);
	buf_reset(hex);
	buf_add_hex(hex, out, sizeof(out));
}

static void examples_come_out(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	struct buf hex = { 0 }, a = { 0 };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		hex_of(rows[i].text, strlen(rows[i].text), 100, &hex);
		CHECK_STR(buf_cstr(&hex), rows[i].want);
	}
	memset(buf_reserve(&a, 1000000), 'a', 1000000);
	hex_of(a.p, 1000000, 4097, &hex);
	CHECK_STR(buf_cstr(&hex),
	          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	buf_free(&a);
	buf_free(&hex);
}

/* The digest of the digests of all beginnings of one text, each in another split. */
static void every_length_and_split(void)
{
	unsigned char text[400], out[32];
	struct sha256 *all = sha256_new();
	struct buf hex = { 0 }, whole = { 0 };

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned char)(i * 7 + i / 256);
	for (size_t n = 0; n <= sizeof(text); n++) {
		hex_of(text, n, sizeof(text) + 1, &whole);
		for (size_t piece = 1; piece < 140; piece += 23) {
			hex_of(text, n, piece, &hex);
			CHECK_STR(buf_cstr(&hex), buf_cstr(&whole));
		}
		sha256_add(all, whole.p, whole.n);
	}
	sha256_end(all, out);
	buf_reset(&hex);
	buf_add_hex(&hex, out, sizeof(out));
	CHECK_STR(buf_cstr(&hex),
	          "14ca161352d2f966b7a933f04204810beb6640a90ea279d281046b8b0b622681");
	buf_free(&hex);
	buf_free(&whole);
}

TEST_MAIN(TEST(examples_come_out), TEST(every_length_and_split))
