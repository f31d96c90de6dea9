/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's calls of server.h (protocol 4). */
#include "api/client.h"

#include "base/deadline.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int call_runner(struct api *a, const char *method, const char *path, struct str body,
                       struct runner_info *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, method, path, body, &doc, d, e);

	if (rc == 0 && !doc)
		rc = err_set(e, ERR_PARSE, 0, "%s %s: the answer is empty", method, path);
	if (rc == 0)
		rc = runner_info_parse(json_root(doc), out, e);
	json_doc_free(doc);
	return rc;
}

int api_runner_create(struct api *a, const char *id, const char *name, struct runner_info *out,
                      struct deadline d, struct err *e)
{
	struct buf body = { 0 };
	int rc;

	jw_obj(&body);
	jw_kstr(&body, "id", id);
	jw_kstr(&body, "name", name);
	jw_obj_end(&body);
	rc = call_runner(a, "POST", "/runner", buf_str(&body), out, d, e);
	if (rc == 0 && !(out->api_key && *out->api_key))
		rc = err_set(e, ERR_PARSE, 0, "POST /runner: the answer holds no API key");
	buf_free(&body);
	return rc;
}

int api_runner(struct api *a, const char *id_or_name, struct runner_info *out, struct deadline d,
               struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/runner/");
	buf_add_urlenc(&path, str_of(id_or_name));
	rc = call_runner(a, "GET", buf_cstr(&path), (struct str){ 0 }, out, d, e);
	buf_free(&path);
	return rc;
}

int api_runner_delete(struct api *a, const char *id, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_adds(&path, "/runner/");
	buf_add_urlenc(&path, str_of(id));
	rc = api_call(a, "DELETE", buf_cstr(&path), (struct str){ 0 }, NULL, d, e);
	buf_free(&path);
	return rc;
}

/* GET of a list: n structs of size bytes filled by parse; an element that cannot be read fails the call. */
static int get_list(struct api *a, const char *path, size_t size,
                    int (*parse)(struct json v, void *out, struct err *e), void **out, size_t *n,
                    struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, "GET", path, (struct str){ 0 }, &doc, d, e);
	struct json root = json_root(doc);
	char *list = mem_array(json_len(root), size);

	*n = 0;
	for (struct json member = json_first(root); rc == 0 && json_present(member);
	     member = json_next(member)) {
		rc = parse(member, list + *n * size, e);
		if (rc == 0)
			++*n;
	}
	json_doc_free(doc);
	*out = list;
	return rc;
}

static int parse_runner(struct json v, void *out, struct err *e)
{
	return runner_info_parse(v, out, e);
}

static int parse_config(struct json v, void *out, struct err *e)
{
	return target_config_parse(v, out, e);
}

static int parse_target(struct json v, void *out, struct err *e)
{
	return target_parse(v, out, e);
}

static int parse_workspace(struct json v, void *out, struct err *e)
{
	return workspace_parse(v, out, e);
}

int api_runners(struct api *a, struct runner_info **out, size_t *n, struct deadline d,
                struct err *e)
{
	void *list;
	int rc = get_list(a, "/runner", sizeof(**out), parse_runner, &list, n, d, e);

	*out = list;
	return rc;
}

int api_target_configs(struct api *a, struct target_config **out, size_t *n, struct deadline d,
                       struct err *e)
{
	void *list;
	int rc = get_list(a, "/target-config", sizeof(**out), parse_config, &list, n, d, e);

	*out = list;
	return rc;
}

int api_targets(struct api *a, struct target **out, size_t *n, struct deadline d, struct err *e)
{
	void *list;
	int rc = get_list(a, "/target", sizeof(**out), parse_target, &list, n, d, e);

	*out = list;
	return rc;
}

int api_workspaces(struct api *a, struct workspace **out, size_t *n, struct deadline d,
                   struct err *e)
{
	void *list;
	int rc = get_list(a, "/workspace", sizeof(**out), parse_workspace, &list, n, d, e);

	*out = list;
	return rc;
}

