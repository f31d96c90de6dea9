/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/deadline.h"
#include "base/mem.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/resource.h>

#define MAX ((size_t)64 << 20)

/* Parses an exact-size heap copy, so that an overread is seen. */
static struct json_doc *parse(const char *text, size_t n, bool jsonc, struct err *e)
{
	char *copy = mem_alloc(n);
	struct json_doc *doc;

	if (n)
		memcpy(copy, text, n);
	doc = jsonc ? json_parse_jsonc((struct str){ copy, n }, MAX, e)
	            : json_parse((struct str){ copy, n }, MAX, e);
	free(copy);
	return doc;
}

static struct json_doc *parse_text(const char *text)
{
	struct err e = { 0 };

	return parse(text, strlen(text), false, &e);
}

static void malformed_is_refused(void)
{
	static const char *const rows[] = {
		"{\"a\"}",
		"{\"a\":1,}",
		"{\"a\":\"b\":\"c\"}",
		"{,}",
		"{\"a\":}",
		"{\"a\" \"b\"}",
		"{\"a\":1\"b\":1}",
		"{\"a\":[1 \"b\"]}",
		"{}{}",
		":,{}",
		"{\"a\"::::1}",
		"{\"x\":1,{\"y\":2}}",
		"[1,2",
		"nul",
		"01",
		"1e",
		"",
		" ",
		"\n",
		"[",
		"]",
		"{",
		"}",
		"[]]",
		"{\"a\":1",
		"[1,,3]",
		"[nope]",
		"[,1]",
		"[1,]",
		"{} {}",
		"1 2",
		"\"a",
		"\"a\\",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\uZZZZ\"",
		"\"\\u\"",
		"\"\\u123g\"",
		"\"\n\"",
		"\"\t\"",
		"\"\x01\"",
		"-",
		"-a",
		"+1",
		".5",
		"1.",
		"1.e1",
		"1e+",
		"0x1",
		"1a",
		"--1",
		"00",
		"-01",
		"tru",
		"truee",
		"True",
		"nulll",
		"falsey",
		"NaN",
		"Infinity",
		"'a'",
		"{a:1}",
		"{1:1}",
		"{null:1}",
		"{[]:1}",
		"{\"a\":1 2}",
		"[1:2]",
		"{\"a\",1}",
		"[}",
		"{]",
		"[{]}",
		"{\"a\":[}",
		"/**/1",
		"1//",
		"[1]x",
		"\xEF\xBB\xBF{}",
		"{\"a\" 1}",
		"{\"a\":1,,\"b\":2}",
		"{:1}",
		"{\"a\":\"b\",}",
		"[\"a\"\"b\"]",
		"[1 2]",
		"{}]",
		"true false",
		"\"a\"\"b\"",
		"[1]\v",
		"\f1",
		"\xC2\xA0 1",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct json_doc *doc = parse(rows[i], strlen(rows[i]), false, &e);

		TEST_ROW(i);
		CHECK(doc == NULL);
		CHECK_INT(e.kind, ERR_PARSE);
		CHECK(strstr(e.msg, "byte") != NULL);
		json_doc_free(doc);
	}
}

static void nul_bytes_are_refused(void)
{
	static const struct str rows[] = {
		{ "{}\0", 3 },
		{ "{}\0{}", 5 },
		{ "\0", 1 },
		{ "[1,\0"
		  "2]",
		  6 },
		{ "\"\0\"", 3 },
		{ "1\0", 2 },
		{ "tru\0", 4 },
		{ "\"\\\0\"", 4 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct json_doc *doc = parse(rows[i].p, rows[i].n, false, &e);

		TEST_ROW(i);
		CHECK(doc == NULL && e.kind == ERR_PARSE);
		json_doc_free(doc);
	}
}

static void any_value_is_a_root(void)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"\"\"",
		"0",
		"-0",
		"-1.5e-10",
		"1E5",
		"0.1",
		"true",
		"false",
		"null",
		" \t\r\n1\n ",
		"\"\xC3\xA9\"",
		"[[],{},[{}]]",
		"{\"\":{\"\":[]}}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
		"[ 1 , 2 ]",
		"{ \"a\" : 1 , \"b\" : 2 }",
		"12345678901234567890123456789",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct json_doc *doc = parse(rows[i], strlen(rows[i]), false, &e);

		TEST_ROW(i);
		CHECK(doc != NULL && json_present(json_root(doc)));
		CHECK_STR(e.msg, "");
		json_doc_free(doc);
	}
}

