/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Server's REST API (protocol 2, 3, 4). Every call adds Authorization, X-Client-Version and the base
 * path; what is no success becomes an error with the status as code and the Server's own error text in
 * the message ("GET /workspace/x: 404: failed to find workspace: …"); an HTML answer is described by type and size, never quoted.
 * What it means is in its kind: ask api_verdict (verdict.h), never the status, which is for people. The code of a page is 502,
 * whatever its status. A refused key is said with the Server that refuses it, and to run `daytona-runner configure`.
 */
#ifndef API_CLIENT_H
#define API_CLIENT_H

#include "api/model.h"
#include "api/verdict.h"
#include "net/http.h"
#include "net/ws.h"

struct api_settings { /* borrowed for the life of the api */
	const struct url *url;
	const char *key;
	struct tls_ctx *tls; /* NULL for plain http */
	const char *proxy, *no_proxy;
};

struct api;
struct api *api_new(const struct api_settings *s);
void api_free(struct api *a);
struct http_client *api_http(struct api *a); /* the one connection under it */
const struct url *api_url(const struct api *a);
/* The trace context (W3C) that an answer to an api_call last had in its field traceparent; "" if none had. */
#define API_TRACE_BYTES 55
const char *api_trace(const struct api *a);
/* What the last api_call was told to wait; -1: nothing. */
int64_t api_retry_after_ms(const struct api *a);

/* A request ready for http_start; owns its strings. Zero to start; may be prepared again. */
struct api_request {
	struct http_request http;
	struct http_field fields[4];
	struct buf target, auth;
};
/* path: encoded, with query. body is borrowed. accept_json: sends Accept (see the table in protocol 2). */
void api_prepare(const struct api *a, struct api_request *r, const char *method, const char *path,
                 struct str body, bool accept_json);
void api_request_free(struct api_request *r);
/* 0 for 2xx; else e as described above, ERR_PARSE for a web page with status 2xx; context is "GET /path". */
int api_check(const struct api *a, const struct http_reply *reply, const char *context,
              struct err *e);
/* A WebSocket to a path such as "/log/workspace/ID/write". Borrows a. */
struct ws_client *api_log_socket(const struct api *a, const char *path, struct deadline d);
/* What came of a log's sockets, one after the other. One that was open for some seconds begins them anew. */
struct api_log_tries {
	unsigned failures; /* in a row */
	bool told;
	int64_t opened_ms; /* 0: it is not open */
};
void api_log_opened(struct api_log_tries *t);
/* Says once where a log goes while its socket is refused, or cut again and again, and what to do; nothing of a Server
 * that is away. */
void api_log_closed(struct api_log_tries *t, const char *path, const struct err *e);

/* The body of an answer. What it says in two ways could be understood in either, here and by others: ERR_PARSE. */
int api_read_doc(struct str text, struct json_doc **doc, struct err *e);
/* Blocking call; *doc (may be NULL) receives the parsed body, NULL for an empty one or 204. */
int api_call(struct api *a, const char *method, const char *path, struct str body,
             struct json_doc **doc, struct deadline d, struct err *e);
/* A POST that twice is as good as once: it may go on the connection of the call before (see http.h). */
int api_post_idempotent(struct api *a, const char *path, struct str body, struct deadline d,
                        struct err *e);

/* Runner's calls (protocol 3). */
int api_server_config(struct api *a, struct server_config *out, struct deadline d, struct err *e);
int api_workspace(struct api *a, const char *id, struct workspace *out, struct deadline d,
                  struct err *e);
/* With showOptions=true. */
int api_target(struct api *a, const char *id, struct target *out, struct deadline d, struct err *e);
int api_build(struct api *a, const char *id, struct build *out, struct deadline d, struct err *e);
int api_env(struct api *a, struct kv *out, struct deadline d, struct err *e);
int api_git_provider(struct api *a, const char *id, struct git_provider *out, struct deadline d,
                     struct err *e);
/* First entry for a repository URL, decoded (username and token come query-escaped, 3.12); out->id NULL if none. */
int api_git_provider_for_url(struct api *a, const char *repo_url, struct git_provider *out,
                             struct deadline d, struct err *e);
int api_workspace_provider_metadata(struct api *a, const char *id, struct str json,
                                    struct deadline d, struct err *e);
