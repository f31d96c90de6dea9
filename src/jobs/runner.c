/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Provider jobs (protocol 8.6, design 5): a name that is compiled in is enabled, disabled or
 * registered again; nothing is downloaded, and workspace data is never touched. The version that
 * a job asks for is reported from then on, since clients wait until they see it.
 */
#include "jobs/ctx.h"
#include "jobs/provstate.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define METADATA_MAX 65536

/* Name and version out of the metadata: a JSON object, or the bare name of an uninstall. "latest" and "" are no
 * version: what is compiled in is the latest there is. */
static int read_metadata(const struct job *j, char **name, char **version, struct err *e)
{
	struct str text = str_trim(str_of(j->metadata));
	struct buf twin = { 0 };
	struct json_doc *doc;
	struct json root;

	if (!text.n)
		return err_set(e, ERR_PARSE, 0, "metadata is required");
	if (text.p[0] != '{' && text.p[0] != '"') {
		*name = mem_dupn(text.p, text.n);
		return 0;
	}
	doc = json_parse(text, METADATA_MAX, e);
	if (!doc)
		return err_wrap(e, "job metadata");
	root = json_root(doc);
	if (json_twin(root, true, &twin)) {
		err_set(e, ERR_PARSE, 0, "job metadata has two members \"%s\"", buf_cstr(&twin));
		buf_free(&twin);
		json_doc_free(doc);
		return -1;
	}
	*name = json_dup(json_is_string(root) ? root : json_get(root, "name"));
	*version = json_dup(json_get(root, "version"));
	json_doc_free(doc);
	if (*version && (!**version || strcmp(*version, "latest") == 0)) {
		free(*version);
		*version = NULL;
	}
	return *name ? 0 : err_set(e, ERR_PARSE, 0, "job metadata has no provider name");
}

static int enable(struct ctx *c, const struct provider *p, const char *version, struct err *e)
{
	const struct jobs_env *env = c->env;
	struct provider_env penv = {
		.state_dir = env->state_dir,
		.options = env->provider_options(env->arg, p->name),
		.self_exe = env->self_exe,
		.stop = env->stop,
	};
	struct buf report = { 0 };
	struct err unmet = { 0 };
	int rc;

	rc = provstate_set(env->state_dir, p->name, true, version, e);
	if (rc == 0 && p->check && p->check(&penv, &report, ctx_call(c), &unmet) < 0)
		log_warn("provider %s is enabled, but cannot be used yet: %s", p->name, unmet.msg);
	if (rc == 0)
		rc = job_register_preset(env, p, version ? version : jobs_provider_version(), e);
	buf_free(&report);
	return rc;
}

int job_runner(struct ctx *c, struct err *e)
{
	char *name = NULL, *version = NULL;
	const struct provider *p;
	struct buf have = { 0 };
	int rc = read_metadata(c->job, &name, &version, e);

	p = rc == 0 ? provider_find(name) : NULL;
	if (rc == 0 && !p) {
		provider_names(&have, name);
		rc = err_set(
			e, ERR_NOT_FOUND, 0,
			"provider not found: \"%s\" is not part of this runner, which installs none; it has %s",
			name, buf_cstr(&have));
	} else if (p && c->job->action == ACT_UNINSTALL_PROVIDER) {
		rc = provstate_set(c->env->state_dir, p->name, false, NULL, e);
	} else if (p) {
		rc = enable(c, p, version, e);
	}
	buf_free(&have);
	free(name);
	free(version);
	return rc;
}

bool job_runner_finished(struct ctx *c)
{
	bool off = c->job->action == ACT_UNINSTALL_PROVIDER, done = false;
	char *name = NULL, *version = NULL;
	const struct provstate_entry *entry;
	struct provstate st = { 0 };
	struct err e = { 0 };

	if (read_metadata(c->job, &name, &version, &e) == 0 && provider_find(name) &&
	    provstate_load(&st, c->env->state_dir, &e) == 0) {
		entry = provstate_find(&st, name);
		done = entry && entry->enabled == !off;
		if (done && !off && version)
			done = entry->version && strcmp(entry->version, version) == 0;
	}
	provstate_free(&st);
	free(name);
	free(version);
	return done;
}
