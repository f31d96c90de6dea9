/* SPDX-License-Identifier: Apache-2.0 */
/* What every container of a job has in common for the policy (engine/policy.h), and what goes with it: its volumes. */
#include "base/mem.h"
#include "net/tls.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

static void say(void *arg, const char *text)
{
	const struct docker *docker = arg;

	provider_logf(docker->env, "%s", text);
}

struct policy docker_policy(struct docker *docker, enum policy_use use, const char *id,
                            const struct kv *identity)
{
	return (struct policy){ .use = use,
		                .options = &docker->opt,
		                .dirs = &docker->engine.dirs,
		                .id = id,
		                .identity = identity,
		                .from = { .say = say, .arg = docker } };
}

struct admitted *docker_admit_helper(struct docker *docker, const char *id, struct spec *s)
{
	struct kv identity = { 0 };
	const struct policy policy = docker_policy(docker, POLICY_HELPER, id, &identity);
	struct admitted *a;

	kv_set(&identity, LABEL_HELPER, id);
	kv_set(&identity, LABEL_RUNNER, docker->env->runner_id);
	a = policy_admit(&policy, s);
	kv_free(&identity);
	return a;
}

int docker_remove_volume(struct docker *docker, const char *name, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/volumes/");
	buf_add_urlenc(&path, str_of(name));
	buf_adds(&path, "?force=1");
	rc = engine_call(&docker->engine, "DELETE", buf_cstr(&path), (struct str){ 0 }, NULL, d, e);
	buf_free(&path);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = 0;
	}
	return rc;
}

int docker_remove_volumes(struct docker *docker, const char *id, struct deadline d, struct err *e)
{
	struct buf prefix = { 0 }, path = { 0 };
	struct json_doc *doc = NULL;
	const char *filter;
	int rc;

	policy_volume_prefix(id, &prefix);
	filter = buf_cstr(&prefix);
	buf_adds(&path, "/volumes?");
	engine_add_filter(&path, "name", &filter, 1);
	rc = engine_call(&docker->engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) { /* an engine without volumes */
		err_clear(e);
		rc = 0;
	}
	/* The filter is for a part of the name. */
	for (struct json member = json_first(json_get(json_root(doc), "Volumes"));
	     rc == 0 && json_present(member); member = json_next(member)) {
		char *name = json_dup_or_empty(json_get(member, "Name"));

		if (str_starts(str_of(name), filter))
			rc = docker_remove_volume(docker, name, d, e);
		free(name);
	}
	json_doc_free(doc);
	buf_free(&path);
	buf_free(&prefix);
	return rc;
}

/* What image names take as it is, whatever stands around it. */
static bool is_plain(const char *id)
{
	return id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789")] == '\0';
}

char *docker_image_tag(const char *kind, const char *id, const char *tag)
{
	unsigned char sum[32];
	struct buf b = { 0 };

	if (is_plain(id)) {
		buf_addf(&b, "daytona-%s-%s", kind, id);
	} else { /* with a dash that no plain id has: no two ids come to one name */
		crypto_sha256(id, strlen(id), sum);
		buf_addf(&b, "daytona-%s-id-", kind);
		buf_add_hex(&b, sum, sizeof(sum));
	}
	buf_addf(&b, ":%s", tag);
	return buf_take(&b);
}
