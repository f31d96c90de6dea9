/* SPDX-License-Identifier: Apache-2.0 */
/* See server.h: requests, what answers mean, and the runner's calls. */
#include "api/server.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REPLY_MAX HTTP_BODY_MAX
#define ERROR_TEXT_MAX 500
#define DOWNLOAD_STALL_MS 60000

struct api {
	const struct api_settings *s;
	int64_t retry_after_ms;
	struct url proxy;
	bool has_proxy;
	struct conn_target target;
	struct http_client *http;
};

struct api *api_new(const struct api_settings *s)
{
	struct api *a = mem_alloc(sizeof(*a));
	const char *proxy = proxy_for(s->url, s->proxy, s->no_proxy);
	struct err ignored;

	a->s = s;
	a->has_proxy = proxy && proxy_parse(proxy, &a->proxy, &ignored) == 0;
	a->target = (struct conn_target){
		.url = s->url,
		.tls = s->tls,
		.proxy = a->has_proxy ? &a->proxy : NULL,
	};
	a->http = http_client_new(&a->target, "daytona-runner/" DR_VERSION);
	return a;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	http_client_free(a->http);
	url_free(&a->proxy);
	free(a);
}

struct http_client *api_http(struct api *a)
{
	return a->http;
}

const struct url *api_url(const struct api *a)
{
	return a->s->url;
}

int64_t api_retry_after_ms(const struct api *a)
{
	return a->retry_after_ms;
}

static size_t common_fields(const struct api *a, struct buf *auth, struct http_field *fields)
{
	size_t n = 0;

	if (a->s->key && *a->s->key) {
		buf_reset(auth);
		buf_addf(auth, "Bearer %s", a->s->key);
		fields[n++] = (struct http_field){ "Authorization", buf_cstr(auth) };
	}
	fields[n++] = (struct http_field){ "X-Client-Version", "v" DR_VERSION };
	return n;
}

void api_prepare(const struct api *a, struct api_request *r, const char *method, const char *path,
                 struct str body, bool accept_json)
{
	size_t n = common_fields(a, &r->auth, r->fields);

	if (accept_json)
		r->fields[n++] = (struct http_field){ "Accept", "application/json" };
	buf_reset(&r->target);
	buf_adds(&r->target, a->s->url->path);
	buf_adds(&r->target, path);
	r->http = (struct http_request){
		.method = method,
		.target = buf_cstr(&r->target),
		.fields = r->fields,
		.n_fields = n,
		.body = body,
		.content_type = body.n ? "application/json; charset=utf-8" : NULL,
		.follow = true,
	};
}

void api_request_free(struct api_request *r)
{
	buf_free(&r->target);
	buf_wipe(&r->auth);
	*r = (struct api_request){ 0 };
}

/* ---- what an answer means ---- */

static bool is_page(const struct http_reply *reply)
{
	struct str type = http_head_get(&reply->h, "Content-Type");
	struct str body = str_trim(buf_str(&reply->body));

	return (type.n >= 9 && strncasecmp(type.p, "text/html", 9) == 0) ||
	       (body.n && body.p[0] == '<');
}

/* The Server's own words: {"error":"…"} whatever the content type says, else short plain text. */
static void error_text(const struct http_reply *reply, struct buf *out)
{
	struct str type = http_head_get(&reply->h, "Content-Type");
	struct str body = str_trim(buf_str(&reply->body));
	struct json_doc *doc = NULL;
	struct buf text = { 0 };
	struct err ignored;

	if (body.n && body.p[0] == '{')
		doc = json_parse(body, REPLY_MAX, &ignored);
	if (json_string(json_get(json_root(doc), "error"), &text))
		;
	else if (is_page(reply))
		buf_addf(&text, "a %.*s page of %zu bytes, not the Server's answer", STR_ARG(type),
		         reply->body.n);
	else if (doc || body.n > ERROR_TEXT_MAX)
		buf_addf(&text, "%zu bytes of %.*s", reply->body.n, STR_ARG(type));
	else
		buf_add_str(&text, body);
	if (text.n > ERROR_TEXT_MAX)
		text.n = ERROR_TEXT_MAX;
	buf_add_printable(out, buf_str(&text), false);
	json_doc_free(doc);
	buf_free(&text);
}

static bool about_key(int status, const char *text)
{
	if (strstr(text, "does not belong"))
		return false;
	return status == 401 || status == 403 ||
	       (status == 404 && (strcasestr(text, "api key") || strcasestr(text, "apikey")));
}

int api_check(const struct api *a, const struct http_reply *reply, const char *context,
              struct err *e)
{
	struct str location = http_head_get(&reply->h, "Location");
	struct buf text = { 0 }, url = { 0 };

