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

int engine_open(struct engine *engine, const struct docker_options *o,
                const struct provider_env *env, struct err *e)
{
	*engine = (struct engine){ .env = env, .call_ms = o->call_ms };
	if (o->remote_host) {
		engine->remote = remote_new(o, env, e);
		if (!engine->remote)
			return -1;
		engine->url.scheme = mem_dup("unix");
		engine->url.host = mem_dup("");
		engine->url.path = mem_dup(remote_socket(engine->remote));
		engine->where = mem_dup(remote_name(engine->remote));
	} else if (engine_locate(engine, o, e) < 0) {
		engine_close(engine);
		return -1;
	}
	if (o->host_state_dir && engine->local)
		host_path_set(&engine->dirs, env->state_dir, o->host_state_dir);
	engine->target = (struct conn_target){ .url = &engine->url, .tls = engine->tls };
	engine->http = http_client_new(&engine->target, "daytona-runner");
	return 0;
}

void engine_close(struct engine *engine)
{
	http_client_free(engine->http);
	tls_ctx_free(engine->tls);
	buf_free(&engine->ca_file);
	buf_free(&engine->cert_file);
	buf_free(&engine->key_file);
	url_free(&engine->url);
	remote_free(engine->remote);
	host_path_free(&engine->dirs);
	free(engine->where);
	free(engine->name);
	free(engine->version);
	free(engine->arch);
	*engine = (struct engine){ 0 };
}

bool engine_stopped(const struct engine *engine)
{
	return engine->env->stop && *engine->env->stop;
}

static int stopped(struct err *e)
{
	return err_set(e, ERR_CANCELED, 0, "stopped because the runner was told to end");
}

int engine_sleep(const struct engine *engine, int64_t ms, struct deadline d, struct err *e)
{
	struct deadline until = deadline_min(deadline_in_ms(ms), d);
	struct pollset ps = { 0 };
	int rc = 0;

	while (rc == 0 && !deadline_passed(until) && !engine_stopped(engine)) {
		pollset_reset(&ps);
		pollset_until(&ps, deadline_min(until, deadline_in_ms(SLICE_MS)));
		rc = pollset_wait(&ps, e);
	}
	pollset_free(&ps);
	if (rc == 0 && engine_stopped(engine))
		return stopped(e);
	if (rc == 0 && deadline_passed(d))
		return err_set(e, ERR_TIMEOUT, 0, "the time for this is over");
	return rc;
}

static int exchange(struct engine *engine, const struct http_request *req, struct http_reply *reply,
                    struct deadline d, struct err *e)
{
	enum http_progress p;
	struct pollset ps = { 0 };
	int rc = -1;

	http_start(engine->http, req, reply, d);
	while ((p = http_step(engine->http, e)) == HTTP_PENDING) {
		if (engine_stopped(engine)) {
			http_abort(engine->http);
			stopped(e);
			goto out;
		}
		pollset_reset(&ps);
		http_poll(engine->http, &ps);
		pollset_until(&ps, deadline_in_ms(SLICE_MS));
		if (pollset_wait(&ps, e) < 0) {
			http_abort(engine->http);
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

static int send_once(struct engine *engine, const struct engine_request *r,
                     struct http_reply *reply, struct deadline d, struct err *e)
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
		buf_addf(&target, "/v1.%d", engine->api);
	buf_adds(&target, r->path);
	req.target = buf_cstr(&target);
	req.fields = fields;
	req.n_fields = n;
	rc = exchange(engine, &req, reply, d, e);
	buf_free(&target);
	if (rc < 0 && e->kind == ERR_TIMEOUT && !r->sink)
		err_set(e, ERR_TIMEOUT, 0, "no answer from the engine in time");
	if (rc < 0 && e->kind != ERR_CANCELED)
		err_wrap(e, "%s %.*s at %s", r->method, STR_ARG(shown), engine->where);
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
static void read_components(struct engine *engine, struct json list)
{
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *name = json_dup_or_empty(json_get(member, "Name"));

		if (strstr(name, "Podman")) {
			free(engine->name);
			engine->name = mem_dup("Podman");
			set_text(&engine->version, json_get(member, "Version"));
		}
		free(name);
	}
}

static int read_version(struct engine *engine, int *min, int *max, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = "GET",
		                          .path = "/version",
		                          .unversioned = true };
	struct http_reply reply = { 0 };
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };
	int rc = send_once(engine, &r, &reply, d, e);

	if (rc == 0 && reply.status == 200)
		doc = json_parse(buf_str(&reply.body), HTTP_BODY_MAX, &ignored);
	if (doc) {
		struct json v = json_root(doc);

		if (minor_in(json_get(v, "ApiVersion")))
			*max = minor_in(json_get(v, "ApiVersion"));
		*min = minor_in(json_get(v, "MinAPIVersion"));
		set_text(&engine->version, json_get(v, "Version"));
		set_text(&engine->arch, json_get(v, "Arch"));
		read_components(engine, json_get(v, "Components"));
	}
	json_doc_free(doc);
	http_reply_free(&reply);
	return rc;
}

