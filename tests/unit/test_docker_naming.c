/* SPDX-License-Identifier: Apache-2.0 */
/* Image names of builds against the vectors of protocol 10.9, registry headers, option values. */
#include "oci/image_ref.h"
#include "providers/buildname.h"
#include "providers/docker/engine/images.h"
#include "providers/docker/engine/options.h"
#include "providers/docker/workspace/internal.h"
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

static void names_follow_the_vectors(void)
{
	static const char path[] = ".devcontainer/devcontainer.json";
	static const struct {
		const char *path;
		int env; /* 0 null, 1 empty, 2 filled */
		const char *tag;
	} rows[] = {
		{ path, 2, "e177f30a57c408cc" }, { path, 1, "ef0bcb0babbf8a46" },
		{ path, 0, "77eda651364695fc" }, { NULL, 2, "77a7c3b25963b33f" },
		{ NULL, 1, "e66f154873f20593" },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		char url[] = "https://github.com/acme/app", branch[] = "main";
		char sha[] = "0123456789abcdef0123456789abcdef01234567";
		struct build b = { .repo = { .url = url, .branch = branch, .sha = sha },
			           .env_is_null = rows[i].env == 0 };
		struct buf out = { 0 }, want = { 0 };

		TEST_ROW(i);
		if (rows[i].env == 2) {
			kv_set(&b.env, "B", "2");
			kv_set(&b.env, "A", "1");
		}
		build_image_name(&b, rows[i].path, "reg.test:5000", "/ns", &out);
		buf_addf(&want, "reg.test:5000/ns/w-aac23a0f5f303e6d:%s", rows[i].tag);
		CHECK_STR(buf_cstr(&out), buf_cstr(&want));
		buf_free(&out);
		buf_free(&want);
		kv_free(&b.env);
	}
}

static void environment_is_escaped_as_the_reference_does(void)
{
	struct kv env = { 0 };
	struct buf out = { 0 };

	kv_set(&env, "b", "<a>&\xe2\x80\xa8\"\\\n\x01\x7f");
	kv_set(&env, "B", "\xff\xc3\xa9");
	build_env_json(&env, false, &out);
	CHECK_STR(buf_cstr(&out),
	          "{\"B\":\"\\ufffd\xc3\xa9\",\"b\":\"\\u003ca\\u003e\\u0026\\u2028\\\""
	          "\\\\\\n\\u0001\x7f\"}");
	buf_free(&out);
	kv_free(&env);
}

static void registry_header_is_base64url(void)
{
	char server[] = "r", user[] = "u", plain[] = "p", odd[] = "~~~???", quoted[] = "a\"b\\c";
	static const char *const want[] = { "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ==",
		                            "{\"username\":\"u\",\"password\":\"~~~???\"}",
		                            "{\"username\":\"u\",\"password\":\"a\\\"b\\\\c\"}" };
	char *const passwords[] = { plain, odd, quoted };

	for (size_t i = 0; i < TEST_N(passwords); i++) {
		struct registry r = { server, user, passwords[i] };
		struct buf out = { 0 }, back = { 0 };

		TEST_ROW(i);
		registry_auth_header(&r, &out);
		CHECK(!strpbrk(buf_cstr(&out), "+/"));
		CHECK_INT((long long)(out.n % 4), 0);
		CHECK(buf_add_unbase64(&back, buf_str(&out)));
		CHECK_STR(i ? buf_cstr(&back) : buf_cstr(&out), want[i]);
		buf_free(&out);
		buf_free(&back);
	}
}

