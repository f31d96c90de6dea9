/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of exec and log output, and streams of JSON objects, fed in every split. */
#include "base/buf.h"
#include "base/mem.h"
#include "providers/docker/engine/buildtrace.h"
#include "providers/docker/engine/frames.h"
#include "providers/docker/engine/jsonstream.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

struct got {
	struct buf out[3];
};

static void take(void *arg, int stream, struct str s)
{
	struct got *g = arg;

	buf_add_str(&g->out[stream], s);
}

static void got_free(struct got *g)
{
	for (int i = 0; i < 3; i++)
		buf_free(&g->out[i]);
}

static void add_frame(struct buf *b, unsigned char type, const char *text, size_t n)
{
	const unsigned char head[8] = { type,
		                        0,
		                        0,
		                        0,
		                        (unsigned char)(n >> 24),
		                        (unsigned char)(n >> 16),
		                        (unsigned char)(n >> 8),
		                        (unsigned char)n };

	buf_add(b, head, sizeof(head));
	buf_add(b, text, n);
}

/* Each piece in a block of its own size, so that the sanitizer sees an overread. */
static int feed_pieces(struct frames *f, struct str all, size_t piece, struct got *g, struct err *e)
{
	while (all.n) {
		size_t n = all.n < piece ? all.n : piece;
		char *copy = mem_alloc(n);
		int rc;

		memcpy(copy, all.p, n);
		rc = frames_feed(f, (struct str){ copy, n }, take, g, e);
		free(copy);
		if (rc < 0)
			return -1;
		all.p += n;
		all.n -= n;
	}
	return frames_end(f, e);
}

static void frames_do_not_depend_on_the_split(void)
{
	static const size_t sizes[] = { 1, 2, 3, 7, 8, 9, 10, 64, 4096 };
	struct buf all = { 0 };

	for (int i = 0; i < 20; i++) {
		add_frame(&all, i % 3 ? 1 : 2, "hello \xc3\xa9\0x", 10);
		add_frame(&all, 1, "", 0);
		add_frame(&all, 0, "in", 2);
	}
	for (size_t i = 0; i < TEST_N(sizes); i++) {
		struct frames f = { 0 };
		struct got g = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(feed_pieces(&f, buf_str(&all), sizes[i], &g, &e), 0);
		CHECK_INT((long long)g.out[1].n, 13 * 10 + 20 * 2);
		CHECK_INT((long long)g.out[2].n, 7 * 10);
		got_free(&g);
	}
	buf_free(&all);
}

static void a_cut_frame_is_an_error(void)
{
	struct buf all = { 0 };

	add_frame(&all, 1, "hello", 5);
	for (size_t cut = 1; cut < all.n; cut++) {
		struct frames f = { 0 };
		struct got g = { 0 };
		struct err e = { 0 };

		TEST_ROW(cut);
		CHECK_INT(feed_pieces(&f, (struct str){ all.p, cut }, 3, &g, &e), -1);
		CHECK(e.kind == ERR_CLOSED);
		got_free(&g);
	}
	buf_free(&all);
}

static void a_huge_length_is_only_a_count(void)
{
	static const char head[] = "\1\0\0\0\xff\xff\xff\xff";
	struct frames f = { 0 };
	struct got g = { 0 };
	struct err e = { 0 };

	CHECK_INT(frames_feed(&f, (struct str){ head, 8 }, take, &g, &e), 0);
	CHECK_INT(frames_feed(&f, STR_LIT("abc"), take, &g, &e), 0);
	CHECK_INT((long long)g.out[1].n, 3);
	CHECK_INT(frames_end(&f, &e), -1);
	got_free(&g);
}

static void unknown_types_and_system_errors_fail(void)
{
	struct frames f = { 0 };
	struct got g = { 0 };
	struct err e = { 0 };
	struct buf all = { 0 };

	CHECK_INT(frames_feed(&f, (struct str){ "\x09\0\0\0\0\0\0\1x", 9 }, take, &g, &e), -1);
	CHECK(e.kind == ERR_PARSE);
	f = (struct frames){ 0 };
	CHECK_INT(frames_feed(&f, (struct str){ "\1\1\0\0\0\0\0\1x", 9 }, take, &g, &e), -1);
	f = (struct frames){ 0 };
	add_frame(&all, 3, "out of paper", 12);
	CHECK_INT(frames_feed(&f, buf_str(&all), take, &g, &e), -1);
	CHECK(strstr(e.msg, "out of paper") != NULL);
	buf_free(&all);
	got_free(&g);
}

static void raw_output_passes_as_it_is(void)
{
	struct frames f = { .raw = true };
	struct got g = { 0 };
	struct err e = { 0 };

	CHECK_INT(feed_pieces(&f, STR_LIT("\x1b[34mINFO\x1b[0m ready"), 4, &g, &e), 0);
	CHECK_STR(buf_cstr(&g.out[1]), "\x1b[34mINFO\x1b[0m ready");
	got_free(&g);
}

static int note(void *arg, struct json v, struct err *e)
{
	struct buf *b = arg;
	char *s = json_dup_or_empty(json_get(v, "s"));

	(void)e;
	buf_addf(b, "%s|", s);
	free(s);
	return 0;
}