static void add_path(struct buf *b, const char *path, const char *id)
{
	buf_addf(b, "%s/", path);
	buf_add_urlenc(b, str_of(id));
}

int api_act(struct api *a, const char *method, const char *path, const char *id, const char *action,
            struct deadline d, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	add_path(&b, path, id);
	buf_addf(&b, "/%s", action);
	rc = api_call(a, method, buf_cstr(&b), (struct str){ 0 }, NULL, d, e);
	buf_free(&b);
	return rc;
}

int api_remove(struct api *a, const char *path, const char *id, bool force, struct deadline d,
               struct err *e)
{
	struct buf b = { 0 };
	int rc;

	add_path(&b, path, id);
	buf_adds(&b, force ? "?force=true" : "");
	rc = api_call(a, "DELETE", buf_cstr(&b), (struct str){ 0 }, NULL, d, e);
	/* A delete takes the key away before its job, and the reference's Server wants it there for another. */
	if (rc < 0 && !force && str_find(str_of(e->msg), "api key not found"))
		err_hint(e, "one that failed can only be repeated with --force");
	buf_free(&b);
	return rc;
}

int api_target_create(struct api *a, const char *id, const char *name, const char *config_id,
                      struct deadline d, struct err *e)
{
	struct buf body = { 0 };
	int rc;

	jw_obj(&body);
	jw_kstr(&body, "id", id);
	jw_kstr(&body, "name", name);
	jw_kstr(&body, "targetConfigId", config_id);
	jw_obj_end(&body);
	rc = api_call(a, "POST", "/target", buf_str(&body), NULL, d, e);
	buf_free(&body);
	return rc;
}

struct json_doc *api_git_context(struct api *a, const char *url, const char *branch,
                                 struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf body = { 0 };

	jw_obj(&body);
	jw_kstr(&body, "url", url);
	if (branch)
		jw_kstr(&body, "branch", branch);
	jw_obj_end(&body);
	if (api_call(a, "POST", "/gitprovider/context", buf_str(&body), &doc, d, e) < 0) {
		/* The reference's Server knows the large hosts, and those that it was told of. */
		if (str_find(str_of(e->msg), "can not get public client"))
			err_hint(e, "give the Server a git provider for that host");
	} else if (!json_is_string(json_get(json_root(doc), "url"))) {
		json_doc_free(doc);
		doc = NULL;
		err_set(e, ERR_PARSE, 0, "POST /gitprovider/context: the answer is no repository");
	}
	buf_free(&body);
	return doc;
}

struct json_doc *api_workspace_template(struct api *a, const char *name, struct deadline d,
                                        struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };

	buf_adds(&path, "/workspace-template/");
	buf_add_urlenc(&path, str_of(name));
	if (api_call(a, "GET", buf_cstr(&path), (struct str){ NULL, 0 }, &doc, d, e) == 0 &&
	    !json_is_string(json_get(json_root(doc), "repositoryUrl"))) {
		json_doc_free(doc);
		doc = NULL;
		err_set(e, ERR_PARSE, 0, "the answer is no workspace template");
	}
	buf_free(&path);
	return doc;
}

/* The Server asks for these when it makes a workspace, and answers without them for an address that has none. */
static bool must_be_there(const char *key)
{
	return strcmp(key, "owner") == 0 || strcmp(key, "source") == 0;
}

/* As it came, but for the branch and what must not be empty. */
static void add_repository(struct buf *b, struct json repository, const char *branch)
{
	jw_obj(b);
	/* One that was named, or found there: nobody has to guess. */
	if (branch && !json_is_string(json_get(repository, "cloneTarget")))
		jw_kstr(b, "cloneTarget", "branch");
	for (struct json member = json_first(repository); json_present(member);
	     member = json_next(member)) {
		struct buf key = { 0 };

		json_key(member, &key);
		jw_key(b, buf_cstr(&key));
		if (branch && strcmp(buf_cstr(&key), "branch") == 0)
			jw_str(b, str_of(branch));
		else if (must_be_there(buf_cstr(&key)) && json_str_is(member, ""))
			jw_str(b, STR_LIT("local"));
		else
			jw_raw(b, json_raw(member));
		buf_free(&key);
	}
	jw_obj_end(b);
}

