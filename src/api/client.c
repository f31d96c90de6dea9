/* SPDX-License-Identifier: Apache-2.0 */
/* See server.h: the runner's calls. */
#include "api/client.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define DOWNLOAD_STALL_MS 60000

static void path_id(struct buf *b, const char *before, const char *id, const char *after)
{
	buf_adds(b, before);
	buf_add_urlenc(b, str_of(id));
	buf_adds(b, after);
}

/* GET that must answer with a document. The caller frees it. */
static struct json_doc *get_doc(struct api *a, const char *path, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;

	if (api_call(a, "GET", path, (struct str){ 0 }, &doc, d, e) == 0 && !doc)
		err_set(e, ERR_PARSE, 0, "GET %s: the answer is empty", path);
	return doc;
}

int api_server_config(struct api *a, struct server_config *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = get_doc(a, "/server/config", d, e);
	int rc = doc ? server_config_parse(json_root(doc), out, e) : -1;

	json_doc_free(doc);
	return rc;
}

/* A Server also finds by name, and one resource may have the id of another as its name. */
static int check_id(const char *kind, const char *asked, const char *got, struct err *e)
{
	if (got && strcmp(asked, got) == 0)
		return 0;
	return err_set(e, ERR_PARSE, 0, "asked for %s %.128s, the Server answered with %s %.128s",
	               kind, asked, kind, got ? got : "without an id");
}

