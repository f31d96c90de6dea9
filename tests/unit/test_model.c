/* SPDX-License-Identifier: Apache-2.0 */
/* The recordings of a real server are read by every model; then what they do not show. */
#include "api/model.h"

#include "base/file.h"
#include "tests/test.h"

#include <stdlib.h>

#define LIMIT ((size_t)16 << 20)

static struct json_doc *parse(const char *text)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(str_of(text), LIMIT, &e);

	CHECK_STR(e.msg, "");
	return doc;
}

enum model { NO_MODEL, JOB, TARGET, WORKSPACE, RUNNER, TARGET_CONFIG, SERVER_CONFIG, GIT_PROVIDER };

/* By the request's line, and by what the answer itself must be. */
static enum model model_of(const char *line, struct json body)
{
	if (strstr(line, "/jobs ") || strstr(line, " /job?"))
		return JOB;
	if (strstr(line, " /server/config "))
		return SERVER_CONFIG;
	if (strstr(line, " /target-config"))
		return TARGET_CONFIG;
	if (strstr(line, " /gitprovider/"))
		return GIT_PROVIDER;
	if (strstr(line, " /target ") || strstr(line, " /target/"))
		return TARGET;
	if (strstr(line, " /workspace ") || strstr(line, " /workspace/"))
		return WORKSPACE;
	if (strstr(line, " /runner") && json_present(json_get(body, "metadata")))
		return RUNNER;
	return NO_MODEL;
}

static int read_model(enum model m, struct json v, struct err *e)
{
	union {
		struct job job;
		struct target target;
		struct workspace workspace;
		struct runner_info runner;
		struct target_config config;
		struct server_config server;
		struct git_provider git;
	} u;
	int rc = -1;

	memset(&u, 0, sizeof(u));
	if (m == JOB) {
		rc = job_parse(v, &u.job, e);
		CHECK(rc < 0 || (u.job.type && u.job.action && u.job.state));
		job_free(&u.job);
		job_free(&u.job);
	} else if (m == TARGET) {
		rc = target_parse(v, &u.target, e);
		CHECK(rc < 0 || *u.target.config.provider.name);
		target_free(&u.target);
		target_free(&u.target);
	} else if (m == WORKSPACE) {
		rc = workspace_parse(v, &u.workspace, e);
		CHECK(rc < 0 || (*u.workspace.repo.url && *u.workspace.target_id));
		workspace_free(&u.workspace);
		workspace_free(&u.workspace);
	} else if (m == RUNNER) {
		rc = runner_info_parse(v, &u.runner, e);
		CHECK(rc < 0 || (*u.runner.id && *u.runner.name));
		runner_info_free(&u.runner);
		runner_info_free(&u.runner);
	} else if (m == TARGET_CONFIG) {
		rc = target_config_parse(v, &u.config, e);
		CHECK(rc < 0 || (strlen(u.config.id) == 64 && *u.config.provider.runner_id));
		target_config_free(&u.config);
		target_config_free(&u.config);
	} else if (m == SERVER_CONFIG) {
		rc = server_config_parse(v, &u.server, e);
		CHECK(rc < 0 || u.server.api_port == 3986);
		server_config_free(&u.server);
		server_config_free(&u.server);
	} else {
		rc = git_provider_parse(v, &u.git, e);
		git_provider_free(&u.git);
		git_provider_free(&u.git);
	}
	return rc;
}

/* One exchange; returns how many models it gave. */
static int read_exchange(struct json exchange)
{
	char *line = json_dup_or_empty(json_get(json_get(exchange, "request"), "line"));
	char *status = json_dup_or_empty(json_get(json_get(exchange, "response"), "line"));
	char *body = json_dup_or_empty(json_get(json_get(exchange, "response"), "body"));
	struct json_doc *doc = NULL;
	struct json root;
	struct err e = { 0 };
	enum model m;
	int n = 0;

	if (strstr(status, " 200 ") && (*body == '{' || *body == '['))
		doc = json_parse(str_of(body), LIMIT, &e);
	root = json_root(doc);
	m = model_of(line, json_is_array(root) ? json_first(root) : root);
	if (doc && m && json_is_object(root)) {
		CHECK_INT(read_model(m, root, &e), 0);
		n = 1;
	}
	for (struct json v = json_first(root); m && json_is_array(root) && json_present(v);
	     v = json_next(v), n++)
		CHECK_INT(read_model(m, v, &e), 0);
	CHECK_STR(e.msg, "");
	json_doc_free(doc);
	free(line);
	free(status);
	free(body);
	return n;
}

