/* SPDX-License-Identifier: Apache-2.0 */
/* See model.h. */
#include "api/model.h"

#include "base/deadline.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = { "", "workspace", "target", "build", "runner" };
static const char *const action_names[] = {
	"",
	"create",
	"start",
	"stop",
	"restart",
	"delete",
	"force-delete",
	"run",
	"install-provider",
	"uninstall-provider",
	"update-provider",
};
static const char *const state_names[] = { "", "pending", "running", "success", "error" };

static int name_index(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 1; i < n; i++) {
		if (strcmp(names[i], s) == 0)
			return (int)i;
	}
	return 0;
}

const char *resource_type_name(enum resource_type t)
{
	return type_names[t];
}

const char *job_action_name(enum job_action a)
{
	return action_names[a];
}

const char *job_state_name(enum job_state s)
{
	return state_names[s];
}

enum resource_type resource_type_of(const char *s)
{
	return (enum resource_type)name_index(type_names, ARRAY_LEN(type_names), s);
}

enum job_action job_action_of(const char *s)
{
	return (enum job_action)name_index(action_names, ARRAY_LEN(action_names), s);
}

enum job_state job_state_of(const char *s)
{
	return (enum job_state)name_index(state_names, ARRAY_LEN(state_names), s);
}

/* An id is opaque text; a number is echoed as it was written (field case 100). */
static char *id_text(struct json v)
{
	struct str raw = json_raw(v);

	if (json_is_string(v))
		return json_dup(v);
	return json_is_number(v) ? mem_dupn(raw.p, raw.n) : NULL;
}

static char *dup_id(struct json v)
{
	char *s = id_text(v);

	return s ? s : mem_dup("");
}

/* Text of JSON (protocol 8.6), or the object itself, as the API's description has it (13). */
static char *text_or_object(struct json v)
{
	struct str raw = json_raw(v);

	return json_is_object(v) ? mem_dupn(raw.p, raw.n) : json_dup(v);
}

/* Members that could be taken the one way or the other. The Server looks keys up in any case of letters. */
static int refuse_twins(const char *what, struct json v, struct err *e)
{
	struct buf name = { 0 };

	int rc = 0;

	if (json_twin(v, true, &name))
		rc = err_set(e, ERR_PARSE, 0, "%s: two members \"%s\"", what, buf_cstr(&name));
	buf_free(&name);
	return rc;
}

int job_parse(struct json v, struct job *j, struct err *e)
{
	char *state;

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "job: not an object");
	if (refuse_twins("job", v, e) < 0)
		return -1;
	j->id = id_text(json_get(v, "id"));
	if (!j->id || !str_is_id(str_of(j->id))) {
		err_set(e, ERR_PARSE, 0,
		        "job: the id is missing or not made of letters, digits and . _ -");
		job_free(j);
		return -1;
	}
	j->resource_id = dup_id(json_get(v, "resourceId"));
	j->runner_id = id_text(json_get(v, "runnerId"));
	j->type_text = json_dup_or_empty(json_get(v, "resourceType"));
	j->type = resource_type_of(j->type_text);
	j->action_text = json_dup_or_empty(json_get(v, "action"));
	j->action = job_action_of(j->action_text);
	j->metadata = text_or_object(json_get(v, "metadata"));
	state = json_dup_or_empty(json_get(v, "state"));
	j->state = job_state_of(state);
	free(state);
	return 0;
}

void job_free(struct job *j)
{
	free(j->id);
	free(j->resource_id);
	free(j->runner_id);
	free(j->type_text);
	free(j->action_text);
	free(j->metadata);
	*j = (struct job){ 0 };
}

void job_write(const struct job *j, struct buf *b)
{
	jw_obj(b);
	jw_kstr(b, "id", j->id);
	jw_kstr(b, "resourceId", j->resource_id);
	jw_kstr(b, "runnerId", j->runner_id);
	jw_kstr(b, "resourceType", j->type_text);
	jw_kstr(b, "state", job_state_name(j->state));
	jw_kstr(b, "action", j->action_text);
	jw_kstr(b, "metadata", j->metadata);
	jw_obj_end(b);
}

