/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Build jobs (protocol 8.5). Builds name no provider: they go to the first enabled one that can build.
 * The list of earlier successful builds (3.15) is not asked for: the Server always answers null (12.24).
 */
#include "base/mem.h"
#include "jobs/ctx.h"

#include <stdlib.h>
#include <string.h>

static const char *builder(const struct ctx *c)
{
	for (size_t i = 0; providers[i]; i++) {
		struct buf why = { 0 };
		bool usable = providers[i]->build_run &&
		              c->env->provider_usable(c->env->arg, providers[i]->name, &why);

		buf_free(&why);
		if (usable)
			return providers[i]->name;
	}
	return NULL;
}

static bool key_ends(const char *key, const char *suffix)
{
	return str_ends(str_of(key), suffix);
}

static const char *sibling(const struct kv *env, const char *server_key, const char *word)
{
	struct buf key = { 0 };
	const char *value;
	size_t n = strlen(server_key) - strlen("SERVER");

	buf_add(&key, server_key, n);
	buf_adds(&key, word);
	value = kv_get(env, buf_cstr(&key));
	buf_free(&key);
	return value ? value : "";
}

/* Host and credentials of the builder registry (protocol 8.7). The caller frees the host and auth's strings. */
static char *builder_registry(const struct ctx *c, const struct kv *env, struct registry *auth,
                              bool *have)
{
	const char *wanted = c->server ? c->server->builder_registry_server : "";
	struct buf host = { 0 };

	*have = false;
	for (size_t i = 0; i < env->n && *wanted; i++) {
		const struct kv_pair *p = &env->pairs[i];

		if (!key_ends(p->key, "CONTAINER_REGISTRY_SERVER") || strcmp(p->value, wanted) != 0)
			continue;
		auth->server = mem_dup(wanted);
		auth->username = mem_dup(sibling(env, p->key, "USERNAME"));
		auth->password = mem_dup(sibling(env, p->key, "PASSWORD"));
		*have = true;
		buf_adds(&host, wanted);
		return buf_take(&host);
	}
	if (*wanted && strcmp(wanted, "local") != 0)
		buf_adds(&host, wanted);
	else if (c->server && c->server->frps_domain)
		buf_addf(&host, "registry-%s.%s", c->server->id, c->server->frps_domain);
	return buf_take(&host);
}

/* "/NAMESPACE" of the Server's settings, or nothing. */
static void add_namespace(const struct ctx *c, struct buf *ns)
{
	struct str s = str_of(c->server ? c->server->build_image_namespace : "");

	if (!s.n)
		return;
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	buf_addf(ns, "/%.*s", STR_ARG(s));
}

/* For the build's repository; git->id is NULL if there are none. */
static void read_credentials(struct ctx *c, const struct build *b, struct git_provider *git)
{
	struct err e = { 0 };
	unsigned tries = 0;
	int rc;

	do
		rc = api_git_provider_for_url(c->api, b->repo.url, git, ctx_call(c), &e);
	while (rc < 0 && ctx_again(c, &tries, &e));
	if (rc < 0) {
		joblog_say(c->log, "Git credentials could not be read (%s); going on without.",
		           e.msg);
		git_provider_free(git);
	}
	ctx_hide(git->token);
}

static void read_env(struct ctx *c, struct kv *env)
{
	struct err e = { 0 };
	unsigned tries = 0;
	int rc;

	do
		rc = api_env(c->api, env, ctx_call(c), &e);
	while (rc < 0 && ctx_again(c, &tries, &e));
	if (rc < 0)
		joblog_say(
			c->log,
			"The Server's environment variables could not be read (%s); going on without.",
			e.msg);
}

static int run(struct ctx *c, const struct build *b, struct err *e)
{
	struct kv env = { 0 }, split = { 0 };
	struct registries regs = { 0 };
	struct registry auth = { 0 };
	struct git_provider git = { 0 };
	struct buf ns = { 0 };
	bool have_auth;
	char *host;
	int rc;

	ctx_server_config(c, NULL);
	read_env(c, &env);
	ctx_hide_env(&env);
	ctx_hide_env(&b->env);
	kv_merge(&split, &env);
	registries_split(&split, &regs);
	host = builder_registry(c, &env, &auth, &have_auth);
	add_namespace(c, &ns);
	read_credentials(c, b, &git);
	rc = provider_build(&c->provider, c->job->action,
	                    &(struct build_job){
				    .build = b,
				    .registries = &regs,
				    .git = git.id ? &git : NULL,
				    .builder_image = c->server ? c->server->builder_image : "",
				    .registry_host = host,
				    .registry_auth = have_auth ? &auth : NULL,
				    .namespace_ = buf_cstr(&ns),
			    },
	                    c->d, e);
	git_provider_free(&git);
	free(auth.server);
	free(auth.username);
	mem_free_secret(auth.password);
	registries_free(&regs);
	kv_free(&split);
	kv_free(&env);
	buf_free(&ns);
	free(host);
	return rc;
}

int job_build(struct ctx *c, struct err *e)
{
	bool force = c->job->action == ACT_FORCE_DELETE;
	struct build b = { 0 };
	unsigned tries = 0;
	const char *name = builder(c);
	int rc;

	do
		rc = api_build(c->api, c->job->resource_id, &b, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0) {
		build_free(&b);
		return err_wrap(e, "read build %s", c->job->resource_id);
	}
	if (ctx_begin(c, RES_BUILD, b.id, b.id, e) < 0) {
		build_free(&b);
		return -1;
	}
	if (!name)
		rc = err_set(
			e, ERR_UNSUPPORTED, 0,
			"no provider that can build is usable on this runner; see daytona-runner provider check");
	else if (c->job->action == ACT_RUN && !b.has_build_config)
		rc = err_set(e, ERR_PARSE, 0, "build config is not set");
	else if ((c->job->action == ACT_RUN && ctx_repository(&b.repo, e) < 0) ||
	         ctx_provider(c, name, e) < 0)
		rc = -1;
	else
		rc = run(c, &b, e);
	if (rc < 0 && force && !*c->env->stop) {
		joblog_say(c->log, "Warning: resources may remain: %s", e->msg);
		rc = 0;
	}
	if (rc == 0 && c->job->action != ACT_RUN) {
		joblog_close(c->log, 3000);
		c->log = NULL;
		joblog_remove(c->env->state_dir, RES_BUILD, b.id);
	}
	ctx_provider_done(c, rc, e);
	build_free(&b);
	return rc;
}