static void recordings_are_read(void)
{
	static const struct {
		const char *path;
		int models;
	} rows[] = {
		{ "tests/recordings/daytona-0.53-session.jsonl", 21 },
		{ "tests/recordings/daytona-0.53-edges.jsonl", 7 },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf text = { 0 };
		struct err e = { 0 };
		struct str rest, line;
		int n = 0;

		TEST_ROW(i);
		if (!CHECK(file_read(rows[i].path, LIMIT, &text, &e) == 0))
			continue;
		rest = buf_str(&text);
		while (str_next(&rest, '\n', &line)) {
			struct json_doc *doc = line.n ? json_parse(line, LIMIT, &e) : NULL;

			n += doc ? read_exchange(json_root(doc)) : 0;
			json_doc_free(doc);
		}
		CHECK_INT(n, rows[i].models);
		buf_free(&text);
	}
}

static void job_fields(void)
{
	struct json_doc *doc = parse(
		"{\"id\":\"5d2c90ab17ef\",\"resourceId\":\"77aa10bc9d2e\",\"runnerId\":null,\"resourceType\":"
		"\"build\",\"state\":\"pending\",\"action\":\"force-delete\",\"metadata\":\"{\\\"a\\\":1}\",\"x\":1}");
	struct job j = { 0 }, again = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };

	CHECK_INT(job_parse(json_root(doc), &j, &e), 0);
	CHECK_STR(j.id, "5d2c90ab17ef");
	CHECK_STR(j.resource_id, "77aa10bc9d2e");
	CHECK(j.runner_id == NULL);
	CHECK_INT(j.type, RES_BUILD);
	CHECK_INT(j.action, ACT_FORCE_DELETE);
	CHECK_INT(j.state, JOB_PENDING);
	CHECK_STR(j.metadata, "{\"a\":1}");
	job_write(&j, &b);
	json_doc_free(doc);
	doc = parse(buf_cstr(&b));
	CHECK_INT(job_parse(json_root(doc), &again, &e), 0);
	CHECK_STR(again.id, j.id);
	CHECK_STR(again.metadata, j.metadata);
	CHECK(again.runner_id == NULL && again.type == j.type && again.action == j.action &&
	      again.state == j.state);
	job_free(&j);
	job_free(&again);
	buf_free(&b);
	json_doc_free(doc);
}