static void repository_parse(struct json v, struct repository *r)
{
	r->id = json_dup_or_empty(json_get(v, "id"));
	r->url = json_dup_or_empty(json_get(v, "url"));
	r->name = json_dup_or_empty(json_get(v, "name"));
	r->branch = json_dup_or_empty(json_get(v, "branch"));
	r->sha = json_dup_or_empty(json_get(v, "sha"));
	r->owner = json_dup_or_empty(json_get(v, "owner"));
	r->source = json_dup_or_empty(json_get(v, "source"));
	r->path = json_dup(json_get(v, "path"));
	if (!json_i64(json_get(v, "prNumber"), 0, UINT32_MAX, &r->pr_number))
		r->pr_number = 0;
	r->clone_commit = json_str_is(json_get(v, "cloneTarget"), "commit");
	r->branch_guessed = !json_is_string(json_get(v, "cloneTarget")) && !*r->sha &&
	                    strcmp(r->branch, "main") == 0;
}

static void repository_free(struct repository *r)
{
	free(r->id);
	free(r->url);
	free(r->name);
	free(r->branch);
	free(r->sha);
	free(r->owner);
	free(r->source);
	free(r->path);
	*r = (struct repository){ 0 };
}

static void provider_info_parse(struct json v, struct provider_info *p)
{
	p->runner_id = dup_id(json_get(v, "runnerId"));
	p->runner_name = json_dup_or_empty(json_get(v, "runnerName"));
	p->name = json_dup_or_empty(json_get(v, "name"));
	p->version = json_dup_or_empty(json_get(v, "version"));
	p->label = json_dup_or_empty(json_get(v, "label"));
	p->agentless = json_bool(json_get(v, "agentlessTarget"), false);
}

static void provider_info_free(struct provider_info *p)
{
	free(p->runner_id);
	free(p->runner_name);
	free(p->name);
	free(p->version);
	free(p->label);
	*p = (struct provider_info){ 0 };
}

/* A target config's options say which host and engine it is; whoever cannot read them says so later. */
static int check_options(struct json config, struct err *e)
{
	char *options = json_dup_or_empty(json_get(config, "options"));
	struct err ignored;
	struct json_doc *doc = json_parse(str_of(options), strlen(options), &ignored);
	int rc = refuse_twins("target config: options", json_root(doc), e);

	json_doc_free(doc);
	mem_free_secret(options);
	return rc;
}

int target_config_parse(struct json v, struct target_config *c, struct err *e)
{
	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "target config: not an object");
	c->id = dup_id(json_get(v, "id"));
	c->name = json_dup_or_empty(json_get(v, "name"));
	provider_info_parse(json_get(v, "providerInfo"), &c->provider);
	c->options = json_dup_or_empty(json_get(v, "options"));
	c->deleted = json_bool(json_get(v, "deleted"), false);
	return check_options(v, e);
}

bool target_config_is_remote(const struct target_config *c)
{
	struct err ignored;
	struct json_doc *doc = json_parse(str_of(c->options), strlen(c->options), &ignored);
	bool remote = json_present(json_get(json_root(doc), "Remote Hostname"));

	json_doc_free(doc);
	return remote;
}

void target_config_free(struct target_config *c)
{
	free(c->id);
	free(c->name);
	provider_info_free(&c->provider);
	mem_free_secret(c->options); /* may hold an SSH password */
	*c = (struct target_config){ 0 };
}

static void state_parse(struct json v, char **name, char **error)
{
	*name = json_dup_or_empty(json_get(v, "name"));
	*error = json_dup(json_get(v, "error"));
}

int target_parse(struct json v, struct target *t, struct err *e)
{
	struct json config = json_get(v, "targetConfig");

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "target: not an object");
	/* Without one: empty strings, not NULL. */
	if (target_config_parse(json_is_object(config) ? config : v, &t->config, e) < 0) {
		target_free(t);
		return -1;
	}
	t->id = dup_id(json_get(v, "id"));
	t->name = json_dup_or_empty(json_get(v, "name"));
	kv_from_json(&t->env, json_get(v, "envVars"));
	t->is_default = json_bool(json_get(v, "default"), false);
	t->provider_metadata = json_dup(json_get(v, "providerMetadata"));
	state_parse(json_get(v, "state"), &t->state, &t->error);
	if (str_is_id(str_of(t->id)))
		return 0;
	target_free(t);
	return err_set(e, ERR_PARSE, 0,
	               "target: the id is missing or not made of letters, digits and . _ -");
}

void target_free(struct target *t)
{
	free(t->id);
	free(t->name);
	target_config_free(&t->config);
	kv_free(&t->env);
	free(t->provider_metadata);
	free(t->state);
	free(t->error);
	*t = (struct target){ 0 };
}

