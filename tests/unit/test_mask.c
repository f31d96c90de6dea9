/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mask.h"

#include "base/deadline.h"
#include "base/mem.h"
#include "tests/test.h"

#include <stdlib.h>

static const char *masked(struct buf *out, const char *text)
{
	buf_reset(out);
	mask_text(out, str_of(text));
	return buf_cstr(out);
}

/* The same text in two pieces, cut at `at`, or bytewise if at is beyond its end. */
static const char *streamed(struct buf *out, const char *text, size_t at)
{
	struct mask_stream mask = { 0 };
	size_t n = strlen(text);

	buf_reset(out);
	if (at > n) {
		for (size_t i = 0; i < n; i++)
			mask_stream_feed(&mask, out, (struct str){ text + i, 1 });
	} else {
		mask_stream_feed(&mask, out, (struct str){ text, at });
		mask_stream_feed(&mask, out, (struct str){ text + at, n - at });
	}
	mask_stream_end(&mask, out);
	return buf_cstr(out);
}

static void forms_of_a_secret_are_masked(void)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "key=s3cr3tValue42;", "key=***;" },
		{ "s3cr3tValue42s3cr3tValue42", "******" },
		{ "s3cr3tValue4", "s3cr3tValue4" },
		{ "nothing here: at all", "nothing here: at all" },
		{ "", "" },
		{ "p%40ss%2Fw%22rd%3C", "***" },
		{ "p%40ss%2fw%22rd%3c", "***" },
		{ "{\"k\":\"p@ss/w\\\"rd<\"}", "{\"k\":\"***\"}" },
		{ "{\"k\":\"p@ss/w\\\"rd\\u003c\"}", "{\"k\":\"***\"}" },
		{ "p@ss/w\"rd<", "***" },
	};
	struct buf out = { 0 };

	mask_add(STR_LIT("s3cr3tValue42\n"));
	mask_add(STR_LIT("p@ss/w\"rd<"));
	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_STR(masked(&out, rows[i].in), rows[i].out);
		for (size_t at = 0; at <= strlen(rows[i].in) + 1; at++)
			CHECK_STR(streamed(&out, rows[i].in, at), rows[i].out);
	}
	mask_clear();
	CHECK_STR(masked(&out, "s3cr3tValue42"), "s3cr3tValue42");
	buf_free(&out);
}

static void base64_is_masked_at_every_alignment(void)
{
	static const char secret[] = "s3cr3tValue42?>?>";
	struct buf out = { 0 };

	mask_add(STR_LIT("s3cr3tValue42?>?>"));
	for (size_t before = 0; before < 6; before++) {
		for (size_t after = 0; after < 6; after++) {
			for (int url = 0; url < 2; url++) {
				struct buf plain = { 0 }, coded = { 0 };

				TEST_ROW(before * 10 + after);
				buf_add(&plain, "prefix", before);
				buf_adds(&plain, secret);
				buf_add(&plain, "suffix", after);
				buf_add_base64(&coded, plain.p, plain.n, url, !url);
				masked(&out, buf_cstr(&coded));
				CHECK(strstr(buf_cstr(&out), "***") != NULL);
				/* At most a byte and a half of each end may be left. */
				CHECK(out.n <= (before + 2) * 4 / 3 + (after + 2) * 4 / 3 + 3 + 4);
				buf_free(&plain);
				buf_free(&coded);
			}
		}
	}
	mask_clear();
	buf_free(&out);
}

static void each_line_counts_alone(void)
{
	static const char pem[] =
		"-----BEGIN KEY-----\r\nMIIBVgIBADAN\r\n{\r\nabc\r\n-----END KEY-----\r\n";
	struct buf out = { 0 };

	mask_add(STR_LIT(pem));
	CHECK_STR(masked(&out, "x MIIBVgIBADAN y"), "x *** y");
	CHECK_STR(masked(&out, "-----BEGIN KEY-----\nMIIBVgIBADAN\n{\n-----END KEY-----\n"),
	          "***\n***\n{\n***\n");
	CHECK_STR(masked(&out, "{ abc }"), "{ abc }");
	mask_clear();
	buf_free(&out);
}

static void short_secrets_are_left(void)
{
	struct buf out = { 0 };

	mask_add(STR_LIT("{"));
	mask_add(STR_LIT("12345"));
	mask_add(STR_LIT(" 12345 "));
	mask_add((struct str){ 0 });
	CHECK_STR(masked(&out, "{ 12345 }"), "{ 12345 }");
	mask_clear();
	buf_free(&out);
}

static void overlapping_secrets_leave_nothing(void)
{
	struct buf out = { 0 };

	mask_add(STR_LIT("abcdefgh"));
	mask_add(STR_LIT("efghijkl"));
	mask_add(STR_LIT("abcdefghXY"));
	mask_add(STR_LIT("aaaaaaaa"));
	for (size_t at = 0; at < 40; at++) {
		TEST_ROW(at);
		CHECK_STR(streamed(&out, "-abcdefghijkl-abcdefghXY-", at), "-***-***-");
		CHECK_STR(streamed(&out, "-abcdefghX-", at), "-***X-");
		CHECK_STR(streamed(&out, "-aaaaaaaaaaaaaaaaaaaaaaaaaaaaa-", at), "-***-");
	}
	mask_clear();
	buf_free(&out);
}