static void job_ids_are_echoed_or_refused(void)
{
	static const struct {
		const char *json, *id; /* NULL: refused */
	} rows[] = {
		{ "{\"id\":9007199254740993}", "9007199254740993" },
		{ "{\"id\":\"18446744073709551616\"}", "18446744073709551616" },
		{ "{\"id\":1.50}", "1.50" },
		{ "{\"Id\":\"a\"}", "a" },
		{ "{\"id\":\"a.b_c-D\"}", "a.b_c-D" },
		{ "{\"id\":\"\"}", NULL },
		{ "{\"id\":\"..\"}", NULL },
		{ "{\"id\":\"a/b\"}", NULL },
		{ "{\"id\":\"a\\u0000b\"}", NULL },
		{ "{\"id\":null}", NULL },
		{ "{\"id\":{}}", NULL },
		{ "{}", NULL },
		{ "[]", NULL },
		{ "null", NULL },
		{ "\"a\"", NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct json_doc *doc = parse(rows[i].json);
		struct job j = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(job_parse(json_root(doc), &j, &e), rows[i].id ? 0 : -1);
		CHECK_STR(j.id, rows[i].id);
		CHECK(rows[i].id || (e.kind == ERR_PARSE && strstr(e.msg, "job")));
		CHECK(rows[i].id == NULL || (j.type == RES_UNKNOWN && j.action == ACT_UNKNOWN &&
		                             j.type_text && j.resource_id));
		job_free(&j);
		json_doc_free(doc);
	}
}

static void names_go_both_ways(void)
{
	for (int i = RES_WORKSPACE; i <= RES_RUNNER; i++)
		CHECK_INT(resource_type_of(resource_type_name((enum resource_type)i)), i);
	for (int i = ACT_CREATE; i <= ACT_UPDATE_PROVIDER; i++)
		CHECK_INT(job_action_of(job_action_name((enum job_action)i)), i);
	for (int i = JOB_PENDING; i <= JOB_ERROR; i++)
		CHECK_INT(job_state_of(job_state_name((enum job_state)i)), i);
	CHECK_STR(job_action_name(ACT_UPDATE_PROVIDER), "update-provider");
	CHECK_STR(job_state_name(JOB_ERROR), "error");
	CHECK_INT(job_action_of("explode"), ACT_UNKNOWN);
	CHECK_INT(resource_type_of(""), RES_UNKNOWN);
}

static void workspace_fields(void)
{
	struct json_doc *doc = parse(
		"{\"id\":\"w1\",\"name\":\"app\",\"image\":\"img:1\",\"user\":\"u\",\"buildConfig\":{\"devcontainer\":{\"filePath\":\"d.json\"},"
		"\"cachedBuild\":{\"user\":\"node\",\"image\":\"r/w:2\"}},\"repository\":{\"id\":\"app\",\"url\":\"https://g/a\",\"name\":\"app\","
		"\"branch\":\"main\",\"sha\":\"0123\",\"owner\":\"o\",\"source\":\"g\",\"prNumber\":7,\"path\":\"p\",\"cloneTarget\":\"commit\"},"
		"\"envVars\":{\"A\":\"1\",\"B\":2},\"labels\":null,\"targetId\":\"t1\",\"target\":{\"id\":\"t1\",\"targetConfig\":{\"options\":"
		"\"{}\",\"providerInfo\":{\"name\":\"p\",\"agentlessTarget\":true}},\"envVars\":{\"T\":\"x\"}},\"apiKey\":\"k\","
		"\"gitProviderConfigId\":\"g1\",\"state\":{\"name\":\"error\",\"error\":\"why\"}}");
	struct workspace w = { 0 };
	struct err e = { 0 };

	if (CHECK(workspace_parse(json_root(doc), &w, &e) == 0)) {
		CHECK(w.has_build_config && w.repo.clone_commit &&
		      w.target.config.provider.agentless);
		CHECK_STR(w.devcontainer_path, "d.json");
		CHECK_STR(w.cached_image, "r/w:2");
		CHECK_STR(w.cached_user, "node");
		CHECK_INT(w.repo.pr_number, 7);
		CHECK_STR(w.repo.path, "p");
		CHECK_STR(kv_get(&w.env, "A"), "1");
		CHECK(kv_get(&w.env, "B") == NULL && w.labels.n == 0);
		CHECK_STR(kv_get(&w.target.env, "T"), "x");
		CHECK_STR(w.target.config.options, "{}");
		CHECK_STR(w.api_key, "k");
		CHECK_STR(w.git_provider_config_id, "g1");
		CHECK(w.provider_metadata == NULL);
		CHECK_STR(w.state, "error");
		CHECK_STR(w.error, "why");
	}
	workspace_free(&w);
	json_doc_free(doc);
}

static void missing_parts_are_empty_and_never_null(void)
{
	static const char *const rows[] = {
		"{\"id\":\"w1\"}",
		"{\"id\":\"w1\",\"buildConfig\":null,\"repository\":null,\"envVars\":null,\"target\":null,\"targetId\":null,\"state\":null}",
		"{\"id\":\"w1\",\"buildConfig\":[],\"repository\":\"x\",\"envVars\":[1],\"target\":{\"id\":\"../x\"},\"state\":[]}",
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct json_doc *doc = parse(rows[i]);
		struct workspace w = { 0 };
		struct target t = { 0 };
		struct build b = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		if (CHECK(workspace_parse(json_root(doc), &w, &e) == 0)) {
			const char *const texts[] = { w.name,
				                      w.image,
				                      w.user,
				                      w.repo.url,
				                      w.repo.branch,
				                      w.repo.sha,
				                      w.target_id,
				                      w.target.id,
				                      w.target.name,
				                      w.target.state,
				                      w.target.config.options,
				                      w.target.config.provider.name,
				                      w.target.config.provider.runner_id,
				                      w.api_key,
				                      w.state };

			for (size_t k = 0; k < TEST_N(texts); k++)
				CHECK_STR(texts[k], "");
			CHECK(!w.has_build_config && w.env.n == 0 && w.error == NULL &&
			      w.repo.path == NULL);
		}
		if (CHECK(target_parse(json_root(doc), &t, &e) == 0)) {
			CHECK_STR(t.config.name, "");
			CHECK_STR(t.config.provider.label, "");
			CHECK_STR(t.state, "");
		}
		if (CHECK(build_parse(json_root(doc), &b, &e) == 0)) {
			CHECK_STR(b.container_image, "");
			CHECK(b.image == NULL && b.prebuild_id == NULL && b.env_is_null == (i < 2));
		}
		workspace_free(&w);
		target_free(&t);
		build_free(&b);
		json_doc_free(doc);
	}
}

static void unusable_ids_fail_the_resource(void)
{
	static const char *const rows[] = {
		"{\"id\":\"../w\"}", "{\"id\":\"w\\u0000\"}", "{\"id\":\"\"}", "{}", "[]", "null"
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct json_doc *doc = parse(rows[i]);
		struct workspace w = { 0 };
		struct target t = { 0 };
		struct build b = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK(workspace_parse(json_root(doc), &w, &e) < 0 && e.kind == ERR_PARSE &&
		      w.id == NULL);
		CHECK(target_parse(json_root(doc), &t, &e) < 0 && e.kind == ERR_PARSE &&
		      t.id == NULL);
		CHECK(build_parse(json_root(doc), &b, &e) < 0 && e.kind == ERR_PARSE &&
		      b.id == NULL);
		json_doc_free(doc);
	}
	{
		struct json_doc *doc = parse("{\"id\":\"w\",\"targetId\":\"a/../b\"}");
		struct workspace w = { 0 };
		struct err e = { 0 };

		CHECK(workspace_parse(json_root(doc), &w, &e) < 0 && w.id == NULL);
		json_doc_free(doc);
	}
}

static void runner_before_and_after_its_first_heartbeat(void)
{
	struct json_doc *doc = parse(
		"[{\"id\":\"r\",\"name\":\"n\",\"metadata\":{\"uptime\":0,\"providers\":null},\"state\":{\"name\":"
		"\"unresponsive\",\"error\":\"Runner is unresponsive\"},\"apiKey\":\"k\"},"
		"{\"id\":\"r\",\"name\":\"n\",\"metadata\":{\"updatedAt\":\"2025-02-10T09:00:02.318Z\",\"uptime\":42,"
		"\"runningJobs\":3,\"providers\":[{\"name\":\"a\"},{\"name\":\"b\"}]},\"state\":{\"name\":\"started\"}},"
		"{\"id\":\"r\",\"name\":\"n\",\"metadata\":null,\"state\":null}]");
	struct json first = json_first(json_root(doc)), second = json_next(first);
	struct runner_info r = { 0 };
	struct err e = { 0 };

	CHECK_INT(runner_info_parse(first, &r, &e), 0);
	CHECK(r.uptime == 0 && r.n_providers == 0 && r.heartbeat_wall_ms == 0);
	CHECK_STR(r.api_key, "k");
	CHECK_STR(r.state, "unresponsive");
	runner_info_free(&r);
	CHECK_INT(runner_info_parse(second, &r, &e), 0);
	CHECK(r.uptime == 42 && r.running_jobs == 3 && r.n_providers == 2 && r.api_key == NULL);
	CHECK_INT(r.heartbeat_wall_ms, 1739178002318);
	CHECK_STR(r.providers[1].name, "b");
	runner_info_free(&r);
	CHECK_INT(runner_info_parse(json_next(second), &r, &e), 0);
	CHECK_STR(r.state, "");
	runner_info_free(&r);
	json_doc_free(doc);
}

static void server_config_without_frps(void)
{
	struct json_doc *doc = parse(
		"{\"id\":\"s\",\"apiPort\":3986,\"headscalePort\":99999999999}");
	struct server_config c = { 0 };
	struct err e = { 0 };

	CHECK_INT(server_config_parse(json_root(doc), &c, &e), 0);
	CHECK(c.frps_domain == NULL && c.frps_protocol == NULL && c.api_port == 3986 &&
	      c.headscale_port == 0);
	CHECK_STR(c.default_image, "");
	server_config_free(&c);
	json_doc_free(doc);
}

static void registries_leave_the_environment(void)
{
	static const struct {
		const char *image, *user; /* NULL: no entry */
	} rows[] = {
		{ "reg.acme.test/app", "bot" },
		{ "reg.acme.test/a/b:1", "bot" },
		{ "reg.acme.test:5000/app", "five" },
		{ "localhost/app", "here" },
		{ "alpine", "hub" },
		{ "library/alpine:3", "hub" },
		{ "docker.io/a/b", "hub" },
		{ "a/b/c", "hub" },
		{ "other.test/app", NULL },
		{ "reg.acme.test.evil/x", NULL },
		{ "reg.acme.test@sha256:00", "hub" },
		{ "", "hub" },
	};
	struct registries r = { 0 };
	struct kv env = { 0 };

	kv_set(&env, "ACME_CONTAINER_REGISTRY_SERVER", "https://reg.acme.test/v2/");
	kv_set(&env, "ACME_CONTAINER_REGISTRY_USERNAME", "bot");
	kv_set(&env, "ACME_CONTAINER_REGISTRY_PASSWORD", "pw");
	kv_set(&env, "KEEP", "1");
	kv_set(&env, "DUP_CONTAINER_REGISTRY_SERVER", "reg.acme.test");
	kv_set(&env, "DUP_CONTAINER_REGISTRY_USERNAME", "second");
	kv_set(&env, "P_CONTAINER_REGISTRY_SERVER", "reg.acme.test:5000");
	kv_set(&env, "P_CONTAINER_REGISTRY_USERNAME", "five");
	kv_set(&env, "_CONTAINER_REGISTRY_SERVER", "localhost");
	kv_set(&env, "_CONTAINER_REGISTRY_USERNAME", "here");
	kv_set(&env, "HUB_CONTAINER_REGISTRY_SERVER", "https://index.docker.io/v1/");
	kv_set(&env, "HUB_CONTAINER_REGISTRY_USERNAME", "hub");
	kv_set(&env, "LOST_CONTAINER_REGISTRY_PASSWORD", "pw");
	kv_set(&env, "E_CONTAINER_REGISTRY_SERVER", "");
	registries_split(&env, &r);
	CHECK_INT((long long)env.n, 1);
	CHECK_STR(kv_get(&env, "KEEP"), "1");
	CHECK_INT((long long)r.n, 4);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		const struct registry *found = registries_for_image(&r, rows[i].image);

		TEST_ROW(i);
		CHECK_STR(found ? found->username : NULL, rows[i].user);
	}
	CHECK_STR(registries_for_image(&r, "reg.acme.test/app")->password, "pw");
	CHECK_STR(registries_for_image(&r, "localhost/app")->password, "");
	registries_free(&r);
	registries_free(&r);
	CHECK(registries_for_image(&r, "alpine") == NULL);
	kv_free(&env);
}