	if (reply->status >= 200 && reply->status < 300 && !is_page(reply))
		return 0;
	error_text(reply, &text);
	if (text.n == 0)
		buf_addf(&text, "%.*s", STR_ARG(reply->h.reason));
	url_display(a->s->url, &url);
	if (reply->status < 300) /* a sign-in page is no yes (field case 25) */
		err_set(e, ERR_PARSE, 0, "%s: %s; is there a proxy or sign-in page between?",
		        context, buf_cstr(&text));
	else if (reply->status < 400 && location.p)
		err_set(e, ERR_HTTP, reply->status,
		        "%s: %d: the Server is elsewhere: %.*s; configure that URL", context,
		        reply->status, (int)(location.n < 200 ? location.n : 200), location.p);
	else if (about_key(reply->status, buf_cstr(&text)))
		err_set(e, ERR_HTTP, reply->status == 404 ? 401 : reply->status,
		        "the Server at %s refuses our API key (%s: %d: %s); give a valid one with daytona-runner configure",
		        buf_cstr(&url), context, reply->status, buf_cstr(&text));
	else
		err_set(e, ERR_HTTP, reply->status, "%s: %d%s%s", context, reply->status,
		        text.n ? ": " : "", buf_cstr(&text));
	buf_free(&url);
	buf_free(&text);
	return -1;
}

bool api_is_same_state(const struct err *e)
{
	return e->kind == ERR_HTTP && strstr(e->msg, "already in the specified state");
}

struct ws_client *api_log_socket(const struct api *a, const char *path, struct deadline d)
{
	struct http_field fields[4];
	struct buf auth = { 0 }, target = { 0 };
	struct ws_client *w;
	size_t n = common_fields(a, &auth, fields);

	buf_adds(&target, a->s->url->path);
	buf_adds(&target, path);
	w = ws_client_new(&a->target, buf_cstr(&target), fields, n, d);
	buf_wipe(&auth);
	buf_free(&target);
	return w;
}

int api_call(struct api *a, const char *method, const char *path, struct str body,
             struct json_doc **doc, struct deadline d, struct err *e)
{
	struct api_request req = { 0 };
	struct http_reply reply = { 0 };
	struct buf context = { 0 };
	struct str text;
	int rc = -1;

	if (doc)
		*doc = NULL;
	buf_addf(&context, "%s %s", method, path);
	api_prepare(a, &req, method, path, body, doc != NULL);
	if (http_do(a->http, &req.http, &reply, d, e) < 0) {
		err_wrap(e, "%s", buf_cstr(&context));
	} else if (api_check(a, &reply, buf_cstr(&context), e) == 0) {
		text = str_trim(buf_str(&reply.body));
		rc = 0;
		if (doc && text.n && !(*doc = json_parse(text, REPLY_MAX, e)))
			rc = err_wrap(e, "%s: the answer is no JSON", buf_cstr(&context));
	}
	a->retry_after_ms = reply.retry_after_ms;
	buf_wipe(&reply.body); /* keys and tokens are in many answers */
	http_reply_free(&reply);
	api_request_free(&req);
	buf_free(&context);
	return rc;
}

/* ---- the runner's calls ---- */

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

int api_workspace(struct api *a, const char *id, struct workspace *out, struct deadline d,
                  struct err *e)
{
	struct buf path = { 0 };
	struct json_doc *doc;
	int rc;

	path_id(&path, "/workspace/", id, "");
	doc = get_doc(a, buf_cstr(&path), d, e);
	rc = doc ? workspace_parse(json_root(doc), out, e) : -1;
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
	json_doc_free(doc);
	buf_free(&path);
	return rc;
}

int api_env(struct api *a, struct kv *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	int rc = api_call(a, "GET", "/env", (struct str){ 0 }, &doc, d, e);

	for (struct json m = json_first(json_root(doc)); json_present(m); m = json_next(m)) {
		char *key = json_dup(json_get(m, "key"));
		char *value = json_dup(json_get(m, "value"));

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
	if (rc < 0 && e->kind == ERR_HTTP &&
	    (e->code == 404 || strstr(e->msg, "git provider config not found")))
		e->kind = ERR_NOT_FOUND;
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
	rc = api_call(a, "POST", buf_cstr(&path), buf_str(&body), NULL, d, e);
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
	rc = api_call(a, "POST", buf_cstr(&path), (struct str){ 0 }, NULL, d, e);
	buf_free(&path);
	return rc;
}

int api_job_state(struct api *a, const char *runner_id, const char *job_id, enum job_state s,
                  const char *error, struct deadline d, struct err *e)
{
	struct buf path = { 0 }, body = { 0 };
	int rc;

	path_id(&path, "/runner/", runner_id, "/jobs/");
	path_id(&path, "", job_id, "/state");
	api_job_state_body(&body, s, error);
	rc = api_call(a, "POST", buf_cstr(&path), buf_str(&body), NULL, d, e);
	buf_free(&body);
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
	rc = api_call(a, "POST", "/target-config", buf_str(&body), NULL, d, e);
	if (rc < 0 && strstr(e->msg, "same name already exists")) {
		err_clear(e);
		rc = 0;
	}
	buf_free(&body);
	return rc;
}

int api_workspace_metadata(struct api *a, const char *id, struct str body, struct deadline d,
                           struct err *e)
{
	struct buf path = { 0 };
	int rc;

	path_id(&path, "/workspace/", id, "/metadata");
	rc = api_call(a, "POST", buf_cstr(&path), body, NULL, d, e);
	buf_free(&path);
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
	if (http_do(a->http, &req.http, &reply, d, e) < 0)
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
	for (struct json m = json_first(root); json_present(m); m = json_next(m)) {
		struct job *j = &(*out)[*n];
		struct err why = { 0 };

		if (job_parse(m, j, &why) == 0)
			++*n;
		else
			bad(arg, why.msg);
	}
	json_doc_free(doc);
	return 0;
}