int api_workspace_create(struct api *a, const struct workspace_new *w, struct deadline d,
                         struct err *e)
{
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "id", w->id);
	jw_kstr(&b, "name", w->name);
	jw_kstr(&b, "targetId", w->target_id);
	if (w->image)
		jw_kstr(&b, "image", w->image);
	if (w->user)
		jw_kstr(&b, "user", w->user);
	if (w->git_config)
		jw_kstr(&b, "gitProviderConfigId", w->git_config);
	if (w->build) {
		jw_key(&b, "buildConfig");
		jw_obj(&b);
		if (w->devcontainer) {
			jw_key(&b, "devcontainer");
			jw_obj(&b);
			jw_kstr(&b, "filePath", w->devcontainer);
			jw_obj_end(&b);
		}
		jw_obj_end(&b);
	}
	jw_key(&b, "source");
	jw_obj(&b);
	jw_key(&b, "repository");
	add_repository(&b, w->repository, w->branch);
	jw_obj_end(&b);
	jw_key(&b, "envVars");
	kv_to_json(&w->env, &b);
	jw_key(&b, "labels");
	kv_to_json(&w->labels, &b);
	jw_obj_end(&b);
	rc = api_call(a, "POST", "/workspace", buf_str(&b), NULL, d, e);
	buf_wipe(&b);
	return rc;
}

int api_env_set(struct api *a, const char *key, const char *value, struct deadline d, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "key", key);
	jw_kstr(&b, "value", value);
	jw_obj_end(&b);
	rc = api_call(a, "PUT", "/env", buf_str(&b), NULL, d, e);
	buf_wipe(&b);
	return rc;
}

int api_key_create(struct api *a, const char *name, struct buf *key, struct deadline d,
                   struct err *e)
{
	struct api_request request = { 0 };
	struct http_reply reply = { 0 };
	struct buf path = { 0 };
	struct str text;
	int rc;

	add_path(&path, "/apikey", name);
	api_prepare(a, &request, "POST", buf_cstr(&path), (struct str){ 0 }, false);
	rc = http_do(api_http(a), &request.http, &reply, d, e);
	if (rc == 0)
		rc = api_check(a, &reply, "POST /apikey", e);
	text = str_trim(buf_str(&reply.body));
	if (rc == 0 && text.n == 0)
		rc = err_set(e, ERR_PARSE, 0, "POST /apikey: the answer holds no key");
	if (rc == 0)
		buf_add_str(key, text);
	buf_wipe(&reply.body);
	http_reply_free(&reply);
	api_request_free(&request);
	buf_free(&path);
	return rc;
}

void api_jobs_path(struct buf *b, const char *kind, const char *id)
{
	buf_adds(b, "/job?resourceType=");
	buf_add_urlenc(b, str_of(kind));
	buf_adds(b, "&resourceId=");
	buf_add_urlenc(b, str_of(id));
}

bool api_job_last(struct json list, const char *kind, const char *id, struct job_view *out)
{
	struct json last = { 0 };
	int64_t at, last_at = 0;
	char *text;

	for (struct json j = json_first(list); json_present(j); j = json_next(j)) {
		char *created = json_dup(json_get(j, "createdAt"));

		if (!created || !time_parse_rfc3339(created, &at))
			at = last_at; /* in the order of the list */
		free(created);
		if (json_str_is(json_get(j, "resourceId"), id) &&
		    json_str_is(json_get(j, "resourceType"), kind) && at >= last_at) {
			last = j;
			last_at = at;
		}
	}
	text = json_dup(json_get(last, "id"));
	*out = (struct job_view){ 0 };
	if (!text || !str_is_id(str_of(text))) {
		free(text);
		return false;
	}
	memcpy(out->id, text, strlen(text) + 1); /* str_is_id: at most 128 */
	free(text);
	text = json_dup_or_empty(json_get(last, "state"));
	out->state = job_state_of(text);
	free(text);
	out->error = json_dup(json_get(last, "error"));
	return true;
}
