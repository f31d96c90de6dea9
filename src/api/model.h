/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Server sends (protocol 11), as structs. Each *_parse fills a zeroed struct, tolerates
 * unknown keys and null lists, and fails alone with ERR_PARSE that names the field; each *_free is
 * idempotent and wipes secrets. Strings are owned, never NULL unless marked "or NULL".
 */
#ifndef API_MODEL_H
#define API_MODEL_H

#include "base/json.h"
#include "base/kv.h"

#include <stdbool.h>
#include <stdint.h>

enum resource_type { RES_UNKNOWN, RES_WORKSPACE, RES_TARGET, RES_BUILD, RES_RUNNER };
enum job_action {
	ACT_UNKNOWN,
	ACT_CREATE,
	ACT_START,
	ACT_STOP,
	ACT_RESTART,
	ACT_DELETE,
	ACT_FORCE_DELETE,
	ACT_RUN,
	ACT_INSTALL_PROVIDER,
	ACT_UNINSTALL_PROVIDER,
	ACT_UPDATE_PROVIDER,
};
enum job_state { JOB_STATE_UNKNOWN, JOB_PENDING, JOB_RUNNING, JOB_SUCCESS, JOB_ERROR };

const char *resource_type_name(enum resource_type t); /* "workspace" … */
const char *job_action_name(enum job_action a);       /* "create" … "update-provider" */
const char *job_state_name(enum job_state s);
enum resource_type resource_type_of(const char *s);
enum job_action job_action_of(const char *s);
enum job_state job_state_of(const char *s);

struct job {
	char *id; /* as sent, number or string, echoed byte for byte; checked with str_is_id */
	char *resource_id;
	char *runner_id; /* or NULL (builds) */
	enum resource_type type;
	char *type_text; /* as sent, for messages */
	enum job_state state;
	enum job_action action;
	char *action_text;
	char *metadata; /* or NULL */
};
/* Fails only when there is no usable id; an unknown type or action parses as *_UNKNOWN. */
int job_parse(struct json v, struct job *j, struct err *e);
void job_free(struct job *j);
/* Compact JSON of it, which job_parse reads again (journal, hand-over to the job's process). */
void job_write(const struct job *j, struct buf *b);

struct repository {
	char *id, *url, *name, *branch, *sha, *owner, *source;
	char *path;        /* or NULL */
	int64_t pr_number; /* 0: none */
	bool clone_commit; /* cloneTarget == "commit" */
	/* The branch is what a Server says that was told none and asked nobody: where it is not there, the default one is meant. */
	bool branch_guessed;
};

struct provider_info {
	char *runner_id, *runner_name, *name, *version, *label;
	bool agentless;
};

struct target_config {
	char *id, *name;
	struct provider_info provider;
	char *options; /* JSON text or "" */
	bool deleted;
};

struct target {
	char *id, *name;
	struct target_config config;
	struct kv env;
	bool is_default;
	char *provider_metadata; /* or NULL */
	char *state;             /* state.name or "" */
	char *error;             /* state.error or NULL */
};

struct workspace {
	char *id, *name, *image, *user;
	bool has_build_config;
	char *devcontainer_path;          /* buildConfig.devcontainer.filePath or NULL */
	char *cached_image, *cached_user; /* buildConfig.cachedBuild or NULL */
	struct repository repo;
	struct kv env;
	struct kv labels;
	char *target_id;
	struct target target;
	char *api_key;                /* secret */
	char *git_provider_config_id; /* or NULL */
	char *provider_metadata;      /* or NULL */
	char *state;
	char *error; /* or NULL */
};

struct build {
	char *id;
	char *image, *user; /* or NULL */
	char *container_image, *container_user;
	bool has_build_config;
	char *devcontainer_path; /* or NULL */
	struct repository repo;
	struct kv env;
	bool env_is_null;
	char *prebuild_id; /* or NULL */
	char *state;
};

struct git_provider {
	char *id, *provider_id, *username, *token, *alias;
	char *base_api_url, *signing_key, *signing_method; /* or NULL */
};

struct server_config {
	char *id, *registry_url, *builder_image, *default_image, *default_user;
	char *builder_registry_server, *build_image_namespace;
	char *frps_domain, *frps_protocol; /* or NULL: frps is absent */
	int64_t api_port, headscale_port;
};

struct runner_info { /* RunnerDTO, protocol 4 */
	char *id, *name, *state;
	int64_t uptime, running_jobs;
	int64_t heartbeat_wall_ms; /* metadata.updatedAt; 0 if unknown */
	struct provider_info *providers;
	size_t n_providers;
	char *api_key; /* only in the answer to POST /runner; else NULL */
};

int target_parse(struct json v, struct target *t, struct err *e);
void target_free(struct target *t);
int workspace_parse(struct json v, struct workspace *w, struct err *e);
void workspace_free(struct workspace *w);
int build_parse(struct json v, struct build *b, struct err *e);
void build_free(struct build *b);
int git_provider_parse(struct json v, struct git_provider *git, struct err *e);
void git_provider_free(struct git_provider *git);
int server_config_parse(struct json v, struct server_config *c, struct err *e);
void server_config_free(struct server_config *c);
int runner_info_parse(struct json v, struct runner_info *r, struct err *e);
void runner_info_free(struct runner_info *r);
/* Its options name another host (protocol 10.1): what this one has or lacks says nothing. */
bool target_config_is_remote(const struct target_config *c);
int target_config_parse(struct json v, struct target_config *c, struct err *e);
void target_config_free(struct target_config *c);

/* Registry credentials split off an environment (protocol 8.7). */
struct registry {
	char *server, *username, *password;
};
struct registries {
	struct registry *list;
	size_t n;
};
void registries_free(struct registries *r);
/* Removes *_CONTAINER_REGISTRY_{SERVER,USERNAME,PASSWORD} from env and collects them. */
void registries_split(struct kv *env, struct registries *out);
/* The entry for an image reference's host (protocol 12.28: first component with '.', ':' or
 * "localhost" is the host, else docker.io). NULL if there is none. */
const struct registry *registries_for_image(const struct registries *r, const char *image);

/* Merges server variables and the resource's own (later wins), then replaces values "$NAME" from our
 * process's environment only if NAME is in allow (comma separated list, may be NULL); the literal stays otherwise
 * (protocol 8.7, 12.50). */
void env_merge(struct kv *into, const struct kv *server_env, const struct kv *own,
               const char *allow);

#endif
