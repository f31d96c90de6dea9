/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kv.h"

#include "tests/test.h"

static void set_get_delete_keep_order(void)
{
	struct kv kv = { 0 };
	struct buf b = { 0 };
	char key[16];

	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		kv_set(&kv, key, key + 1);
	}
	CHECK_INT((long long)kv.n, 40);
	CHECK_STR(kv_get(&kv, "k39"), "39");
	kv_set(&kv, "k0", kv_get(&kv, "k1")); /* a value of its own */
	CHECK_STR(kv_get(&kv, "k0"), "1");
	CHECK(kv_get(&kv, "k") == NULL);
	CHECK(!kv_del(&kv, "none"));
	for (int i = 3; i < 40; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		CHECK(kv_del(&kv, key));
	}
	CHECK(kv_del(&kv, "k1"));
	kv_to_json(&kv, &b);
	CHECK_STR(buf_cstr(&b), "{\"k0\":\"1\",\"k2\":\"2\"}");
	buf_free(&b);
	kv_free(&kv);
	kv_free(&kv);
	CHECK(kv.pairs == NULL && kv.n == 0);
}

static void merge_wins(void)
{
	struct kv a = { 0 }, b = { 0 };

	kv_set(&a, "x", "1");
	kv_set(&b, "x", "2");
	kv_set(&b, "y", "3");
	kv_merge(&a, &b);
	kv_merge(&a, &a);
	CHECK_STR(kv_get(&a, "x"), "2");
	CHECK_STR(kv_get(&a, "y"), "3");
	CHECK_INT((long long)a.n, 2);
	kv_free(&a);
	kv_free(&b);
}

static void json_strings_are_taken(void)
{
	static const char text[] =
		"{\"a\":\"1\",\"n\":2,\"z\":null,\"e\":\"\",\"a\":\"3\",\"bad\":\"x\\u0000\",\"k\\u0000\":\"v\"}";
	struct err e = { 0 };
	struct json_doc *doc = json_parse(str_of(text), 1000, &e);
	struct kv kv = { 0 };

	kv_from_json(&kv, json_root(doc));
	CHECK_INT((long long)kv.n, 2);
	CHECK_STR(kv_get(&kv, "a"), "3");
	CHECK_STR(kv_get(&kv, "e"), "");
	kv_from_json(&kv, json_get(json_root(doc), "z"));
	kv_from_json(&kv, json_get(json_root(doc), "missing"));
	CHECK_INT((long long)kv.n, 2);
	kv_free(&kv);
	json_doc_free(doc);
}

static void env_is_for_exec(void)
{
	struct kv kv = { 0 };
	char **env = kv_to_env(&kv);

	CHECK(env[0] == NULL);
	kv_env_free(env);
	kv_set(&kv, "A", "b=c");
	env = kv_to_env(&kv);
	CHECK_STR(env[0], "A=b=c");
	CHECK(env[1] == NULL);
	kv_env_free(env);
	kv_env_free(NULL);
	kv_free(&kv);
}

TEST_MAIN(TEST(set_get_delete_keep_order), TEST(merge_wins), TEST(json_strings_are_taken),
          TEST(env_is_for_exec))