static void only_allowed_names_are_replaced(void)
{
	struct kv server = { 0 }, own = { 0 }, out = { 0 };

	setenv("DR_TEST_ALLOWED", "value", 1);
	setenv("DR_TEST_SECRET", "secret", 1);
	kv_set(&server, "A", "server");
	kv_set(&server, "B", "$DR_TEST_ALLOWED");
	kv_set(&own, "A", "own");
	kv_set(&own, "C", "$DR_TEST_SECRET");
	kv_set(&own, "D", "x$DR_TEST_ALLOWED");
	kv_set(&own, "E", "$");
	kv_set(&own, "F", "$DR_TEST_UNSET");
	kv_set(&own, "G", "${DR_TEST_ALLOWED}");
	env_merge(&out, &server, &own, "X, DR_TEST_ALLOWED ,DR_TEST_UNSET,");
	CHECK_STR(kv_get(&out, "A"), "own");
	CHECK_STR(kv_get(&out, "B"), "value");
	CHECK_STR(kv_get(&out, "C"), "$DR_TEST_SECRET");
	CHECK_STR(kv_get(&out, "D"), "x$DR_TEST_ALLOWED");
	CHECK_STR(kv_get(&out, "E"), "$");
	CHECK_STR(kv_get(&out, "F"), "$DR_TEST_UNSET");
	CHECK_STR(kv_get(&out, "G"), "${DR_TEST_ALLOWED}");
	kv_free(&out);
	env_merge(&out, &server, &own, NULL);
	CHECK_STR(kv_get(&out, "B"), "$DR_TEST_ALLOWED");
	kv_free(&out);
	kv_free(&own);
	kv_free(&server);
}

TEST_MAIN(TEST(recordings_are_read), TEST(job_fields), TEST(job_ids_are_echoed_or_refused),
          TEST(names_go_both_ways), TEST(workspace_fields),
          TEST(missing_parts_are_empty_and_never_null), TEST(unusable_ids_fail_the_resource),
          TEST(runner_before_and_after_its_first_heartbeat), TEST(server_config_without_frps),
          TEST(registries_leave_the_environment), TEST(only_allowed_names_are_replaced))