static void every_cut_is_refused(void)
{
	static const char text[] =
		"{\"id\":\"a\\u00e9\\ud83d\\ude00\",\"list\":[1,-2.5e3,true,null,{\"x\":[]}],\"s\":\"\xE2\x82\xAC\"}";

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		struct err e = { 0 };
		struct json_doc *doc = parse(text, n, false, &e);

		TEST_ROW(n);
		CHECK(doc == NULL && e.kind == ERR_PARSE);
		json_doc_free(doc);
	}
	CHECK(json_is_object(json_root(NULL)) == false);
}

static void lookups_chain(void)
{
	struct json_doc *doc = parse_text(
		"{\"a\":{\"b\":[10,{\"c\":\"deep\"}]},\"n\":null,\"t\":true,\"f\":false}");
	struct json root = json_root(doc), b = json_get(json_get(root, "a"), "b"), second;
	int64_t v = 0;

	CHECK(json_is_array(b));
	CHECK_INT((long long)json_len(b), 2);
	CHECK_INT((long long)json_len(root), 4);
	CHECK(json_i64(json_first(b), 0, 100, &v) && v == 10);
	second = json_next(json_first(b));
	CHECK(json_str_is(json_get(second, "c"), "deep"));
	CHECK(!json_present(json_next(second)));
	CHECK(!json_present(json_get(json_get(root, "x"), "y")));
	CHECK(!json_present(json_get(b, "x")));
	CHECK(json_is_null(json_get(root, "n")) && json_present(json_get(root, "n")));
	CHECK(json_is_null(json_get(root, "x")) && !json_present(json_get(root, "x")));
	CHECK(json_bool(json_get(root, "t"), false) && !json_bool(json_get(root, "f"), true));
	CHECK(json_bool(json_get(root, "x"), true) && json_bool(json_get(root, "n"), true));
	CHECK(json_is_bool(json_get(root, "t")) && !json_is_bool(json_get(root, "n")));
	CHECK(!json_present(json_next(root)) && !json_present(json_first(json_get(root, "t"))));
	CHECK(str_eq(json_raw(json_get(root, "a")), "{\"b\":[10,{\"c\":\"deep\"}]}"));
	CHECK(str_eq(json_raw(json_get(second, "c")), "\"deep\""));
	CHECK_INT((long long)json_raw(json_get(root, "x")).n, 0);
	json_doc_free(doc);
	json_doc_free(NULL);
}

static void iteration_gives_keys_and_values(void)
{
	struct json_doc *doc = parse_text("{\"a\":[],\"b\":{\"z\":[1,2]},\"c\\n\":3,\"\":[[]]}");
	struct buf got = { 0 };

	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		json_key(member, &got);
		buf_addc(&got, '=');
		buf_add_str(&got, json_raw(member));
		buf_addc(&got, ';');
	}
	CHECK_STR(buf_cstr(&got), "a=[];b={\"z\":[1,2]};c\n=3;=[[]];");
	buf_free(&got);
	json_doc_free(doc);
	doc = parse_text("[[1],[],2]");
	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		json_key(member, &got); /* an element has no key */
		buf_add_str(&got, json_raw(member));
		buf_addc(&got, ';');
	}
	CHECK_STR(buf_cstr(&got), "[1];[];2;");
	buf_free(&got);
	json_doc_free(doc);
}

static void keys_match_exactly_then_folded(void)
{
	struct json_doc *doc = parse_text(
		"{\"Id\":\"1\",\"id\":\"2\",\"NAME\":\"3\",\"dup\":\"4\",\"dup\":\"5\","
		"\"\\u0065sc\":\"6\",\"Name\":\"7\"}");
	struct json root = json_root(doc);

	CHECK(json_str_is(json_get(root, "id"), "2"));
	CHECK(json_str_is(json_get(root, "Id"), "1"));
	CHECK(json_str_is(json_get(root, "ID"), "2"));
	CHECK(json_str_is(json_get(root, "name"), "7"));
	CHECK(json_str_is(json_get(root, "NAME"), "3"));
	CHECK(json_str_is(json_get(root, "dup"), "5"));
	CHECK(json_str_is(json_get(root, "esc"), "6"));
	CHECK(!json_present(json_get(root, "du")));
	json_doc_free(doc);
}