int api_workspace(struct api *a, const char *id, struct workspace *out, struct deadline d,
                  struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc;
	int rc;

	path_id(&path, "/workspace/", id, "");
	doc = get_doc(a, buf_cstr(&path), d, e);
	rc = doc ? workspace_parse(json_root(doc), out, e) : -1;
	if (rc == 0)
		rc = check_id("workspace", id, out->id, e);
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

int api_target(struct api *a, const char *id, struct target *out, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc;
	int rc;

	path_id(&path, "/target/", id, "?showOptions=true");
	doc = get_doc(a, buf_cstr(&path), d, e);
	rc = doc ? target_parse(json_root(doc), out, e) : -1;
	if (rc == 0)
		rc = check_id("target", id, out->id, e);
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

int api_build(struct api *a, const char *id, struct build *out, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc;
	int rc;

	path_id(&path, "/build/", id, "");
	doc = get_doc(a, buf_cstr(&path), d, e);
	rc = doc ? build_parse(json_root(doc), out, e) : -1;
	if (rc == 0)
		rc = check_id("build", id, out->id, e);
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

int api_env(struct api *a, struct kv *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, "GET", "/env", (struct str){ 0 }, &doc, d, e);

	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		char *key = json_dup(json_get(member, "key"));
		char *value = json_dup(json_get(member, "value"));

		if (key && value)
			kv_set(out, key, value);
		free(key);
		mem_free_secret(value);
	}
	json_doc_free(doc);
	return rc;
}

int api_git_provider(struct api *a, const char *id, struct git_provider *out, struct deadline d,
                     struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc;
	int rc;

	path_id(&path, "/gitprovider/", id, "");
	doc = get_doc(a, buf_cstr(&path), d, e);
	rc = doc ? git_provider_parse(json_root(doc), out, e) : -1;
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

/* In this one endpoint user name and token are query-escaped (protocol 3.12). */
static void unescape(char **s)
{
	struct buf b = { 0 };

	if (!buf_add_urldec(&b, str_of(*s), true))
		return;
	mem_free_secret(*s);
	*s = buf_take(&b);
}

int api_git_provider_for_url(struct api *a, const char *repo_url, struct git_provider *out,
                             struct deadline d, struct err *e)
{
	struct buf once = { 0 }, path = { 0 };
	struct json_doc *doc = NULL;
	struct json first;
	int rc;

	buf_add_urlenc(&once, str_of(repo_url));
	buf_adds(&path, "/gitprovider/for-url/");
	buf_add_urlenc(
		&path,
		buf_str(&once)); /* encoded twice: the decoded slashes would split the path */
	rc = api_call(a, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	first = json_first(json_root(doc));
	if (rc == 0 && json_is_object(first)) {
		rc = git_provider_parse(first, out, e);
		if (rc == 0) {
			unescape(&out->username);
			unescape(&out->token);
		}
	}
	json_doc_free(doc);
	buf_free(&path);
	buf_free(&once);
	return rc;
}

/* POST {"metadata":"<text>"}. */
static int post_metadata(struct api *a, const char *kind, const char *id, struct str json,
                         struct deadline d, struct err *e)
{
	struct buf path = { 0 }, body = { 0 };
	int rc;

	path_id(&path, kind, id, "/provider-metadata");
	jw_obj(&body);
	jw_key(&body, "metadata");
	jw_str(&body, json);
	jw_obj_end(&body);
	rc = api_post_idempotent(a, buf_cstr(&path), buf_str(&body), d, e);
	buf_free(&body);
	buf_free(&path);
	return rc;
}

int api_workspace_provider_metadata(struct api *a, const char *id, struct str json,
                                    struct deadline d, struct err *e)
{
	return post_metadata(a, "/workspace/", id, json, d, e);
}

int api_target_provider_metadata(struct api *a, const char *id, struct str json, struct deadline d,
                                 struct err *e)
{
	return post_metadata(a, "/target/", id, json, d, e);
}

int api_target_created(struct api *a, const char *id, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	path_id(&path, "/target/", id, "/handle-successful-creation");
	rc = api_post_idempotent(a, buf_cstr(&path), (struct str){ 0 }, d, e);
	buf_free(&path);
	return rc;
}

int api_target_config_create(struct api *a, const char *name, const char *options,
                             struct str provider_info_json, struct deadline d, struct err *e)
{
	struct buf body = { 0 };
	int rc;

	jw_obj(&body);
	jw_kstr(&body, "name", name);
	jw_kstr(&body, "options", options);
	jw_key(&body, "providerInfo");
	jw_raw(&body, provider_info_json);
	jw_obj_end(&body);
	rc = api_post_idempotent(a, "/target-config", buf_str(&body), d, e);
	if (rc < 0 && api_verdict(e) == API_ALREADY) {
		err_clear(e);
		rc = 0;
	}
	buf_free(&body);
	return rc;
}

int api_health(struct api *a, struct deadline d, struct err *e)
{
	struct json_doc *doc = get_doc(a, "/health", d, e);
	int rc = doc ? 0 : -1;

	if (doc && !json_str_is(json_get(json_root(doc), "status"), "ok"))
		rc = err_set(e, ERR_PARSE, 0, "GET /health: this is no Daytona Server's answer");
	json_doc_free(doc);
	return rc;
}

struct download {
	int fd;
	struct sha256 *hash;
	uint64_t left;
};

static int download_sink(void *arg, struct str bytes, struct err *e)
{
	struct download *dl = arg;

	if (bytes.n > dl->left)
		return err_set(e, ERR_LIMIT, 0, "the file is larger than allowed");
	dl->left -= bytes.n;
	sha256_add(dl->hash, bytes.p, bytes.n);
	return file_write_all(dl->fd, bytes, "download", e);
}

int api_download(struct api *a, const char *path, int fd, uint64_t max, unsigned char sha256[32],
                 struct deadline d, struct err *e)
{
	struct download dl = { .fd = fd, .hash = sha256_new(), .left = max };
	struct api_request req = { 0 };
	struct http_reply reply = { 0 };
	struct buf context = { 0 };
	int rc = -1;

	buf_addf(&context, "GET %s", path);
	api_prepare(a, &req, "GET", path, (struct str){ 0 }, false);
	req.http.sink = download_sink;
	req.http.sink_arg = &dl;
	req.http.stall_ms = DOWNLOAD_STALL_MS;
	if (http_do(api_http(a), &req.http, &reply, d, e) < 0)
		err_wrap(e, "%s", buf_cstr(&context));
	else
		rc = api_check(a, &reply, buf_cstr(&context), e);
	sha256_end(dl.hash, sha256);
	http_reply_free(&reply);
	api_request_free(&req);
	buf_free(&context);
	return rc;
}

/* ---- bodies ---- */

void api_job_state_body(struct buf *b, enum job_state s, const char *error)
{
	jw_obj(b);
	jw_kstr(b, "state", job_state_name(s));
	if (s == JOB_ERROR)
		jw_kstr(b, "errorMessage", error && *error ? error : "failed without a reason");
	jw_obj_end(b);
}

void api_heartbeat_body(struct buf *b, int64_t uptime_s, unsigned running_jobs,
                        struct str providers_json)
{
	jw_obj(b);
	jw_kint(b, "uptime", uptime_s > 0 ? uptime_s : 1);
	jw_kint(b, "runningJobs", running_jobs);
	jw_key(b, "providers");
	jw_raw(b, providers_json.n ? providers_json : STR_LIT("[]"));
	jw_obj_end(b);
}

#define JOBS_BODY_MAX (64u << 20)

int api_jobs_parse(struct str body, struct job **out, size_t *n,
                   void (*bad)(void *arg, const char *why), void *arg, struct err *e)
{
	struct json_doc *doc = json_parse(body, JOBS_BODY_MAX, e);
	struct json root = json_root(doc);

	*out = NULL;
	*n = 0;
	if (!doc)
		return err_wrap(e, "job list");
	if (!json_is_array(root) && !json_is_null(root)) {
		json_doc_free(doc);
		return err_set(e, ERR_PARSE, 0, "job list: neither an array nor null");
	}
	*out = mem_array(json_len(root), sizeof(**out));
	for (struct json member = json_first(root); json_present(member);
	     member = json_next(member)) {
		struct job *j = &(*out)[*n];
		struct err why = { 0 };

		if (job_parse(member, j, &why) == 0)
			++*n;
		else
			bad(arg, why.msg);
	}
	json_doc_free(doc);
	return 0;
}
