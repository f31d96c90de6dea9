/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jsonw.h"

#include "base/json.h"
#include "tests/test.h"

#include <stdlib.h>

static void places_commas(void)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "a", "x");
	jw_kstr(&b, "none", NULL);
	jw_kint(&b, "i", INT64_MIN);
	jw_kbool(&b, "t", true);
	jw_key(&b, "list");
	jw_arr(&b);
	jw_int(&b, 1);
	jw_bool(&b, false);
	jw_null(&b);
	jw_raw(&b, STR_LIT("{}"));
	jw_obj(&b);
	jw_obj_end(&b);
	jw_arr(&b);
	jw_arr_end(&b);
	jw_str(&b, STR_LIT("[{,:"));
	jw_str(&b, STR_LIT("z"));
	jw_arr_end(&b);
	jw_kint(&b, "last", 0);
	jw_obj_end(&b);
	CHECK_STR(buf_cstr(&b), "{\"a\":\"x\",\"none\":null,\"i\":-9223372036854775808,\"t\":true,"
	                        "\"list\":[1,false,null,{},{},[],\"[{,:\",\"z\"],\"last\":0}");
	buf_free(&b);
}

static void lines_of_json_need_no_comma(void)
{
	struct buf b = { 0 };

	jw_int(&b, 1);
	buf_addc(&b, '\n');
	jw_obj(&b);
	jw_obj_end(&b);
	CHECK_STR(buf_cstr(&b), "1\n{}");
	buf_free(&b);
}

static void strings_are_escaped(void)
{
	static const struct {
		struct str in;
		const char *out;
	} rows[] = {
		{ { "", 0 }, "\"\"" },
		{ { "\"\\/", 3 }, "\"\\\"\\\\/\"" },
		{ { "\b\f\n\r\t", 5 }, "\"\\b\\f\\n\\r\\t\"" },
		{ { "a\0b\x1f", 4 }, "\"a\\u0000b\\u001f\"" },
		{ { "\xC3\xA9\xF0\x9F\x98\x80", 6 }, "\"\xC3\xA9\xF0\x9F\x98\x80\"" },
		{ { "hi\x80\n", 4 }, "\"hi\xEF\xBF\xBD\\n\"" },
		{ { "\xC3", 1 }, "\"\xEF\xBF\xBD\"" },
		{ { "\xE2\x82", 2 }, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ { "\x7f", 1 }, "\"\x7f\"" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf b = { 0 };

		TEST_ROW(i);
		jw_str(&b, rows[i].in);
		CHECK_STR(buf_cstr(&b), rows[i].out);
		buf_free(&b);
	}
}

static void every_byte_reads_back(void)
{
	for (int c = 0; c < 256; c++) {
		char in[3] = { 'a', (char)c, 'z' };
		struct buf b = { 0 }, back = { 0 };
		struct err e = { 0 };
		struct json_doc *doc;

		TEST_ROW(c);
		jw_str(&b, (struct str){ in, 3 });
		doc = json_parse(buf_str(&b), 1000, &e);
		if (CHECK(doc != NULL) && CHECK(json_string(json_root(doc), &back))) {
			if (c < 0x80)
				CHECK(back.n == 3 && memcmp(back.p, in, 3) == 0);
			else
				CHECK_STR(buf_cstr(&back), "a\xEF\xBF\xBDz");
		}
		json_doc_free(doc);
		buf_free(&b);
		buf_free(&back);
	}
}

TEST_MAIN(TEST(places_commas), TEST(lines_of_json_need_no_comma), TEST(strings_are_escaped),
          TEST(every_byte_reads_back))
