/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the engine and negotiation of its API version, see engine.h. */
#include "providers/docker/engine/engine.h"

#include "agent/agent.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"
#include "providers/docker/engine/container.h"
#include "providers/docker/engine/remote.h"

#include <stdlib.h>
#include <string.h>

#define SLICE_MS 200 /* how soon a stop that came by no signal is noticed */
#define MESSAGE_MAX 500

int engine_open(struct engine *g, const struct docker_options *o, const struct provider_env *env,
                struct err *e)
{
	*g = (struct engine){ .env = env, .call_ms = o->call_ms };
	if (o->remote_host) {
		g->remote = remote_new(o, env, e);
		if (!g->remote)
			return -1;
		g->url.scheme = mem_dup("unix");
		g->url.host = mem_dup("");
		g->url.path = mem_dup(remote_socket(g->remote));
		g->where = mem_dup(remote_name(g->remote));
	} else if (engine_locate(g, o, e) < 0) {
		engine_close(g);
		return -1;
	}
	if (o->host_state_dir && g->local)
		host_path_set(&g->dirs, env->state_dir, o->host_state_dir);
	g->target = (struct conn_target){ .url = &g->url, .tls = g->tls };
	g->http = http_client_new(&g->target, "daytona-runner");
	return 0;
}

void engine_close(struct engine *g)
{
	http_client_free(g->http);
	tls_ctx_free(g->tls);
	buf_free(&g->ca_file);
	buf_free(&g->cert_file);
	buf_free(&g->key_file);
	url_free(&g->url);
	remote_free(g->remote);
	host_path_free(&g->dirs);
	free(g->where);
	free(g->name);
	free(g->version);
	free(g->arch);
	*g = (struct engine){ 0 };
}

bool engine_stopped(const struct engine *g)
{
	return g->env->stop && *g->env->stop;
}

static int stopped(struct err *e)
{
	return err_set(e, ERR_CANCELED, 0, "stopped because the runner was told to end");
}

int engine_sleep(const struct engine *g, int64_t ms, struct deadline d, struct err *e)
{
	struct deadline until = deadline_min(deadline_in_ms(ms), d);
	struct pollset ps = { 0 };
	int rc = 0;

	while (rc == 0 && !deadline_passed(until) && !engine_stopped(g)) {
		pollset_reset(&ps);
		pollset_until(&ps, deadline_min(until, deadline_in_ms(SLICE_MS)));
		rc = pollset_wait(&ps, e);
	}
	pollset_free(&ps);
	if (rc == 0 && engine_stopped(g))
		return stopped(e);
	if (rc == 0 && deadline_passed(d))
		return err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
	return rc;
}

static int exchange(struct engine *g, const struct http_request *req, struct http_reply *reply,
                    struct deadline d, struct err *e)
{
	enum http_progress p;
	struct pollset ps = { 0 };
	int rc = -1;

	http_start(g->http, req, reply, d);
	while ((p = http_step(g->http, e)) == HTTP_PENDING) {
		if (engine_stopped(g)) {
			http_abort(g->http);
			stopped(e);
			goto out;
		}
		pollset_reset(&ps);
		http_poll(g->http, &ps);
		pollset_until(&ps, deadline_in_ms(SLICE_MS));
		if (pollset_wait(&ps, e) < 0) {
			http_abort(g->http);
			goto out;
		}
	}
	rc = p == HTTP_DONE ? 0 : -1;
out:
	pollset_free(&ps);
	return rc;
}

static struct str short_path(const char *path)
{
	return (struct str){ path, strcspn(path, "?") };
}

static int send_once(struct engine *g, const struct engine_request *r, struct http_reply *reply,
                     struct deadline d, struct err *e)
{
	struct http_field fields[4];
	size_t n = 0;
	struct buf target = { 0 };
	struct http_request req = {
		.method = r->method,
		.body = r->body,
		.body_source = r->body_source,
		.body_arg = r->body_arg,
		.sink = r->sink,
		.sink_arg = r->sink_arg,
		.stall_ms = r->stall_ms,
		.upgrade = r->upgrade,
	};
	struct str shown = short_path(r->path);
	int rc;

