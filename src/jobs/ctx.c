/* SPDX-License-Identifier: Apache-2.0 */
/* See ctx.h. */
#include "jobs/ctx.h"

#include "base/allow.h"
#include "base/attr.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "git/url.h"
#include "oci/where.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CALL_MS 30000
#define OUTAGE_MS 300000 /* a Server that is away may come back */
#define TRIES_MAX 6      /* of an answer that is more likely to stay as it is: 16 s */
#define TOLD_AT 3
#define RETRY_AFTER_MAX_MS 60000

static void to_log(void *arg, struct str bytes)
{
	struct ctx *c = arg;

	if (c->log)
		joblog_output(c->log, bytes);
}

void ctx_open(struct ctx *c, const struct jobs_env *env, const struct job *j)
{
	struct buf url = { 0 };

	*c = (struct ctx){ .env = env, .job = j };
	allow_set(ALLOW_IMAGES, env->allow_images);
	allow_set(ALLOW_REGISTRIES, env->allow_registries);
	allow_set(ALLOW_REPOSITORIES, env->allow_repositories);
	allow_set(ALLOW_AGENTS, env->agent_sha256);
	where_set(env->registry_mirrors, env->plain_http);
	c->d = deadline_in_ms(env->timeout_ms);
	c->api = api_new(env->api);
	url_origin(env->api->url, &url);
	buf_adds(&url, env->api->url->path);
	c->url = buf_take(&url);
}

void ctx_close(struct ctx *c)
{
	provider_close(&c->provider);
	joblog_close(c->log, 3000);
	c->log = NULL;
	server_config_free(&c->asked);
	api_free(c->api);
	free(c->url);
	free(c->label);
	confine_keep(NULL);
	free(c->own);
}

int ctx_repository(const struct repository *r, struct err *e)
{
	struct git_source s = { 0 };
	int rc;

	if (!allow_limits(ALLOW_REPOSITORIES))
		return 0;
	rc = git_source_parse(r->url, true, &s, e);
	git_source_free(&s);
	return rc;
}

struct deadline ctx_call(const struct ctx *c)
{
	return deadline_min(c->d, deadline_in_ms(CALL_MS));
}

bool ctx_is_away(const struct err *e)
{
	switch (e->kind) {
	case ERR_RESOLVE:
	case ERR_CONNECT:
	case ERR_TLS:
	case ERR_CLOSED:
	case ERR_TIMEOUT:
	case ERR_HTTP: /* the word of somebody on the way */
		return true;
	default:
		return false;
	}
}

static bool may_pass(const struct err *e, unsigned tries)
{
	switch (e->kind) {
	case ERR_PARSE: /* a sign-in page, most likely, or half an answer */
	case ERR_REMOTE:
	case ERR_DENIED:
		return tries < TRIES_MAX;
	default:
		return ctx_is_away(e);
	}
}

bool ctx_again(struct ctx *c, unsigned *tries, const struct err *e)
{
	int64_t wait_ms = 500 << (*tries < 4 ? *tries : 4);
	int64_t asked_ms = api_retry_after_ms(c->api);

	if (*tries == 0)
		c->give_up = deadline_min(c->d, c->worked ? c->d : deadline_in_ms(OUTAGE_MS));
	if (*c->env->stop || !may_pass(e, ++*tries))
		return false;
	if (asked_ms > wait_ms)
		wait_ms = asked_ms < RETRY_AFTER_MAX_MS ? asked_ms : RETRY_AFTER_MAX_MS;
	if (wait_ms >= deadline_left_ms(c->give_up))
		return false;
	log_debug("job %s: %s; trying again", c->job->id, e->msg);
	if (*tries == TOLD_AT && c->log)
		joblog_say(c->log, "Waiting for the Server: %s", e->msg);
	poll(NULL, 0, (int)wait_ms); /* a signal ends the wait, and *stop then the loop */
	return !*c->env->stop;
}

/* What is not the default any more could have become it meanwhile: then an image is not what somebody chose. */
static bool is_enough(const struct ctx *c, const struct workspace *ws)
{
	const struct server_config *known = c->env->server;
	const struct provider *p = c->provider.p;

	if (!known || !ws || !p || !p->asks_defaults)
		return known != NULL;
	return ws->image && strcmp(ws->image, known->default_image) == 0 && ws->user &&
	       strcmp(ws->user, known->default_user) == 0;
}

