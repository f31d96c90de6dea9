/* SPDX-License-Identifier: Apache-2.0 */
/* See server.h: the connection to the Server, requests, and what answers mean. */
#include "api/client.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define REPLY_MAX HTTP_BODY_MAX
#define ERROR_TEXT_MAX 500
#define FOREIGN_TEXT_MAX 150 /* there is to be room for what to do */
#define CUTS_TOLD 3          /* log sockets in a row */
#define KEPT_MS 5000

struct api {
	const struct api_settings *s;
	int64_t retry_after_ms;
	char trace[API_TRACE_BYTES + 1];
	struct url proxy;
	bool has_proxy;
	struct conn_target target;
	struct http_client *http;
};

/* "00-<32 hex>-<16 hex>-<2 hex>"; anything else is none. */
static void take_trace(struct api *a, struct str field)
{
	if (field.n != API_TRACE_BYTES)
		return;
	for (size_t i = 0; i < field.n; i++) {
		bool dash = i == 2 || i == 35 || i == 52;

		if (dash ? field.p[i] != '-' : str_hex_digit(field.p[i]) < 0)
			return;
	}
	memcpy(a->trace, field.p, field.n);
}

const char *api_trace(const struct api *a)
{
	return a->trace;
}

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

/* The Server's own words, else short plain text; never empty. */
static void error_text(const struct http_reply *reply, size_t max, struct buf *out)
{
	struct str type = http_head_get(&reply->h, "Content-Type");
	struct str body = str_trim(buf_str(&reply->body));
	struct buf text = { 0 };

	if (api_error_words(reply, &text))
		;
	else if (api_is_page(reply))
		buf_addf(&text, "a %.*s page of %zu bytes, not the Server's answer", STR_ARG(type),
		         reply->body.n);
	else if ((body.n && body.p[0] == '{') || body.n > max)
		buf_addf(&text, "%zu bytes of %.*s", reply->body.n, STR_ARG(type));
	else
		buf_add_str(&text, body);
	if (text.n == 0)
		buf_addf(&text, "%.*s", STR_ARG(reply->h.reason));
	if (text.n == 0)
		buf_adds(&text, "no reason");
	if (text.n > max)
		text.n = max;
	buf_add_printable(out, buf_str(&text), false);
	buf_free(&text);
}

/* What a person can do about an answer that is not the Server's, or about a call that it has not. */
static void add_remedy(enum api_verdict v, const char *url, struct buf *out)
{
	if (v == API_NO_ROUTE)
		buf_addf(out, "; the Server has no such call; is the path in the URL %s right?",
		         url);
	else if (v == API_AGAIN)
		buf_addf(
			out,
			"; something answers in the Server's place; is the Server up, are the URL %s and its proxy right?",
			url);
}

int api_check(const struct api *a, const struct http_reply *reply, const char *context,
              struct err *e)
{
	struct str location = http_head_get(&reply->h, "Location");
	enum api_verdict v = api_judge(reply);
	struct buf text = { 0 }, url = { 0 };

