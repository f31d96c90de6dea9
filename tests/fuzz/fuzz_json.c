/* SPDX-License-Identifier: Apache-2.0 */
/* Parses bytes as JSON and walks the result by every accessor; what is written again must read alike. */
#include "base/json.h"
#include "base/jsonw.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void visit(struct json v, struct buf *copy, int depth)
{
	struct buf text = { 0 };
	size_t n = 0;
	int64_t i;

	REQUIRE(depth <= JSON_DEPTH_MAX && json_present(v));
	REQUIRE(json_is_null(v) + json_is_object(v) + json_is_array(v) + json_is_string(v) +
	                json_is_number(v) + json_is_bool(v) ==
	        1);
	if (json_string(v, &text)) {
		jw_str(copy, buf_str(&text));
	} else if (json_is_object(v) || json_is_array(v)) {
		json_is_object(v) ? jw_obj(copy) : jw_arr(copy);
		for (struct json member = json_first(v); json_present(member);
		     member = json_next(member), n++) {
			buf_reset(&text);
			json_key(member, &text);
			if (json_is_object(v)) {
				jw_str(copy, buf_str(&text));
				buf_addc(copy, ':');
				if (!memchr(buf_cstr(&text), 0, text.n))
					REQUIRE(json_present(json_get(v, buf_cstr(&text))));
			}
			visit(member, copy, depth + 1);
		}
		REQUIRE(json_len(v) == n);
		json_is_object(v) ? jw_obj_end(copy) : jw_arr_end(copy);
	} else {
		REQUIRE(!json_i64(v, INT64_MIN, INT64_MAX, &i) || json_is_number(v));
		jw_raw(copy, json_raw(v));
	}
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct buf first = { 0 }, second = { 0 };
	struct err e = { 0 };
	struct json_doc *doc = json_parse(in, 1 << 20, &e);

	if (!doc) {
		REQUIRE(e.kind == ERR_PARSE || e.kind == ERR_LIMIT);
		return 0;
	}
	visit(json_root(doc), &first, 0);
	json_doc_free(doc);
	doc = json_parse(buf_str(&first), (size_t)1 << 24, &e);
	REQUIRE(doc != NULL);
	visit(json_root(doc), &second, 0);
	REQUIRE(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
	json_doc_free(doc);
	buf_free(&first);
	buf_free(&second);
	return 0;
}