	if (r->upgrade)
		fields[n++] = (struct http_field){ "Upgrade", "tcp" };
	if (r->registry_auth)
		fields[n++] = (struct http_field){ "X-Registry-Auth", r->registry_auth };
	if (r->registry_config)
		fields[n++] = (struct http_field){ "X-Registry-Config", r->registry_config };
	if (r->body.n || r->body_source || r->upgrade)
		req.content_type = r->content_type ? r->content_type : "application/json";
	if (!r->unversioned)
		buf_addf(&target, "/v1.%d", g->api);
	buf_adds(&target, r->path);
	req.target = buf_cstr(&target);
	req.fields = fields;
	req.n_fields = n;
	rc = exchange(g, &req, reply, d, e);
	buf_free(&target);
	if (rc < 0 && e->kind == ERR_TIMEOUT && !r->sink)
		err_set(e, ERR_TIMEOUT, 0, "no answer from the engine in time");
	if (rc < 0 && e->kind != ERR_CANCELED)
		err_wrap(e, "%s %.*s at %s", r->method, STR_ARG(shown), g->where);
	return rc;
}

/* "1.41" to 41; 0 for anything else. */
static int minor_of(struct str s)
{
	int64_t v;

	if (!str_starts(s, "1.") || !str_to_i64((struct str){ s.p + 2, s.n - 2 }, 1, 9999, &v))
		return 0;
	return (int)v;
}

static int minor_in(struct json v)
{
	char *text = json_dup_or_empty(v);
	int minor = minor_of(str_of(text));

	free(text);
	return minor;
}

static void set_text(char **at, struct json v)
{
	free(*at);
	*at = json_dup_or_empty(v);
}

/* "Podman Engine" is the name of a component there; Docker calls its own "Engine". */
static void read_components(struct engine *g, struct json list)
{
	for (struct json m = json_first(list); json_present(m); m = json_next(m)) {
		char *name = json_dup_or_empty(json_get(m, "Name"));

		if (strstr(name, "Podman")) {
			free(g->name);
			g->name = mem_dup("Podman");
			set_text(&g->version, json_get(m, "Version"));
		}
		free(name);
	}
}

static int read_version(struct engine *g, int *min, int *max, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = "GET",
		                          .path = "/version",
		                          .unversioned = true };
	struct http_reply reply = { 0 };
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };
	int rc = send_once(g, &r, &reply, d, e);

	if (rc == 0 && reply.status == 200)
		doc = json_parse(buf_str(&reply.body), HTTP_BODY_MAX, &ignored);
	if (doc) {
		struct json v = json_root(doc);

		if (minor_in(json_get(v, "ApiVersion")))
			*max = minor_in(json_get(v, "ApiVersion"));
		*min = minor_in(json_get(v, "MinAPIVersion"));
		set_text(&g->version, json_get(v, "Version"));
		set_text(&g->arch, json_get(v, "Arch"));
		read_components(g, json_get(v, "Components"));
	}
	json_doc_free(doc);
	http_reply_free(&reply);
	return rc;
}

/* "Docker/20.10.24 (linux)", or "Libpod/4.3.1 (linux)" of Podman. */
static void read_server(struct engine *g, struct str server)
{
	struct str name, version;

	if (!str_next(&server, '/', &name) || !str_next(&server, ' ', &version) ||
	    !(str_eq(name, "Docker") || str_eq(name, "Libpod")))
		return;
	free(g->name);
	g->name = mem_dup(str_eq(name, "Docker") ? "Docker" : "Podman");
	free(g->version);
	g->version = mem_dupn(version.p, version.n);
}

static int ping(struct engine *g, int *max, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = "GET", .path = "/_ping", .unversioned = true };
	struct http_reply reply = { 0 };
	int rc = send_once(g, &r, &reply, d, e);

	if (rc == 0 && reply.status >= 500)
		rc = engine_refused(&r, &reply, e);
	else if (rc == 0) {
		*max = minor_of(http_head_get(&reply.h, "Api-Version"));
		read_server(g, http_head_get(&reply.h, "Server"));
	}
	http_reply_free(&reply);
	return rc;
}

static int choose(struct engine *g, int min, int max, struct err *e)
{
	const char *forced = getenv("DOCKER_API_VERSION");

	if (!max)
		max = 41; /* an engine that does not say: the oldest we support in full */
	if (min > ENGINE_API_MAX)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"engine at %s is too new: its API begins at 1.%d, this runner speaks up to "
			"1.%d; update daytona-runner",
			g->where, min, ENGINE_API_MAX);
	if (max < ENGINE_API_MIN)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"engine at %s is too old: its API ends at 1.%d, this runner needs 1.%d; "
			"update the engine",
			g->where, max, ENGINE_API_MIN);
	g->api = max < ENGINE_API_MAX ? max : ENGINE_API_MAX;
	if (forced && *forced && !g->warned) {
		int v = minor_of(str_of(forced));

		g->warned = true;
		log_warn("DOCKER_API_VERSION=%s %s", forced,
		         v >= ENGINE_API_MIN && v <= g->api && v >= min
		                 ? "overrides the negotiated API version"
		                 : "is outside of what engine and runner speak; it is not used");
		if (v >= ENGINE_API_MIN && v <= g->api && v >= min)
			g->api = v;
	}
	return 0;
}