static void objects_do_not_depend_on_the_split(void)
{
	static const char text[] =
		"{\"s\":\"one\"}\r\n{\"s\":\"t}w{o\\\"\"}{\"s\":\"\\u00e9\xc3\xa9\"}\n\n"
		"  {\"a\":[{\"s\":1}],\"s\":\"four\"}";
	const size_t n = sizeof(text) - 1;

	for (size_t piece = 1; piece <= n; piece++) {
		struct jsonstream s = { 0 };
		struct buf got = { 0 };
		struct err e = { 0 };

		TEST_ROW(piece);
		for (size_t at = 0; at < n; at += piece) {
			size_t k = n - at < piece ? n - at : piece;
			char *copy = mem_alloc(k);

			memcpy(copy, text + at, k);
			CHECK_INT(jsonstream_feed(&s, (struct str){ copy, k }, note, &got, &e), 0);
			free(copy);
		}
		CHECK_INT(jsonstream_end(&s, &e), 0);
		CHECK_STR(buf_cstr(&got), "one|t}w{o\"|\xc3\xa9\xc3\xa9|four|");
		buf_free(&got);
	}
}

static void bad_streams_are_refused(void)
{
	static const char *const bad[] = {
		"x", "[1]", "1 {}", "{\"a\":}", "{}x", "{\"a\":1,}", "}"
	};
	struct jsonstream s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < TEST_N(bad); i++) {
		struct err ignored = { 0 };

		TEST_ROW(i);
		CHECK_INT(jsonstream_feed(&s, str_of(bad[i]), note, &got, &e), -1);
		(void)jsonstream_end(&s, &ignored);
	}
	CHECK_INT(jsonstream_feed(&s, STR_LIT("{\"s\":\"a"), note, &got, &e), 0);
	CHECK_INT(jsonstream_end(&s, &e), -1);
	CHECK(e.kind == ERR_CLOSED);
	buf_free(&got);
}

static void a_huge_object_is_refused(void)
{
	struct jsonstream s = { 0 };
	struct buf got = { 0 };
	struct err e = { 0 };
	char *block = mem_alloc(65536);
	int rc = jsonstream_feed(&s, STR_LIT("{\"s\":\""), note, &got, &e);

	memset(block, 'x', 65536);
	for (int i = 0; rc == 0 && i < 64; i++)
		rc = jsonstream_feed(&s, (struct str){ block, 65536 }, note, &got, &e);
	CHECK_INT(rc, -1);
	CHECK(e.kind == ERR_LIMIT);
	(void)jsonstream_end(&s, &e);
	free(block);
	buf_free(&got);
}

static void add_field(struct buf *b, unsigned number, struct str bytes)
{
	buf_addc(b, (char)(number << 3 | 2));
	buf_addc(b, (char)bytes.n);
	buf_add_str(b, bytes);
}

/* One record, as BuildKit writes them, cut at every length: nothing is read beyond it. */
static void buildkit_says_steps_and_output(void)
{
	struct buildtrace t = { 0 };
	struct buf vertex = { 0 }, log = { 0 }, status = { 0 }, text = { 0 }, out = { 0 };

	add_field(&vertex, 1, STR_LIT("sha256:1"));
	add_field(&vertex, 3, STR_LIT("[2/3] RUN make"));
	add_field(&vertex, 5, STR_LIT("t"));
	add_field(&log, 1, STR_LIT("sha256:1"));
	buf_add(&log, "\x18\x01", 2); /* stream: a varint */
	add_field(&log, 4, STR_LIT("output\n"));
	add_field(&status, 1, buf_str(&vertex));
	add_field(&status, 3, buf_str(&log));
	for (int i = 0; i < 2; i++) {
		buf_reset(&text);
		buf_add_base64(&text, status.p, status.n, false, true);
		buf_reset(&out);
		buildtrace_feed(&t, buf_str(&text), &out);
		CHECK_STR(buf_cstr(&out), i ? "output\n" : "[2/3] RUN make\noutput\n");
	}
	for (size_t n = 0; n < status.n; n++) {
		struct buildtrace u = { 0 };

		buf_reset(&text);
		buf_add_base64(&text, status.p, n, false, true);
		buf_reset(&out);
		buildtrace_feed(&u, buf_str(&text), &out);
		CHECK(!strstr(buf_cstr(&out), "output"));
	}
	buf_reset(&out);
	buildtrace_feed(&t, STR_LIT("no base64 !"), &out);
	CHECK_STR(buf_cstr(&out), "");
	buf_free(&vertex);
	buf_free(&log);
	buf_free(&status);
	buf_free(&text);
	buf_free(&out);
}

TEST_MAIN(TEST(buildkit_says_steps_and_output), TEST(frames_do_not_depend_on_the_split),
          TEST(a_cut_frame_is_an_error), TEST(a_huge_length_is_only_a_count),
          TEST(unknown_types_and_system_errors_fail), TEST(raw_output_passes_as_it_is),
          TEST(objects_do_not_depend_on_the_split), TEST(bad_streams_are_refused),
          TEST(a_huge_object_is_refused))