int api_target_provider_metadata(struct api *a, const char *id, struct str json, struct deadline d,
                                 struct err *e);
/* handle-successful-creation */
int api_target_created(struct api *a, const char *id, struct deadline d, struct err *e);
/* Creates the preset unless it is there; "same name already exists" is success. provider_info_json: an object. */
int api_target_config_create(struct api *a, const char *name, const char *options,
                             struct str provider_info_json, struct deadline d, struct err *e);
/* Streams GET path to fd while hashing; sha256 of all bytes; max bytes. */
int api_download(struct api *a, const char *path, int fd, uint64_t max, unsigned char sha256[32],
                 struct deadline d, struct err *e);

/* Administrator's calls (protocol 4). */
int api_runner_create(struct api *a, const char *id, const char *name, struct runner_info *out,
                      struct deadline d, struct err *e);
int api_runner(struct api *a, const char *id_or_name, struct runner_info *out, struct deadline d,
               struct err *e);
/* Lists: *out is always set (free it), also after a failure, with *n whole elements. */
int api_runners(struct api *a, struct runner_info **out, size_t *n, struct deadline d,
                struct err *e);
int api_runner_delete(struct api *a, const char *id, struct deadline d, struct err *e);
int api_target_configs(struct api *a, struct target_config **out, size_t *n, struct deadline d,
                       struct err *e);
int api_targets(struct api *a, struct target **out, size_t *n, struct deadline d, struct err *e);
int api_workspaces(struct api *a, struct workspace **out, size_t *n, struct deadline d,
                   struct err *e);
/* METHOD path/id/action, and DELETE path/id with ?force=true; path is that of an api_kind. */
int api_act(struct api *a, const char *method, const char *path, const char *id, const char *action,
            struct deadline d, struct err *e);
int api_remove(struct api *a, const char *path, const char *id, bool force, struct deadline d,
               struct err *e);
int api_target_create(struct api *a, const char *id, const char *name, const char *config_id,
                      struct deadline d, struct err *e);
/* What the Server makes of a repository's address: an object for workspace_new. branch or NULL. */
struct json_doc *api_git_context(struct api *a, const char *url, const char *branch,
                                 struct deadline d, struct err *e);
/* A workspace template, by its name. */
struct json_doc *api_workspace_template(struct api *a, const char *name, struct deadline d,
                                        struct err *e);
struct workspace_new {
	const char *id, *name, *target_id;
	const char *image, *user; /* or NULL: the Server's defaults */
	bool build;               /* an image is made as the repository says */
	const char *devcontainer; /* with build: its file; NULL: looked for */
	const char *git_config;   /* or NULL */
	struct json repository;
	const char *branch; /* in place of the repository's; or NULL */
	struct kv env, labels;
};
int api_workspace_create(struct api *a, const struct workspace_new *w, struct deadline d,
                         struct err *e);
int api_env_set(struct api *a, const char *key, const char *value, struct deadline d,
                struct err *e);
/* *key is appended: the only time that it is told. */
int api_key_create(struct api *a, const char *name, struct buf *key, struct deadline d,
                   struct err *e);
/* The path of GET for the jobs of a resource, and the newest in the answer to it; false: there is none. */
struct job_view {
	char id[129];
	enum job_state state;
	char *error; /* or NULL; freed by the caller */
};
void api_jobs_path(struct buf *b, const char *kind, const char *id);
bool api_job_last(struct json list, const char *kind, const char *id, struct job_view *out);
int api_health(struct api *a, struct deadline d, struct err *e); /* GET /health, no key */

/* Bodies for the supervisor's non-blocking requests. */
void api_job_state_body(struct buf *b, enum job_state s, const char *error);
/* providers_json: a complete JSON array, built once and cached by the caller. uptime is raised to 1. */
void api_heartbeat_body(struct buf *b, int64_t uptime_s, unsigned running_jobs,
                        struct str providers_json);
/* Body of GET …/jobs: valid jobs into *out (caller frees each and the array). An element without a usable id is
 * reported through bad(arg, why) and skipped (protocol 12.9). Accepts null. */
int api_jobs_parse(struct str body, struct job **out, size_t *n,
                   void (*bad)(void *arg, const char *why), void *arg, struct err *e);

#endif