/* The target inside a workspace may be missing; its strings are then empty. */
static void nested_target(struct json v, struct target *t)
{
	struct err ignored;

	if (target_parse(v, t, &ignored) == 0)
		return;
	t->id = mem_dup("");
	t->name = mem_dup("");
	t->state = mem_dup("");
	t->config.id = mem_dup("");
	t->config.name = mem_dup("");
	t->config.options = mem_dup("");
	provider_info_parse((struct json){ 0 }, &t->config.provider);
}

int workspace_parse(struct json v, struct workspace *w, struct err *e)
{
	struct json build = json_get(v, "buildConfig");
	struct json cached = json_get(build, "cachedBuild");

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "workspace: not an object");
	w->id = dup_id(json_get(v, "id"));
	w->name = json_dup_or_empty(json_get(v, "name"));
	w->image = json_dup_or_empty(json_get(v, "image"));
	w->user = json_dup_or_empty(json_get(v, "user"));
	w->has_build_config = json_is_object(build);
	w->devcontainer_path = json_dup(json_get(json_get(build, "devcontainer"), "filePath"));
	w->cached_image = json_dup(json_get(cached, "image"));
	w->cached_user = json_dup(json_get(cached, "user"));
	repository_parse(json_get(v, "repository"), &w->repo);
	kv_from_json(&w->env, json_get(v, "envVars"));
	kv_from_json(&w->labels, json_get(v, "labels"));
	w->target_id = dup_id(json_get(v, "targetId"));
	nested_target(json_get(v, "target"), &w->target);
	w->api_key = json_dup_or_empty(json_get(v, "apiKey"));
	w->git_provider_config_id = json_dup(json_get(v, "gitProviderConfigId"));
	w->provider_metadata = json_dup(json_get(v, "providerMetadata"));
	state_parse(json_get(v, "state"), &w->state, &w->error);
	if (!str_is_id(str_of(w->id)))
		err_set(e, ERR_PARSE, 0,
		        "workspace: the id is missing or not made of letters, digits and . _ -");
	else if (check_options(json_get(json_get(v, "target"), "targetConfig"), e) < 0)
		;
	else if (*w->target_id && !str_is_id(str_of(w->target_id)))
		err_set(e, ERR_PARSE, 0, "workspace %s: the target id is not usable", w->id);
	else
		return 0;
	workspace_free(w);
	return -1;
}

void workspace_free(struct workspace *w)
{
	free(w->id);
	free(w->name);
	free(w->image);
	free(w->user);
	free(w->devcontainer_path);
	free(w->cached_image);
	free(w->cached_user);
	repository_free(&w->repo);
	kv_free(&w->env);
	kv_free(&w->labels);
	free(w->target_id);
	target_free(&w->target);
	mem_free_secret(w->api_key);
	free(w->git_provider_config_id);
	free(w->provider_metadata);
	free(w->state);
	free(w->error);
	*w = (struct workspace){ 0 };
}

int build_parse(struct json v, struct build *b, struct err *e)
{
	struct json container = json_get(v, "containerConfig");
	struct json config = json_get(v, "buildConfig");
	char *error;

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "build: not an object");
	b->id = dup_id(json_get(v, "id"));
	b->image = json_dup(json_get(v, "image"));
	b->user = json_dup(json_get(v, "user"));
	b->container_image = json_dup_or_empty(json_get(container, "image"));
	b->container_user = json_dup_or_empty(json_get(container, "user"));
	b->has_build_config = json_is_object(config);
	b->devcontainer_path = json_dup(json_get(json_get(config, "devcontainer"), "filePath"));
	repository_parse(json_get(v, "repository"), &b->repo);
	kv_from_json(&b->env, json_get(v, "envVars"));
	b->env_is_null = json_is_null(json_get(v, "envVars"));
	b->prebuild_id = json_dup(json_get(v, "prebuildId"));
	state_parse(json_get(v, "state"), &b->state, &error);
	free(error);
	if (str_is_id(str_of(b->id)))
		return 0;
	build_free(b);
	return err_set(e, ERR_PARSE, 0,
	               "build: the id is missing or not made of letters, digits and . _ -");
}

void build_free(struct build *b)
{
	free(b->id);
	free(b->image);
	free(b->user);
	free(b->container_image);
	free(b->container_user);
	free(b->devcontainer_path);
	repository_free(&b->repo);
	kv_free(&b->env);
	free(b->prebuild_id);
	free(b->state);
	*b = (struct build){ 0 };
}