void ctx_server_config(struct ctx *c, const struct workspace *ws)
{
	struct err e = { 0 };
	unsigned tries = 0;
	int rc = 0;

	if (is_enough(c, ws)) {
		c->server = c->env->server;
	} else {
		do
			rc = api_server_config(c->api, &c->asked, ctx_call(c), &e);
		while (rc < 0 && ctx_again(c, &tries, &e));
		c->server = rc == 0 ? &c->asked : NULL;
	}
	c->penv.server = c->server; /* the provider may be open already */
	if (rc < 0 && c->log)
		joblog_say(c->log,
		           "The Server's configuration could not be read (%s); going on without.",
		           e.msg);
}

/* From here on what the Server and the provider send is worked on with less. */
static void contain(struct ctx *c, const struct provider *p)
{
	static const char *const shared[] = { "workspaces", "targets", "builds",
		                              "logs",       "agents",  "ssh" };
	const char *home = getenv("HOME");
	struct buf own = { 0 };
	char *path;

	if (home && *home == '/') {
		/* As ssh does, to remember the keys of hosts; later it would be out of its reach. */
		path = path_join(home, ".ssh");
		mkdir(path, 0700);
		free(path);
	}
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		path = path_join(c->env->state_dir, shared[i]);
		confine_hide(path, HIDE_FROM_TOOLS);
		free(path);
	}
	buf_addf(&own, "%s/%s/%s", c->env->state_dir, joblog_kind_dir(c->job->type),
	         c->job->resource_id);
	c->own = buf_take(&own);
	confine_keep(c->own);
	if (p->confined)
		confine_job();
	confine_syscalls(p->syscalls);
}

int ctx_provider(struct ctx *c, const char *name, struct err *e)
{
	const struct provider *p = provider_find(name);
	const struct jobs_env *env = c->env;
	struct buf why = { 0 };
	int rc;

	if (!p) {
		provider_names(&why, name);
		err_set(e, ERR_NOT_FOUND, 0, "provider not found: \"%s\"; this runner has %s", name,
		        buf_cstr(&why));
		buf_free(&why);
		return -1;
	}
	if (!env->provider_enabled(env->arg, p->name)) {
		env->provider_usable(env->arg, p->name, &why);
		err_set(e, ERR_UNSUPPORTED, 0, "provider %s cannot be used on this runner: %s",
		        p->name, buf_cstr(&why));
		buf_free(&why);
		return -1;
	}
	buf_free(&why);
	c->penv = (struct provider_env){
		.state_dir = env->state_dir,
		.runner_id = env->runner_id,
		.runner_name = env->runner_name,
		.options = env->provider_options(env->arg, p->name),
		.api = c->api,
		.api_url = c->url,
		.server = c->server,
		.server_ca_file = env->server_ca_file,
		.server_pin_sha256 = env->server_pin_sha256,
		.server_proxy = env->server_proxy,
		.server_no_proxy = env->server_no_proxy,
		.self_exe = env->self_exe,
		.env_allow = env->env_allow,
		.log = to_log,
		.log_arg = c,
		.stop = env->stop,
	};
	contain(c, p);
	rc = provider_open(&c->provider, p, &c->penv, e);
	return rc < 0 ? err_wrap(e, "open %s", p->name) : 0;
}

void ctx_provider_done(struct ctx *c, int rc, const struct err *e)
{
	const struct provider_handle *h = &c->provider;

	c->untouched = rc < 0 && h->p && h->p->untouched && ctx_is_away(e) &&
	               h->p->untouched(h->self);
	provider_close(&c->provider);
}

int ctx_git_provider(struct ctx *c, const char *id, struct git_provider *git, bool *have,
                     struct err *e)
{
	unsigned tries = 0;
	int rc;

	*have = false;
	if (!id || !*id)
		return 0;
	do
		rc = api_git_provider(c->api, id, git, ctx_call(c), e);
	while (rc < 0 && ctx_again(c, &tries, e));
	if (rc < 0 && api_verdict(e) == API_MISSING) {
		joblog_say(
			c->log,
			"The Server has no Git provider configuration %s any more; going on without credentials.",
			id);
		return 0;
	}
	*have = rc == 0;
	if (*have)
		ctx_hide(git->token);
	return rc < 0 ? err_wrap(e, "read Git credentials") : 0;
}

void ctx_hide(const char *secret)
{
	if (secret)
		mask_add(str_of(secret));
}

void ctx_hide_env(const struct kv *env)
{
	static const char *const words[] = { "PASSWORD",   "PASSWD",  "SECRET",      "TOKEN",
		                             "CREDENTIAL", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY" };

	for (size_t i = 0; i < env->n; i++) {
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			if (strcasestr(env->pairs[i].key, words[k])) {
				ctx_hide(env->pairs[i].value);
				break;
			}
		}
	}
}
