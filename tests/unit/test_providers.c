/* SPDX-License-Identifier: Apache-2.0 */
/* The table of providers, and the interface proved by a provider that has nothing and one that
 * counts. */
#include "base/mem.h"
#include "providers/native/options.h"
#include "providers/provider.h"
#include "tests/test.h"

static const struct provider null_provider = { .name = "null-provider" };

struct counter {
	unsigned opened, closed, created, started, stopped, deleted, forced;
	int fail_stop;
};
static struct counter count;

static int c_open(void **self, const struct provider_env *env, struct err *e)
{
	(void)env;
	(void)e;
	count.opened++;
	*self = &count;
	return 0;
}

static int c_open_fails(void **self, const struct provider_env *env, struct err *e)
{
	(void)self;
	(void)env;
	return err_set(e, ERR_OTHER, 0, "no luck");
}

static void c_close(void *self)
{
	((struct counter *)self)->closed++;
}

static int c_step(void *self, const struct workspace_job *w, struct deadline d, struct err *e)
{
	(void)w;
	(void)d;
	(void)e;
	((struct counter *)self)->started++;
	return 0;
}

static int c_stop(void *self, const struct workspace_job *w, struct deadline d, struct err *e)
{
	(void)w;
	(void)d;
	((struct counter *)self)->stopped++;
	return count.fail_stop ? err_set(e, ERR_OTHER, 0, "stuck") : 0;
}

static int c_target_delete(void *self, const struct target *t, bool force, struct deadline d,
                           struct err *e)
{
	(void)t;
	(void)d;
	(void)e;
	*(force ? &((struct counter *)self)->forced : &((struct counter *)self)->deleted) += 1;
	return 0;
}

static const struct provider counting = {
	.name = "counting",
	.open = c_open,
	.close = c_close,
	.target_delete = c_target_delete,
	.workspace_start = c_step,
	.workspace_stop = c_stop,
};

static const enum job_action all[] = {
	ACT_CREATE, ACT_START,        ACT_STOP, ACT_RESTART,
	ACT_DELETE, ACT_FORCE_DELETE, ACT_RUN,  ACT_UNKNOWN,
};