static void user_part_of_urls_is_masked(void)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "clone https://user:pa@ss@host/x.git now", "clone https://***@host/x.git now" },
		{ "https://token@host", "https://***@host" },
		{ "ssh://git@host:22/x", "ssh://***@host:22/x" },
		{ "https://host/@scope/x", "https://host/@scope/x" },
		{ "https://host?x=a@b", "https://host?x=a@b" },
		{ "http://host\nmail@x", "http://host\nmail@x" },
		{ "\"https://u:p@h\",\"http://v:w@i\"", "\"https://***@h\",\"http://***@i\"" },
		{ "https://@host", "https://@host" },
		{ "https://***@host", "https://***@host" },
		{ "a://b a:/c@d a:b@c ://", "a://b a:/c@d a:b@c ://" },
		{ "://:/", "://:/" },
		{ "x://u:p@", "x://***@" },
	};
	struct buf out = { 0 };

	for (size_t i = 0; i < TEST_N(rows); i++) {
		TEST_ROW(i);
		CHECK_STR(masked(&out, rows[i].in), rows[i].out);
		for (size_t at = 0; at <= strlen(rows[i].in) + 1; at++)
			CHECK_STR(streamed(&out, rows[i].in, at), rows[i].out);
	}
	buf_free(&out);
}

static void stream_holds_back_only_what_may_matter(void)
{
	struct mask_stream mask = { 0 };
	struct buf out = { 0 };

	mask_add(STR_LIT("s3cr3tValue42"));
	mask_stream_feed(&mask, &out, STR_LIT("prompt> "));
	CHECK_STR(buf_cstr(&out), "prompt> ");
	mask_stream_feed(&mask, &out, STR_LIT("s3cr"));
	CHECK_STR(buf_cstr(&out), "prompt> ");
	mask_stream_feed(&mask, &out, STR_LIT("x"));
	CHECK_STR(buf_cstr(&out), "prompt> s3crx");
	mask_stream_end(&mask, &out);
	mask_clear();
	buf_free(&out);
}

static void long_secrets_are_masked_whole(void)
{
	struct buf secret = { 0 }, out = { 0 };

	for (int i = 0; i < 3000; i++)
		buf_addf(&secret, "%04d", i);
	mask_add(buf_str(&secret));
	masked(&out, buf_cstr(&secret));
	CHECK(out.n > 0 && strspn(buf_cstr(&out), "*") == out.n);
	streamed(&out, buf_cstr(&secret), 5000);
	CHECK(out.n > 0 && strspn(buf_cstr(&out), "*") == out.n);
	mask_clear();
	buf_free(&secret);
	buf_free(&out);
}

static void endless_url_does_not_grow_the_stream(void)
{
	struct mask_stream mask = { 0 };
	struct buf out = { 0 };

	mask_stream_feed(&mask, &out, STR_LIT("x://"));
	for (int i = 0; i < 5000; i++)
		mask_stream_feed(&mask, &out, STR_LIT("abcd"));
	CHECK(mask.held.n < 9000);
	mask_stream_end(&mask, &out);
	CHECK_INT((long long)out.n, 20004);
	buf_free(&out);
}

static long long mask_some(const char *text, size_t n)
{
	long long began = test_cpu_us();
	struct buf out = { 0 };

	mask_text(&out, (struct str){ text, n });
	CHECK(out.n > n / 2);
	buf_free(&out);
	return test_cpu_us() - began;
}

static void large_text_takes_linear_time(void)
{
	size_t n = (size_t)4 << 20;
	char *text = mem_alloc(n);
	long long us;

	for (size_t i = 0; i < n; i++)
		text[i] = "abcdefghijklmnopqrstuvwxyz0123456789:/@ \n"[i * 7919 % 41];
	for (int i = 0; i < 60; i++) {
		char secret[32];

		snprintf(secret, sizeof(secret), "secret-%d-value", i * 7919);
		mask_add(str_of(secret));
	}
	us = mask_some(text, n / 16);
	CHECK(test_is_linear(us, mask_some(text, n), 16));
	mask_clear();
	free(text);
}

TEST_MAIN(TEST(forms_of_a_secret_are_masked), TEST(base64_is_masked_at_every_alignment),
          TEST(each_line_counts_alone), TEST(short_secrets_are_left),
          TEST(overlapping_secrets_leave_nothing), TEST(user_part_of_urls_is_masked),
          TEST(stream_holds_back_only_what_may_matter), TEST(long_secrets_are_masked_whole),
          TEST(endless_url_does_not_grow_the_stream), TEST(large_text_takes_linear_time))