int engine_hello(struct engine *g, struct deadline d, struct err *e)
{
	struct deadline limit = deadline_min(d, deadline_in_ms(g->call_ms));
	int min = 0, max = 0;

	if (g->api)
		return 0;
	if (g->remote && remote_connect(g->remote, d, e) < 0)
		return -1;
	free(g->name);
	g->name = mem_dup("Docker");
	if (ping(g, &max, limit, e) < 0)
		return -1;
	/* The engine runs programs to answer that: 10 to 25 ms. On this machine only its oldest version is news, and too new a
	 * one refuses the first call. */
	if (g->local && g->version && max && !g->doubted && sizeof(void *) == 8)
		g->arch = mem_dup(agent_host_arch());
	else if (read_version(g, &min, &max, limit, e) < 0)
		return -1;
	if (!g->version)
		g->version = mem_dup("");
	if (!g->arch)
		g->arch = mem_dup("");
	if (choose(g, min, max, e) < 0)
		return -1;
	container_find_ours(g, limit);
	return 0;
}

static bool version_refused(const struct http_reply *reply)
{
	return reply->status == 400 && str_find(buf_str(&reply->body), "client version");
}

int engine_send(struct engine *g, const struct engine_request *r, struct http_reply *reply,
                struct deadline d, struct err *e)
{
	if (engine_hello(g, d, e) < 0 || send_once(g, r, reply, d, e) < 0)
		return -1;
	if (!version_refused(reply) || r->body_source)
		return 0;
	/* The engine was replaced under us: ask again what it speaks. */
	http_reply_free(reply);
	g->api = 0;
	g->doubted = true;
	if (engine_hello(g, d, e) < 0)
		return -1;
	return send_once(g, r, reply, d, e);
}

int engine_refused(const struct engine_request *r, const struct http_reply *reply, struct err *e)
{
	struct str shown = short_path(r->path), text;
	struct buf message = { 0 }, clean = { 0 };
	struct err ignored = { 0 };
	struct json_doc *doc = json_parse(buf_str(&reply->body), HTTP_BODY_MAX, &ignored);

	if (!doc || !json_string(json_get(json_root(doc), "message"), &message))
		buf_add_str(&message, buf_str(&reply->body));
	text = str_trim(buf_str(&message));
	if (text.n > MESSAGE_MAX)
		text.n = MESSAGE_MAX;
	buf_add_printable(&clean, text, false);
	err_set(e, reply->status == 404 ? ERR_NOT_FOUND : ERR_HTTP, reply->status,
	        "%s %.*s: %d: %s", r->method, STR_ARG(shown), reply->status,
	        clean.n ? buf_cstr(&clean) : "the engine gave no reason");
	json_doc_free(doc);
	buf_free(&message);
	buf_free(&clean);
	return -1;
}

int engine_call_ms(struct engine *g, const char *method, const char *path, struct str body,
                   struct json_doc **doc, int64_t ms, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = method, .path = path, .body = body };
	struct http_reply reply = { 0 };
	int rc = engine_send(g, &r, &reply, deadline_min(d, deadline_in_ms(ms)), e);

	if (doc)
		*doc = NULL;
	if (rc == 0 && (reply.status < 200 || (reply.status >= 300 && reply.status != 304)))
		rc = engine_refused(&r, &reply, e);
	else if (rc == 0 && doc && reply.body.n) {
		*doc = json_parse(buf_str(&reply.body), HTTP_BODY_MAX, e);
		if (!*doc)
			rc = err_wrap(e, "%s %.*s: answer of the engine", method,
			              STR_ARG(short_path(path)));
	}
	http_reply_free(&reply);
	return rc;
}

int engine_call(struct engine *g, const char *method, const char *path, struct str body,
                struct json_doc **doc, struct deadline d, struct err *e)
{
	return engine_call_ms(g, method, path, body, doc, g->call_ms, d, e);
}

void engine_add_filter(struct buf *path, const char *key, const char *const *values, size_t n)
{
	struct buf json = { 0 };

	jw_obj(&json);
	jw_key(&json, key);
	jw_arr(&json);
	for (size_t i = 0; i < n; i++)
		jw_str(&json, str_of(values[i]));
	jw_arr_end(&json);
	jw_obj_end(&json);
	buf_adds(path, "filters=");
	buf_add_urlenc(path, buf_str(&json));
	buf_free(&json);
}