static void a_provider_without_entries_refuses_everything(void)
{
	struct provider_env env = { 0 };
	struct provider_handle h;
	struct target t = { 0 };
	struct workspace_job w = { 0 };
	struct build_job b = { 0 };
	struct buf info = { 0 };
	struct err e = { 0 };

	CHECK_INT(provider_open(&h, &null_provider, &env, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		test_row = (long)i;
		CHECK_INT(provider_target(&h, all[i], &t, DEADLINE_NEVER, &e), -1);
		CHECK_INT(e.kind, ERR_UNSUPPORTED);
		CHECK_INT(provider_workspace(&h, all[i], &w, DEADLINE_NEVER, &e), -1);
		CHECK_INT(e.kind, ERR_UNSUPPORTED);
		CHECK_INT(provider_build(&h, all[i], &b, DEADLINE_NEVER, &e), -1);
		CHECK_INT(e.kind, ERR_UNSUPPORTED);
	}
	test_row = -1;
	provider_workspace(&h, ACT_FORCE_DELETE, &w, DEADLINE_NEVER, &e);
	CHECK_STR(e.msg, "null-provider cannot delete a workspace");
	provider_build(&h, ACT_RUN, &b, DEADLINE_NEVER, &e);
	CHECK_STR(e.msg, "null-provider cannot run a build");
	CHECK_INT(provider_target_info(&h, &t, &info, DEADLINE_NEVER, &e), 0);
	CHECK_INT(provider_workspace_info(&h, &w, &info, DEADLINE_NEVER, &e), 0);
	CHECK_INT((long long)info.n, 0);
	provider_close(&h);
	provider_close(&h);
}

static void entries_are_called(void)
{
	struct provider_env env = { 0 };
	struct provider_handle h;
	struct target t = { 0 };
	struct workspace_job w = { 0 };
	struct err e = { 0 };

	count = (struct counter){ 0 };
	CHECK_INT(provider_open(&h, &counting, &env, &e), 0);
	CHECK_INT(provider_workspace(&h, ACT_RESTART, &w, DEADLINE_NEVER, &e), 0);
	CHECK_INT(count.stopped, 1);
	CHECK_INT(count.started, 1);
	count.fail_stop = 1;
	CHECK_INT(provider_workspace(&h, ACT_RESTART, &w, DEADLINE_NEVER, &e), -1);
	CHECK_STR(e.msg, "stuck");
	CHECK_INT(count.started, 1);
	CHECK_INT(provider_target(&h, ACT_DELETE, &t, DEADLINE_NEVER, &e), 0);
	CHECK_INT(provider_target(&h, ACT_FORCE_DELETE, &t, DEADLINE_NEVER, &e), 0);
	CHECK_INT(count.deleted, 1);
	CHECK_INT(count.forced, 1);
	CHECK_INT(provider_target(&h, ACT_RESTART, &t, DEADLINE_NEVER, &e), -1);
	provider_close(&h);
	provider_close(&h);
	CHECK_INT(count.opened, 1);
	CHECK_INT(count.closed, 1);
}

static void an_open_that_fails_leaves_nothing_to_close(void)
{
	static const struct provider broken = { .name = "b",
		                                .open = c_open_fails,
		                                .close = c_close };
	struct provider_env env = { 0 };
	struct provider_handle h;
	struct err e = { 0 };

	count = (struct counter){ 0 };
	CHECK_INT(provider_open(&h, &broken, &env, &e), -1);
	CHECK_STR(e.msg, "no luck");
	provider_close(&h);
	CHECK_INT(count.closed, 0);
}

static void the_table(void)
{
	struct buf b = { 0 };

	CHECK(provider_find("docker-provider") != NULL);
	CHECK(provider_find("native-provider") != NULL);
	CHECK(provider_find("native") == NULL);
	CHECK(provider_find("") == NULL);
	CHECK(provider_find(NULL) == NULL);
	provider_names(&b, "");
	CHECK_STR(buf_cstr(&b), "docker-provider, native-provider, exec-provider");
	buf_reset(&b);
	provider_names(&b, "native");
	CHECK_STR(buf_cstr(&b),
	          "docker-provider, native-provider, exec-provider; did you mean native-provider?");
	buf_free(&b);
}

static void provider_info_has_what_the_server_demands(void)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;
	struct json root, manifest;

	provider_info_json(&null_provider, "v1", "id", "na\"me", &b);
	CHECK_STR(buf_cstr(&b),
	          "{\"agentlessTarget\":false,\"name\":\"null-provider\",\"runnerId\":\"id\","
	          "\"runnerName\":\"na\\\"me\",\"targetConfigManifest\":{},\"version\":\"v1\"}");
	for (size_t i = 0; providers[i]; i++) {
		test_row = (long)i;
		buf_reset(&b);
		provider_info_json(providers[i], "v1", "id", "n", &b);
		doc = json_parse(buf_str(&b), 1 << 20, &e);
		root = json_root(doc);
		CHECK(json_str_is(json_get(root, "name"), providers[i]->name));
		CHECK(json_str_is(json_get(root, "version"), "v1"));
		CHECK(json_is_bool(json_get(root, "agentlessTarget")));
		manifest = json_get(root, "targetConfigManifest");
		CHECK(json_is_object(manifest));
		for (struct json member = json_first(manifest); json_present(member);
		     member = json_next(member)) {
			CHECK(json_is_string(json_get(member, "type")));
			/* What is empty is left out (provider_manifest_text). */
			CHECK(!json_str_is(json_get(member, "disabledPredicate"), ""));
			CHECK(!json_str_is(json_get(member, "defaultValue"), ""));
			CHECK(!json_str_is(json_get(member, "description"), ""));
			if (json_str_is(json_get(member, "type"), "option"))
				CHECK(json_len(json_get(member, "options")) > 0);
		}
		json_doc_free(doc);
	}
	buf_free(&b);
}

static void take_log(void *arg, struct str s)
{
	buf_add_str(arg, s);
}

static void logf_adds_a_newline_and_needs_no_log(void)
{
	struct buf b = { 0 };
	struct provider_env env = { 0 };

	provider_logf(&env, "%s", "nowhere");
	env.log = take_log;
	env.log_arg = &b;
	provider_logf(&env, "%s %d", "one", 1);
	CHECK_STR(buf_cstr(&b), "one 1\n");
	buf_free(&b);
}