	if (v == API_DONE)
		return 0;
	error_text(reply, v == API_AGAIN ? FOREIGN_TEXT_MAX : ERROR_TEXT_MAX, &text);
	url_display(a->s->url, &url);
	add_remedy(v, buf_cstr(&url), &text);
	if (reply->status < 300) /* a sign-in page is no yes (field case 25) */
		err_set(e, ERR_PARSE, 0, "%s: %s", context, buf_cstr(&text));
	else if (reply->status < 400 && location.p)
		err_set(e, ERR_HTTP, reply->status,
		        "%s: %d: the Server is elsewhere: %.*s; configure that URL", context,
		        reply->status, (int)(location.n < 200 ? location.n : 200), location.p);
	else if (v == API_KEY)
		err_set(e, api_verdict_kind(v), reply->status == 404 ? 401 : reply->status,
		        "the Server at %s refuses our API key (%s: %d: %s)", buf_cstr(&url),
		        context, reply->status, buf_cstr(&text));
	else /* a page is a proxy's word for a Server that is away (frp's is a 404) */
		err_set(e, api_verdict_kind(v), api_is_page(reply) ? 502 : reply->status,
		        "%s: %d: %s", context, reply->status, buf_cstr(&text));
	buf_free(&url);
	buf_free(&text);
	return -1;
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

static void tell_refused(const char *path, const struct err *e)
{
	static const struct {
		int status;
		const char *remedy;
	} rows[] = {
		{ 401,
		  "see that a proxy before the Server passes Authorization on, and that the key is this runner's" },
		{ 403,
		  "see that the Server, and a proxy before it, allow this runner's key to write logs" },
		{ 404,
		  "see that the path of the Server's URL is right, and that a proxy before it passes /log/" },
	};
	const char *remedy =
		"let the proxy before the Server pass WebSockets (HTTP/1.1, Upgrade, Connection)";

	for (size_t i = 0; e->kind == ERR_HTTP && i < ARRAY_LEN(rows); i++)
		if (rows[i].status == e->code)
			remedy = rows[i].remedy;
	log_warn("GET %s: %s; the log is in the local file alone: %s", path, e->msg, remedy);
}

void api_log_opened(struct api_log_tries *t)
{
	if (!t->opened_ms)
		t->opened_ms = clock_mono_ms();
}

/* A connection that is cut may be a Server that ends; who cuts each of them lets no log pass. */
static bool is_refusal(const struct api_log_tries *t, const struct err *e)
{
	return e->kind == ERR_HTTP || e->kind == ERR_PARSE ||
	       (e->kind == ERR_CLOSED && t->failures >= CUTS_TOLD);
}

void api_log_closed(struct api_log_tries *t, const char *path, const struct err *e)
{
	if (t->opened_ms && clock_mono_ms() - t->opened_ms >= KEPT_MS)
		*t = (struct api_log_tries){ 0 };
	t->opened_ms = 0;
	t->failures++;
	if (!t->told && is_refusal(t, e)) {
		tell_refused(path, e);
		t->told = true;
	}
}

int api_read_doc(struct str text, struct json_doc **doc, struct err *e)
{
	struct buf twin = { 0 };

	*doc = json_parse(text, REPLY_MAX, e);
	if (!*doc)
		return err_wrap(e, "the answer is no JSON");
	if (json_any_twin(json_root(*doc), &twin)) {
		json_doc_free(*doc);
		*doc = NULL;
		err_set(e, ERR_PARSE, 0, "the answer has two members \"%s\"", buf_cstr(&twin));
		buf_free(&twin);
		return -1;
	}
	return 0;
}

static int call(struct api *a, const char *method, const char *path, struct str body,
                bool idempotent, struct json_doc **doc, struct deadline d, struct err *e)
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
	req.http.idempotent = idempotent;
	if (http_do(a->http, &req.http, &reply, d, e) < 0) {
		err_wrap(e, "%s", buf_cstr(&context));
	} else if (api_check(a, &reply, buf_cstr(&context), e) == 0) {
		text = str_trim(buf_str(&reply.body));
		rc = 0;
		if (doc && text.n && api_read_doc(text, doc, e) < 0)
			rc = err_wrap(e, "%s", buf_cstr(&context));
	}
	a->retry_after_ms = reply.retry_after_ms;
	take_trace(a, http_head_get(&reply.h, "traceparent"));
	buf_wipe(&reply.body); /* keys and tokens are in many answers */
	http_reply_free(&reply);
	api_request_free(&req);
	buf_free(&context);
	return rc;
}

int api_call(struct api *a, const char *method, const char *path, struct str body,
             struct json_doc **doc, struct deadline d, struct err *e)
{
	return call(a, method, path, body, false, doc, d, e);
}

int api_post_idempotent(struct api *a, const char *path, struct str body, struct deadline d,
                        struct err *e)
{
	return call(a, "POST", path, body, true, NULL, d, e);
}