static void strings_are_decoded(void)
{
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80" },
		{ "\"\\ud841\\udf31\"", "\xF0\xA0\x9C\xB1" }, /* U+20731 */
		{ "\"\\uD83D\\uDE00x\"", "\xF0\x9F\x98\x80x" },
		{ "\"\\ud83d\"", "\xEF\xBF\xBD" },
		{ "\"\\ude00\"", "\xEF\xBF\xBD" },
		{ "\"\\ud83dx\"", "\xEF\xBF\xBDx" },
		{ "\"\\ud83d\\n\"", "\xEF\xBF\xBD\n" },
		{ "\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80" },
		{ "\"\\ud83d\\u0041\"", "\xEF\xBF\xBD"
		                        "A" },
		{ "\"\\u00e9\\u20AC\\u007f\"", "\xC3\xA9\xE2\x82\xAC\x7F" },
		{ "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"", "\b\f\n\r\t/\\\"" },
		{ "\"a\x80z\"", "a\xEF\xBF\xBDz" },
		{ "\"\xC3\"", "\xEF\xBF\xBD" },
		{ "\"\xED\xA0\x80\"", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
		{ "\"\xF0\x9F\x98\x80\"", "\xF0\x9F\x98\x80" },
		{ "\"\\uffff\\ufffe\"", "\xEF\xBF\xBF\xEF\xBF\xBE" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct json_doc *doc = parse_text(rows[i].json);
		struct json v = json_root(doc);
		char *s = json_dup(v);

		TEST_ROW(i);
		CHECK_STR(s, rows[i].want);
		CHECK(json_str_is(v, rows[i].want));
		free(s);
		json_doc_free(doc);
	}
}

static void nul_in_a_string(void)
{
	struct json_doc *doc = parse_text("[\"a\\u0000b\"]");
	struct json v = json_first(json_root(doc));
	struct buf b = { 0 };
	char *s;

	CHECK(json_dup(v) == NULL);
	s = json_dup_or_empty(v);
	CHECK_STR(s, "");
	CHECK(json_string(v, &b) && b.n == 3 && memcmp(b.p, "a\0b", 3) == 0);
	CHECK(!json_str_is(v, "a"));
	free(s);
	buf_free(&b);
	json_doc_free(doc);
}

static void dup_of_no_string_is_null(void)
{
	struct json_doc *doc = parse_text("{\"n\":1,\"o\":{},\"z\":null,\"s\":\"\"}");
	static const char *const keys[] = { "n", "o", "z", "missing" };
	struct buf b = { 0 };
	char *s;

	for (size_t i = 0; i < TEST_N(keys); i++) {
		TEST_ROW(i);
		CHECK(json_dup(json_get(json_root(doc), keys[i])) == NULL);
		CHECK(!json_string(json_get(json_root(doc), keys[i]), &b) && b.n == 0);
	}
	s = json_dup(json_get(json_root(doc), "s"));
	CHECK_STR(s, "");
	free(s);
	json_doc_free(doc);
}

static void numbers_are_exact_or_refused(void)
{
	static const struct {
		const char *json;
		bool ok;
		int64_t v;
	} rows[] = {
		{ "9007199254740993", true, 9007199254740993 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "99999999999999999999", false, 0 },
		{ "3000000000", true, 3000000000 },
		{ "-0", true, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "\"5\"", false, 0 },
		{ "null", false, 0 },
		{ "true", false, 0 },
		{ "[1]", false, 0 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct json_doc *doc = parse_text(rows[i].json);
		int64_t v = -7;

		TEST_ROW(i);
		CHECK_INT(json_i64(json_root(doc), INT64_MIN, INT64_MAX, &v), rows[i].ok);
		CHECK_INT(v, rows[i].ok ? rows[i].v : -7);
		CHECK(str_eq(json_raw(json_root(doc)), rows[i].json));
		json_doc_free(doc);
	}
}

static void depth_has_a_limit(void)
{
	char text[2 * JSON_DEPTH_MAX + 4];
	struct err e = { 0 };
	struct json_doc *doc;

	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	doc = parse(text + 1, (size_t)2 * JSON_DEPTH_MAX, false, &e);
	CHECK(doc != NULL);
	json_doc_free(doc);
	doc = parse(text, (size_t)2 * JSON_DEPTH_MAX + 2, false, &e);
	CHECK(doc == NULL);
	CHECK_INT(e.kind, ERR_LIMIT);
}

/* Processor time. */
static long long refuse(size_t n)
{
	char *text = mem_alloc(n);
	struct err e = { 0 };
	long long began;

	memset(text, '[', n);
	began = test_cpu_us();
	CHECK(json_parse((struct str){ text, n }, n, &e) == NULL);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK(json_parse((struct str){ text, n }, n - 1, &e) == NULL);
	CHECK_INT(e.kind, ERR_LIMIT);
	began = test_cpu_us() - began;
	free(text);
	return began;
}

static void hostile_size_is_refused_at_once(void)
{
	long long us = refuse((size_t)1 << 20);

	CHECK(test_is_linear(us, refuse((size_t)64 << 20), 64));
}

static long long read_list(int many)
{
	long long began = test_cpu_us();
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;
	size_t n = 0;

	buf_addc(&b, '[');
	for (int i = 0; i < many; i++)
		buf_addf(&b, "%s{\"id\":%d}", i ? "," : "", i);
	buf_addc(&b, ']');
	doc = json_parse(buf_str(&b), MAX, &e);
	if (CHECK(doc != NULL)) {
		for (struct json member = json_first(json_root(doc)); json_present(member);
		     member = json_next(member)) {
			int64_t id = -1;

			json_i64(json_get(member, "id"), 0, INT64_MAX, &id);
			n += (size_t)id == n;
		}
	}
	CHECK_INT(n, many);
	json_doc_free(doc);
	buf_free(&b);
	return test_cpu_us() - began;
}

static void long_lists_are_read_in_linear_time(void)
{
	long long us = read_list(12500);

	CHECK(test_is_linear(us, read_list(200000), 16));
}

static void error_names_the_place_and_not_the_text(void)
{
	struct err e = { 0 };

	CHECK(parse("{\"token\":\n secret}", 18, false, &e) == NULL);
	CHECK_STR(e.msg, "invalid JSON at byte 11, line 2: a value is expected");
}

static void jsonc_is_read(void)
{
	static const struct {
		const char *in, *want; /* want: the root's text without space; NULL: refused */
	} rows[] = {
		{ "// c\n{\"a\": 1, // x\n}", "{\"a\":1}" },
		{ "/* c */ [1, /* 2, */ 3, ] // end", "[1,3]" },
		{ "{\"u\":\"http://x/*y*/\",}", "{\"u\":\"http://x/*y*/\"}" },
		{ "{\"q\":\"\\\"//\",}", "{\"q\":\"\\\"//\"}" },
		{ "[1,/*,*/]", "[1]" },
		{ "[1,\n//x\n\n]", "[1]" },
		{ "[[1,],{\"a\":{},},]", "[[1],{\"a\":{}}]" },
		{ "\xEF\xBB\xBF{}", "{}" },
		{ "[/**/1/***/]", "[1]" },
		{ "1//", "1" },
		{ "[,]", NULL },
		{ "{,}", NULL },
		{ "[1,,]", NULL },
		{ "{\"a\":,}", NULL },
		{ "[1]/*", NULL },
		{ "/*/ 1", NULL },
		{ "[1]/", NULL },
		{ ",", NULL },
		{ "1,", NULL },
		{ "//", NULL },
		{ "\"a", NULL },
		{ "\"a\\", NULL },
		{ "tr/**/ue", NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct json_doc *doc = parse(rows[i].in, strlen(rows[i].in), true, &e);
		struct buf got = { 0 };
		struct str raw = json_raw(json_root(doc));

		TEST_ROW(i);
		for (size_t k = 0; k < raw.n; k++) {
			if (!strchr(" \n", raw.p[k]))
				buf_addc(&got, raw.p[k]);
		}
		if (rows[i].want)
			CHECK_STR(buf_cstr(&got), rows[i].want);
		else
			CHECK(doc == NULL && e.kind == ERR_PARSE);
		buf_free(&got);
		json_doc_free(doc);
	}
}

static void members_that_occur_twice_are_found(void)
{
	static const struct {
		const char *text, *exact, *folded; /* the name, or NULL */
	} rows[] = {
		{ "{\"a\":1,\"b\":{\"a\":2}}", NULL, NULL },
		{ "{\"a\":1,\"b\":2,\"a\":1}", "a", "a" },
		{ "{\"id\":1,\"\\u0069d\":1}", "id", "id" },
		{ "{\"id\":1,\"ID\":1}", NULL, "id" },
		{ "[1,1]", NULL, NULL },
		{ "{}", NULL, NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct err e = { 0 };
		struct json_doc *doc = json_parse(str_of(rows[i].text), 1000, &e);
		struct buf name = { 0 };

		TEST_ROW(i);
		CHECK(json_twin(json_root(doc), false, &name) == (rows[i].exact != NULL));
		CHECK_STR(buf_cstr(&name), rows[i].exact ? rows[i].exact : "");
		buf_reset(&name);
		CHECK(json_twin(json_root(doc), true, &name) == (rows[i].folded != NULL));
		CHECK(!rows[i].folded || strcasecmp(buf_cstr(&name), rows[i].folded) == 0);
		buf_free(&name);
		json_doc_free(doc);
	}
}

TEST_MAIN(TEST(members_that_occur_twice_are_found), TEST(malformed_is_refused),
          TEST(nul_bytes_are_refused), TEST(any_value_is_a_root), TEST(every_cut_is_refused),
          TEST(lookups_chain), TEST(iteration_gives_keys_and_values),
          TEST(keys_match_exactly_then_folded), TEST(strings_are_decoded), TEST(nul_in_a_string),
          TEST(dup_of_no_string_is_null), TEST(numbers_are_exact_or_refused),
          TEST(depth_has_a_limit), TEST(hostile_size_is_refused_at_once),
          TEST(long_lists_are_read_in_linear_time), TEST(error_names_the_place_and_not_the_text),
          TEST(jsonc_is_read))