static void native_options(void)
{
	static const struct {
		const char *config, *key, *value;
		bool ok, agent, best_effort, allow_file;
		int64_t grace_ms;
		const char *command;
	} t[] = {
		{ NULL, NULL, NULL, true, true, true, true, 10000, "" },
		{ "", NULL, NULL, true, true, true, true, 10000, "" },
		{ "null", NULL, NULL, true, true, true, true, 10000, "" },
		{ "{\n\t\"Agent\": \"builtin\"\n}", NULL, NULL, true, true, true, true, 10000, "" },
		{ "{\"agent\":\"none\",\"grace seconds\":3}", NULL, NULL, true, false, true, true,
		  3000, "" },
		{ "{\"Command\":\"a b\",\"Isolation\":\"none\"}", "command", "c", true, true, false,
		  true, 10000, "a b" },
		{ "{\"Command\":\"\"}", "command", "c", true, true, true, true, 10000, "c" },
		{ "{}", "agent", "none", true, false, true, true, 10000, "" },
		{ "{\"Agent\":\"auto\"}", "agent", "none", true, true, true, true, 10000, "" },
		{ "{}", "allow_file", "no", true, true, true, false, 10000, "" },
		{ "{\"allow_file\":\"no\"}", NULL, NULL, true, true, true, true, 10000, "" },
		{ "{}", "allow_file", "maybe", false, 0, 0, 0, 0, NULL },
		{ "{}", "isolatoin", "strict", false, 0, 0, 0, 0, NULL },
		{ "{}", "isolation", "strict", true, true, true, true, 10000, "" },
		{ "{\"Isolation\":\"lax\"}", NULL, NULL, false, 0, 0, 0, 0, NULL },
		{ "{\"Isolation\":\"none\"}", "image", "debian", false, 0, 0, 0, 0, NULL },
		{ "{\"Image\":\"a\",\"Root\":\"/\"}", NULL, NULL, false, 0, 0, 0, 0, NULL },
		{ "{\"Network\":\"bridge\"}", NULL, NULL, false, 0, 0, 0, 0, NULL },
		{ "{\"Grace Seconds\":3601}", NULL, NULL, false, 0, 0, 0, 0, NULL },
		{ "{\"Grace Seconds\":[]}", NULL, NULL, false, 0, 0, 0, 0, NULL },
		{ "{", NULL, NULL, false, 0, 0, 0, 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct native_options o;
		struct kv section = { 0 };
		struct err e = { 0 };

		test_row = (long)i;
		if (t[i].key)
			kv_set(&section, t[i].key, t[i].value);
		if (!CHECK(native_options_parse(&o, t[i].config, &section, &e) ==
		           (t[i].ok ? 0 : -1)))
			fprintf(stderr, "  %s\n", e.msg);
		if (t[i].ok) {
			CHECK_INT(o.agent, t[i].agent);
			CHECK_INT(o.best_effort, t[i].best_effort);
			CHECK_INT(o.allow_file, t[i].allow_file);
			CHECK_INT(o.grace_ms, t[i].grace_ms);
			CHECK_STR(o.command, t[i].command);
		} else {
			CHECK(e.msg[0] && !o.command);
		}
		native_options_free(&o);
		kv_free(&section);
	}
}

static void what_native_workspaces_may_be_made_of(void)
{
	static const struct {
		const char *config, *roots;
		bool ok, boxed;
	} t[] = {
		{ "{}", NULL, true, false },
		{ "{\"Isolation\":\"best-effort\"}", NULL, true, false }, /* as it always was */
		{ "{\"Isolation\":\"strict\"}", NULL, true, true },
		{ "{\"Image\":\"debian:12\"}", NULL, true, true },
		{ "{\"Root\":\"/\"}", NULL, true, true },
		{ "{\"Image\":\"workspace\"}", NULL, true, false },
		{ "{\"Image\":\"workspace\",\"Isolation\":\"none\"}", NULL, true, false },
		{ "{\"Image\":\"workspace\",\"Root\":\"/\"}", NULL, true, true },
		{ "{\"Root\":\"/srv/tree\"}", NULL, false, false },
		{ "{\"Root\":\"/srv/tree\"}", "/srv", true, true },
		{ "{\"Root\":\"/srv/tree\"}", "/opt: /srv/ ", true, true },
		{ "{\"Root\":\"/srv\"}", "/srv/", true, true },
		{ "{\"Root\":\"/srv2\"}", "/srv", false, false },
		{ "{\"Root\":\"/srv/../etc\"}", "/srv", false, false },
		{ "{\"Root\":\"srv\"}", "srv:", false, false },
		{ "{\"Root\":\"/etc\"}", "::", false, false },
		{ "{\"Root\":\"/etc\"}", "/", false, false }, /* all of it is never meant */
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct native_options o;
		struct kv section = { 0 };
		struct err e = { 0 };

		test_row = (long)i;
		if (t[i].roots)
			kv_set(&section, "roots", t[i].roots);
		CHECK_INT(native_options_parse(&o, t[i].config, &section, &e), t[i].ok ? 0 : -1);
		CHECK_INT(native_options_boxed(&o), t[i].boxed);
		CHECK(t[i].ok || e.kind == ERR_CONFIG);
		native_options_free(&o);
		kv_free(&section);
	}
}

TEST_MAIN(TEST(a_provider_without_entries_refuses_everything), TEST(entries_are_called),
          TEST(an_open_that_fails_leaves_nothing_to_close), TEST(the_table),
          TEST(provider_info_has_what_the_server_demands),
          TEST(logf_adds_a_newline_and_needs_no_log), TEST(native_options),
          TEST(what_native_workspaces_may_be_made_of))