/* "Docker/20.10.24 (linux)", or "Libpod/4.3.1 (linux)" of Podman. */
static void read_server(struct engine *engine, struct str server)
{
	struct str name, version;

	if (!str_next(&server, '/', &name) || !str_next(&server, ' ', &version) ||
	    !(str_eq(name, "Docker") || str_eq(name, "Libpod")))
		return;
	free(engine->name);
	engine->name = mem_dup(str_eq(name, "Docker") ? "Docker" : "Podman");
	free(engine->version);
	engine->version = mem_dupn(version.p, version.n);
}

static int ping(struct engine *engine, int *max, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = "GET", .path = "/_ping", .unversioned = true };
	struct http_reply reply = { 0 };
	int rc = send_once(engine, &r, &reply, d, e);

	if (rc == 0 && reply.status >= 500)
		rc = engine_refused(&r, &reply, e);
	else if (rc == 0) {
		*max = minor_of(http_head_get(&reply.h, "Api-Version"));
		read_server(engine, http_head_get(&reply.h, "Server"));
	}
	http_reply_free(&reply);
	return rc;
}

static int choose(struct engine *engine, int min, int max, struct err *e)
{
	const char *forced = getenv("DOCKER_API_VERSION");

	if (!max)
		max = 41; /* an engine that does not say: the oldest we support in full */
	if (min > ENGINE_API_MAX)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"engine at %s is too new: its API begins at 1.%d, this runner speaks up to "
			"1.%d; update daytona-runner",
			engine->where, min, ENGINE_API_MAX);
	if (max < ENGINE_API_MIN)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"engine at %s is too old: its API ends at 1.%d, this runner needs 1.%d; "
			"update the engine",
			engine->where, max, ENGINE_API_MIN);
	engine->api = max < ENGINE_API_MAX ? max : ENGINE_API_MAX;
	if (forced && *forced && !engine->warned) {
		int v = minor_of(str_of(forced));

		engine->warned = true;
		log_warn("DOCKER_API_VERSION=%s %s", forced,
		         v >= ENGINE_API_MIN && v <= engine->api && v >= min
		                 ? "overrides the negotiated API version"
		                 : "is outside of what engine and runner speak; it is not used");
		if (v >= ENGINE_API_MIN && v <= engine->api && v >= min)
			engine->api = v;
	}
	return 0;
}

int engine_hello(struct engine *engine, struct deadline d, struct err *e)
{
	struct deadline limit = deadline_min(d, deadline_in_ms(engine->call_ms));
	int min = 0, max = 0;

	if (engine->api)
		return 0;
	if (engine->remote && remote_connect(engine->remote, d, e) < 0)
		return -1;
	free(engine->name);
	engine->name = mem_dup("Docker");
	if (ping(engine, &max, limit, e) < 0)
		return -1;
	/* The engine runs programs to answer that: 10 to 25 ms. On this machine only its oldest version is news, and too new a
	 * one refuses the first call. */
	if (engine->local && engine->version && max && !engine->doubted && sizeof(void *) == 8)
		engine->arch = mem_dup(agent_host_arch());
	else if (read_version(engine, &min, &max, limit, e) < 0)
		return -1;
	if (!engine->version)
		engine->version = mem_dup("");
	if (!engine->arch)
		engine->arch = mem_dup("");
	if (choose(engine, min, max, e) < 0)
		return -1;
	container_find_ours(engine, limit);
	return 0;
}

static bool version_refused(const struct http_reply *reply)
{
	return reply->status == 400 && str_find(buf_str(&reply->body), "client version");
}

int engine_send(struct engine *engine, const struct engine_request *r, struct http_reply *reply,
                struct deadline d, struct err *e)
{
	if (engine_hello(engine, d, e) < 0 || send_once(engine, r, reply, d, e) < 0)
		return -1;
	if (!version_refused(reply) || r->body_source)
		return 0;
	/* The engine was replaced under us: ask again what it speaks. */
	http_reply_free(reply);
	engine->api = 0;
	engine->doubted = true;
	if (engine_hello(engine, d, e) < 0)
		return -1;
	return send_once(engine, r, reply, d, e);
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

int engine_call_ms(struct engine *engine, const char *method, const char *path, struct str body,
                   struct json_doc **doc, int64_t ms, struct deadline d, struct err *e)
{
	const struct engine_request r = { .method = method, .path = path, .body = body };
	struct http_reply reply = { 0 };
	int rc = engine_send(engine, &r, &reply, deadline_min(d, deadline_in_ms(ms)), e);

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

int engine_call(struct engine *engine, const char *method, const char *path, struct str body,
                struct json_doc **doc, struct deadline d, struct err *e)
{
	return engine_call_ms(engine, method, path, body, doc, engine->call_ms, d, e);
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
