/* SPDX-License-Identifier: Apache-2.0 */
/* What the toolbox parses: forms, command lines, git's history. */
#include "agent/toolbox/history.h"
#include "agent/toolbox/multipart.h"
#include "agent/toolbox/words.h"
#include "base/attr.h"
#include "base/json.h"
#include "tests/test.h"

/* The form's events in short: "P(name)" "D(bytes)" "E" or "B"; data that comes in pieces is joined. */
static void run(struct str type, struct str body, size_t step, struct buf *out)
{
	struct multipart parts = { 0 };
	struct err e = { 0 };
	struct buf data = { 0 };
	enum multipart_event ev = MULTIPART_MORE;

	if (multipart_start(&parts, type, &e) < 0) {
		buf_adds(out, "refused");
		return;
	}
	for (size_t i = 0; i < body.n && ev != MULTIPART_END && ev != MULTIPART_BAD; i += step) {
		size_t n = body.n - i < step ? body.n - i : step;
		char *copy = malloc(n); /* an exact block shows what is read beyond it */
		struct str piece;

		memcpy(copy, body.p + i, n);
		multipart_feed(&parts, (struct str){ copy, n });
		free(copy);
		while ((ev = multipart_next(&parts, &piece)) != MULTIPART_MORE) {
			if (ev == MULTIPART_DATA) {
				buf_add_str(&data, piece);
				continue;
			}
			if (data.n)
				buf_addf(out, "D(%s)", buf_cstr(&data));
			buf_reset(&data);
			if (ev == MULTIPART_PART)
				buf_addf(out, "P(%s)", buf_cstr(&parts.name));
			else
				buf_adds(out, ev == MULTIPART_END ? "E" : "B");
			if (ev == MULTIPART_END || ev == MULTIPART_BAD)
				break;
		}
	}
	if (ev == MULTIPART_MORE)
		buf_adds(out, "cut");
	buf_free(&data);
	multipart_free(&parts);
}

static void a_form_is_read_in_pieces_of_any_size(void)
{
	static const struct {
		const char *type, *body, *events;
	} rows[] = {
		{ "multipart/form-data; boundary=b",
		  "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\none\r\n--b--",
		  "P(file)D(one)E" },
		{ "Multipart/Form-Data ; charset=x; BOUNDARY=\"a b\"",
		  "preamble\r\n--a b \t\r\nX: y\r\ncontent-disposition:form-data;name=q\r\n\r\n1\r\n--a b\r\n"
		  "\r\n2\r\n--a b--\r\nepilogue",
		  "P(q)D(1)P()D(2)E" },
		{ "multipart/form-data; boundary=b", "--b\r\n\r\n\r\n--b--", "P()E" },
		{ "multipart/form-data; boundary=b", "--b\r\n\r\n\r\r\n-\r\n--\r\n--b--",
		  "P()D(\r\r\n-\r\n--)E" },
		{ "multipart/form-data; boundary=b",
		  "--b\r\nContent-Disposition: form-data; filename=\"; name=no\"; name=\"a\\\"b\"\r\n\r\n\r\n--b--",
		  "P(a\"b)E" },
		{ "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--bb\r\n", "P()D(x)B" },
		{ "multipart/form-data; boundary=b", "--b--", "E" },
		{ "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b-", "cut" },
		{ "multipart/form-data; boundary=b", "nothing at all", "cut" },
		{ "multipart/form-data; boundary=", "", "refused" },
		{ "multipart/form-data", "", "refused" },
		{ "application/json; boundary=b", "", "refused" },
		{ "multipart/form-data; boundary=\"b\r\"", "", "refused" },
		{ "", "", "refused" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t step = 1; step <= strlen(rows[i].body) + 1; step++) {
			struct buf out = { 0 };

			TEST_ROW(i);
			run(str_of(rows[i].type), str_of(rows[i].body), step, &out);
			if (strcmp(rows[i].events, "cut") == 0)
				CHECK(str_ends(buf_str(&out), "cut"));
			else
				CHECK_STR(buf_cstr(&out), rows[i].events);
			buf_free(&out);
		}
	}
}

static void a_head_without_an_end_is_refused(void)
{
	struct buf body = { 0 }, out = { 0 };

	buf_adds(&body, "--b\r\nX: ");
	for (size_t i = 0; i < MULTIPART_HEAD_MAX; i++)
		buf_addc(&body, 'x');
	run(STR_LIT("multipart/form-data; boundary=b"), buf_str(&body), 1000, &out);
	CHECK_STR(buf_cstr(&out), "B");
	buf_free(&body);
	buf_free(&out);
}

static void a_line_is_cut_into_words(void)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "a", "a|" },
		{ "  a \t b\n", "a|b|" },
		{ "a'b c'\"d e\"f", "ab cd ef|" },
		{ "'' \"\"", "||" },
		{ "\"it's\" '\"'", "it's|\"|" },
		{ "a\\ b", "a\\|b|" },
		{ "", NULL },
		{ " \n", NULL },
		{ "a 'b", NULL },
		{ "\"", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct words w = { 0 };
		struct buf out = { 0 };
		struct err e = { 0 };
		int rc = words_cut(&w, str_of(rows[i].line), &e);

		TEST_ROW(i);
		CHECK(rc == (rows[i].words ? 0 : -1));
		for (size_t k = 0; k < w.n; k++)
			buf_addf(&out, "%s|", w.v[k]);
		if (rows[i].words)
			CHECK_STR(buf_cstr(&out), rows[i].words);
		CHECK(!w.v || !w.v[w.n]);
		words_free(&w);
		buf_free(&out);
	}
}

#define HASH "0123456789abcdef0123456789abcdef01234567"
#define ONE \
	HASH "\0Ann\0a@x\0" \
	     "2025-01-02T03:04:05Z\0text\nmore\n\0"

#define T(s) \
	{ \
		(s), sizeof(s) - 1 \
	}

static void history_is_what_is_whole(void)
{
	static const struct {
		struct str log;
		size_t n;
	} rows[] = {
		{ T(""), 0 },
		{ T(ONE), 1 },
		{ T(ONE "\n" ONE "\n"), 2 },
		{ T("warning: something\n" ONE), 1 },
		{ T(ONE "\n" HASH "\0Ann\0a@x\0"), 1 },
		{ T(ONE "\nnothing\0\0\0\0\0\n" ONE), 2 },
		{ T("\0\0\0\0\0"), 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = { 0 };
		struct err e = { 0 };
		struct json_doc *doc;
		struct json first;

		TEST_ROW(i);
		history_parse(rows[i].log, &b);
		doc = json_parse(buf_str(&b), 1 << 20, &e);
		CHECK(doc && json_len(json_root(doc)) == rows[i].n);
		first = json_first(json_root(doc));
		if (rows[i].n) {
			CHECK(json_str_is(json_get(first, "hash"), HASH));
			CHECK(json_str_is(json_get(first, "message"), "text\nmore\n"));
		}
		json_doc_free(doc);
		buf_free(&b);
	}
}

TEST_MAIN(TEST(a_form_is_read_in_pieces_of_any_size), TEST(a_head_without_an_end_is_refused),
          TEST(a_line_is_cut_into_words), TEST(history_is_what_is_whole))