int git_provider_parse(struct json v, struct git_provider *git, struct err *e)
{
	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "git provider: not an object");
	git->id = dup_id(json_get(v, "id"));
	git->provider_id = json_dup_or_empty(json_get(v, "providerId"));
	git->username = json_dup_or_empty(json_get(v, "username"));
	git->token = json_dup_or_empty(json_get(v, "token"));
	git->alias = json_dup_or_empty(json_get(v, "alias"));
	git->base_api_url = json_dup(json_get(v, "baseApiUrl"));
	git->signing_key = json_dup(json_get(v, "signingKey"));
	git->signing_method = json_dup(json_get(v, "signingMethod"));
	return 0;
}

void git_provider_free(struct git_provider *git)
{
	free(git->id);
	free(git->provider_id);
	free(git->username);
	mem_free_secret(git->token);
	free(git->alias);
	free(git->base_api_url);
	mem_free_secret(git->signing_key);
	free(git->signing_method);
	*git = (struct git_provider){ 0 };
}

int server_config_parse(struct json v, struct server_config *c, struct err *e)
{
	struct json frps = json_get(v, "frps");
	int64_t frps_port = 1;

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "server config: not an object");
	c->id = json_dup_or_empty(json_get(v, "id"));
	c->registry_url = json_dup_or_empty(json_get(v, "registryUrl"));
	c->builder_image = json_dup_or_empty(json_get(v, "builderImage"));
	c->default_image = json_dup_or_empty(json_get(v, "defaultWorkspaceImage"));
	c->default_user = json_dup_or_empty(json_get(v, "defaultWorkspaceUser"));
	c->builder_registry_server = json_dup_or_empty(json_get(v, "builderRegistryServer"));
	c->build_image_namespace = json_dup_or_empty(json_get(v, "buildImageNamespace"));
	/* Port 0: a Server without frps that answers what the reference's programs need. */
	if (!json_i64(json_get(frps, "port"), 0, 0, &frps_port)) {
		c->frps_domain = json_dup(json_get(frps, "domain"));
		c->frps_protocol = json_dup(json_get(frps, "protocol"));
	}
	if (!json_i64(json_get(v, "apiPort"), 0, 65535, &c->api_port))
		c->api_port = 0;
	if (!json_i64(json_get(v, "headscalePort"), 0, 65535, &c->headscale_port))
		c->headscale_port = 0;
	return 0;
}

void server_config_free(struct server_config *c)
{
	free(c->id);
	free(c->registry_url);
	free(c->builder_image);
	free(c->default_image);
	free(c->default_user);
	free(c->builder_registry_server);
	free(c->build_image_namespace);
	free(c->frps_domain);
	free(c->frps_protocol);
	*c = (struct server_config){ 0 };
}

int runner_info_parse(struct json v, struct runner_info *r, struct err *e)
{
	struct json meta = json_get(v, "metadata");
	struct json list = json_get(meta, "providers");
	char *updated, *error;
	size_t n = json_len(list);

	if (!json_is_object(v))
		return err_set(e, ERR_PARSE, 0, "runner: not an object");
	r->id = dup_id(json_get(v, "id"));
	r->name = json_dup_or_empty(json_get(v, "name"));
	r->api_key = json_dup(json_get(v, "apiKey"));
	state_parse(json_get(v, "state"), &r->state, &error);
	free(error); /* preset by the Server even when all is well (protocol 1.3) */
	if (!json_i64(json_get(meta, "uptime"), 0, INT64_MAX, &r->uptime))
		r->uptime = 0;
	if (!json_i64(json_get(meta, "runningJobs"), 0, INT64_MAX, &r->running_jobs))
		r->running_jobs = 0;
	updated = json_dup_or_empty(json_get(meta, "updatedAt"));
	if (!time_parse_rfc3339(updated, &r->heartbeat_wall_ms))
		r->heartbeat_wall_ms = 0;
	free(updated);
	r->providers = mem_array(n, sizeof(*r->providers));
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		provider_info_parse(member, &r->providers[r->n_providers++]);
	return 0;
}

void runner_info_free(struct runner_info *r)
{
	free(r->id);
	free(r->name);
	free(r->state);
	for (size_t i = 0; i < r->n_providers; i++)
		provider_info_free(&r->providers[i]);
	free(r->providers);
	mem_free_secret(r->api_key);
	*r = (struct runner_info){ 0 };
}