static void option_values_are_checked(void)
{
	static const struct {
		const char *json;
		bool ok;
	} rows[] = {
		{ "", true },
		{ "null", true },
		{ "{}", true },
		{ "{\"Sock Path\":\"/var/run/docker.sock\"}", true },
		{ "{\"Privileged\":true}", true },
		{ "{\"Privileged\":\"yes\",\"CPUs\":1.5,\"Memory\":\"2g\"}", true },
		{ "{\"Remote Port\":\"\",\"Memory\":\"\",\"Agent\":\"\"}", true },
		{ "{\"Unknown\":[1]}", true },
		{ "{\"CPUs\":\"0\"}", false },
		{ "{\"Memory\":\"abc\"}", false },
		{ "{\"Memory\":\"99999999999999999999\"}", false },
		{ "{\"Privileged\":\"maybe\"}", false },
		{ "{\"Pids\":512,\"Disk\":\"20g\",\"Capabilities\":\"-ALL, CHOWN,+SYS_NICE\"}",
		  true },
		{ "{\"Pids\":\"\",\"Disk\":\"\",\"GPUs\":\"\",\"Volumes\":\"\",\"Runtime\":\"\"}",
		  true },
		{ "{\"Pids\":0}", false },
		{ "{\"Pids\":\"many\"}", false },
		{ "{\"Disk\":\"-1\"}", false },
		{ "{\"Capabilities\":\"a b\"}", false },
		{ "{\"Capabilities\":\"--X\"}", false },
		{ "{\"Capabilities\":\"-\"}", false },
		{ "{\"Runtime\":\"runsc\",\"GPUs\":\"all\"}", true },
		{ "{\"Runtime\":\"/bin/sh\"}", false },
		{ "{\"GPUs\":1}", true },
		{ "{\"GPUs\":\"auto\"}", true },
		{ "{\"GPUs\":\"device=GPU-1,0\"}", true },
		{ "{\"GPUs\":\"device=\"}", false },
		{ "{\"GPUs\":\"0\"}", false },
		{ "{\"GPUs\":\"some\"}", false },
		{ "{\"Volumes\":\"a:/a, /b:/c:ro,d:/d:rw\"}", true },
		{ "{\"Volumes\":\"a\"}", false },
		{ "{\"Volumes\":\"a:b\"}", false },
		{ "{\"Volumes\":\":/a\"}", false },
		{ "{\"Volumes\":\"a:/a:rx\"}", false },
		{ "{\"Volumes\":\"a:/a:ro:x\"}", false },
		{ "{\"Agent\":\"other\"}", false },
		{ "{\"Remote Hostname\":\"\"}", false },
		{ "{\"Remote Port\":0}", false },
		{ "[]", false },
		{ "{", false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct docker_options o;
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(docker_options_parse(&o, NULL, rows[i].json, &e), rows[i].ok ? 0 : -1);
		CHECK(rows[i].ok || *e.msg);
		docker_options_free(&o);
	}
}

static void both_sources_meet(void)
{
	struct kv config = { 0 };
	struct docker_options o;
	struct err e = { 0 };

	kv_set(&config, "sock_path", "/a.sock");
	kv_set(&config, "Memory", "512m");
	kv_set(&config, "pull", "never");
	kv_set(&config, "agent_timeout", "5");
	CHECK_INT(docker_options_parse(&o, &config,
	                               "{\"Memory\":\"1.5g\",\"CPUs\":\"0.25\",\"pull\":\"always\","
	                               "\"Extra Hosts\":\"a:1.2.3.4\"}",
	                               &e),
	          0);
	CHECK_STR(o.sock, "/a.sock");
	CHECK_INT(o.memory_bytes, 3LL << 29);
	CHECK_INT(o.nano_cpus, 250000000);
	CHECK_INT(o.pull, PULL_NEVER);
	CHECK_INT(o.agent_ms, 5000);
	CHECK_INT(o.privileged, 0);
	CHECK_STR(o.extra_hosts, "a:1.2.3.4");
	docker_options_free(&o);
	kv_set(&config, "privilegde", "yes");
	CHECK_INT(docker_options_parse(&o, &config, NULL, &e), -1);
	CHECK(strstr(e.msg, "privilegde") != NULL);
	kv_free(&config);
}

static void the_manifest_is_json(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	docker_options_manifest(&b);
	doc = json_parse(buf_str(&b), 65536, &e);
	if (CHECK(doc != NULL)) {
		CHECK_INT((long long)json_len(json_root(doc)), 20);
		CHECK(json_str_is(json_get(json_get(json_root(doc), "Sock Path"), "defaultValue"),
		                  "/var/run/docker.sock"));
		CHECK(json_bool(
			json_get(json_get(json_root(doc), "Remote Password"), "inputMasked"),
			false));
		CHECK(json_str_is(json_get(json_get(json_root(doc), "Remote Port"), "type"),
		                  "int"));
	}
	json_doc_free(doc);
	buf_free(&b);
}

/* The third is what the second would be called by its hash, if that were all of the name. */
static void no_two_ids_share_an_image(void)
{
	static const char *const ids[] = {
		"abc",
		"Abc",
		"id-06d90109c8cce34ec0c776950465421e176f08b831a938b3c6e76cb7bee8790b",
		"aBc",
		"a-bc",
		"a.bc",
		"a_bc",
		"a..b",
		"-a"
	};
	char *names[TEST_N(ids)];

	for (size_t i = 0; i < TEST_N(ids); i++) {
		struct image_ref ref;
		struct err e = { 0 };

		TEST_ROW(i);
		names[i] = docker_image_tag("workspace", ids[i], "latest");
		if (CHECK_INT(image_ref_parse(names[i], &ref, &e), 0))
			image_ref_free(&ref);
		for (size_t k = 0; k < i; k++)
			CHECK(strcmp(names[i], names[k]) != 0);
	}
	CHECK_STR(names[0], "daytona-workspace-abc:latest");
	for (size_t i = 0; i < TEST_N(ids); i++)
		free(names[i]);
}

TEST_MAIN(TEST(no_two_ids_share_an_image), TEST(names_follow_the_vectors),
          TEST(environment_is_escaped_as_the_reference_does), TEST(registry_header_is_base64url),
          TEST(option_values_are_checked), TEST(both_sources_meet), TEST(the_manifest_is_json))
