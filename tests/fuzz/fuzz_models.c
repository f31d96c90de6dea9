/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's answers: bytes are read as a job list and as each model. What was read must be
 * releasable twice, ids must be usable as path components, and a job must survive being written.
 */
#include "api/client.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void ignore_bad(void *arg, const char *why)
{
	(void)arg;
	REQUIRE(*why);
}

static void check_job(const struct job *j)
{
	struct job again = { 0 };
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	REQUIRE(str_is_id(str_of(j->id)));
	job_write(j, &b);
	doc = json_parse(buf_str(&b), 1 << 24, &e);
	REQUIRE(doc && job_parse(json_root(doc), &again, &e) == 0);
	REQUIRE(strcmp(j->id, again.id) == 0 && strcmp(j->type_text, again.type_text) == 0);
	REQUIRE(j->type == again.type && j->action == again.action && j->state == again.state);
	job_free(&again);
	json_doc_free(doc);
	buf_free(&b);
}

static void read_jobs(struct str in)
{
	struct job *list = NULL;
	struct err e = { 0 };
	size_t n = 0;

	if (api_jobs_parse(in, &list, &n, ignore_bad, NULL, &e) < 0)
		REQUIRE(n == 0 && *e.msg);
	for (size_t i = 0; i < n; i++) {
		check_job(&list[i]);
		job_free(&list[i]);
	}
	free(list);
}

static void read_environment(struct kv *env, const char *image)
{
	struct registries r = { 0 };

	registries_split(env, &r);
	for (size_t i = 0; i < env->n; i++)
		REQUIRE(!str_ends(str_of(env->pairs[i].key), "_CONTAINER_REGISTRY_PASSWORD"));
	registries_for_image(&r, image);
	registries_free(&r);
}

static void read_models(struct json v)
{
	struct workspace w = { 0 };
	struct target t = { 0 };
	struct build b = { 0 };
	struct runner_info r = { 0 };
	struct git_provider git = { 0 };
	struct server_config s = { 0 };
	struct target_config c = { 0 };
	struct err e = { 0 };

	if (workspace_parse(v, &w, &e) == 0) {
		REQUIRE(str_is_id(str_of(w.id)) && w.target.config.provider.name && w.api_key &&
		        w.state);
		REQUIRE(!*w.target_id || str_is_id(str_of(w.target_id)));
		read_environment(&w.env, w.image);
	}
	if (target_parse(v, &t, &e) == 0)
		REQUIRE(str_is_id(str_of(t.id)) && t.config.options && t.config.provider.label);
	if (build_parse(v, &b, &e) == 0)
		REQUIRE(str_is_id(str_of(b.id)) && b.container_image);
	if (runner_info_parse(v, &r, &e) == 0)
		REQUIRE(r.id && r.state);
	git_provider_parse(v, &git, &e);
	server_config_parse(v, &s, &e);
	target_config_parse(v, &c, &e);
	for (int i = 0; i < 2; i++) {
		workspace_free(&w);
		target_free(&t);
		build_free(&b);
		runner_info_free(&r);
		git_provider_free(&git);
		server_config_free(&s);
		target_config_free(&c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = { (const char *)data, size };
	struct err e = { 0 };
	struct json_doc *doc = json_parse(in, 1 << 20, &e);

	read_jobs(in);
	if (doc)
		read_models(json_root(doc));
	json_doc_free(doc);
	return 0;
}
