/* SPDX-License-Identifier: Apache-2.0 */
/* Members found in the text, and what stands for itself in a string. */
#include "base/json_skim.h"

#include "base/buf.h"
#include "base/json_check.h"
#include "base/mem.h"
#include "tests/test.h"

#include <stdlib.h>

/* "key=value;" of each member; of an exact copy, so that a look beyond the end is seen. */
static void list(struct str text, struct buf *out)
{
	char *copy = mem_alloc(text.n ? text.n : 1);
	struct json_skim k;
	struct str key, value;

	memcpy(copy, text.p, text.n);
	k = json_skim((struct str){ copy, text.n });
	buf_reset(out);
	while (json_skim_next(&k, &key, &value))
		buf_addf(out, "%.*s=%.*s;", STR_ARG(key), STR_ARG(value));
	free(copy);
}

static void members_are_found_as_they_are_written(void)
{
	static const struct {
		const char *text, *members;
	} rows[] = {
		{ "{}", "" },
		{ "[]", "" },
		{ " { } ", "" },
		{ "7", "" },
		{ "\"{\"", "" },
		{ "{\"a\":1}", "a=1;" },
		{ "{\"a\":-1.5e3,\"b\":null}", "a=-1.5e3;b=null;" },
		{ "{\"a\" : \"x\" , \"\" :\ttrue\n}", "a=\"x\";=true;" },
		{ "{\"a\\\"}\":\"\\\\\",\"b\":\"\\\\\\\"]\"}", "a\\\"}=\"\\\\\";b=\"\\\\\\\"]\";" },
		{ "{\"o\":{\"x\":[1,{\"y\":\"}]\"}]},\"l\":[[],[]]}",
		  "o={\"x\":[1,{\"y\":\"}]\"}]};l=[[],[]];" },
		{ "[1,\"two\", {\"a\":[]} ,false]", "=1;=\"two\";={\"a\":[]};=false;" },
		{ "{\"\xC3\xA4\":\"\xF0\x9F\x90\xA7 and more than eight\"}",
		  "\xC3\xA4=\"\xF0\x9F\x90\xA7 and more than eight\";" },
	};
	struct buf got = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t tokens;
		struct err e = { 0 };

		CHECK_INT(json_check(str_of(rows[i].text), NULL, &tokens, &e), 0);
		list(str_of(rows[i].text), &got);
		CHECK_STR(buf_cstr(&got), rows[i].members);
	}
	buf_free(&got);
}

/* What is no JSON gives some members; the walk ends, and stays inside. */
static void text_that_is_cut_or_no_json_ends_the_walk(void)
{
	static const char whole[] = "[{\"a\":\"b\\\\\\\"c\",\"d\":{\"e\":[1,2,{}]}},\"f\"]";
	static const char *const odd[] = { "{a}",  "{\"a\"}", "{,}",  "[}",     "{]",     "[1 2]",
		                           "{\"a", "{\"a\\",  "[[[[", "]]]",    "{\"a\"", "\\",
		                           "[,,]", "{:}",     "[\"]", "{\"\":", "[{\"}]" };
	struct buf got = { 0 };

	for (size_t n = 0; n < sizeof(whole); n++) {
		list((struct str){ whole, n }, &got);
		list((struct str){ whole + n, sizeof(whole) - 1 - n }, &got);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		list(str_of(odd[i]), &got);
	list(str_of("[1,2]x"), &got);
	CHECK_STR(buf_cstr(&got), "=1;=2;");
	buf_free(&got);
}

static void a_walk_goes_into_a_value_and_on_behind_it(void)
{
	struct json_skim k = json_skim(STR_LIT("[{\"a\":1},{}, {\"b\":{\"c\":[]}} ,9]")), inner;
	struct buf got = { 0 };
	struct str key, value;

	while (json_skim_into(&k, &inner)) {
		while (json_skim_next(&inner, &key, &value))
			buf_addf(&got, "%.*s=%.*s;", STR_ARG(key), STR_ARG(value));
		buf_addc(&got, '|');
		json_skim_out(&k, &inner);
	}
	CHECK_STR(buf_cstr(&got), "a=1;||b={\"c\":[]};|");
	CHECK(json_skim_next(&k, &key, &value) && str_eq(value, "9"));
	CHECK(!json_skim_next(&k, &key, &value) && !json_skim_into(&k, &inner));
	buf_free(&got);
}

static void a_string_is_what_has_quotes(void)
{
	CHECK(str_eq(json_skim_string(STR_LIT("\"x\"")), "x"));
	CHECK(json_skim_string(STR_LIT("\"\"")).p && json_skim_string(STR_LIT("\"\"")).n == 0);
	CHECK(!json_skim_string(STR_LIT("12")).p && !json_skim_string(STR_LIT("\"")).p);
	CHECK(!json_skim_string((struct str){ 0 }).p);
}

/* Each byte at each place of a run, with each length: eight are looked at together. */
static void a_run_ends_at_the_first_byte_that_is_not_plain(void)
{
	size_t wrong = 0;

	for (size_t n = 0; n <= 20; n++) {
		char *text = mem_alloc(n ? n : 1);

		for (size_t at = 0; at < n; at++) {
			for (int c = 0; c < 256; c++) {
				bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

				memset(text, ' ', n); /* the least of the plain ones */
				text[at] = (char)c;
				wrong += str_plain_run(text, n) != (plain ? n : at);
				text[n - 1] = '"';
				wrong += str_plain_run(text, n) !=
				         (!plain && at < n - 1 ? at : n - 1);
			}
		}
		free(text);
	}
	CHECK_INT((long long)wrong, 0);
}

TEST_MAIN(TEST(members_are_found_as_they_are_written),
          TEST(text_that_is_cut_or_no_json_ends_the_walk),
          TEST(a_walk_goes_into_a_value_and_on_behind_it), TEST(a_string_is_what_has_quotes),
          TEST(a_run_ends_at_the_first_byte_that_is_not_plain))
