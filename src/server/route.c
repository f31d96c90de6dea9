/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler a request goes to, and whether its key may (protocol 2). Paths are decoded before
 * they are cut at slashes, as in the reference. See srv.h.
 */
#include "server/role.h"

#include "base/mem.h"
#include "server/audit.h"
#include "server/builds.h"
#include "server/page.h"

#define SEGMENTS_MAX 12
/* Nothing that needs no key takes a body, but a git host's hook; some clients send one all the same. */
#define PUBLIC_BODY_MAX 1024

/* What the reference asks of a key: all that --reference-keys does. It has no such route: REF_OURS. */
enum reference { REF_ANYBODY, REF_ANY_KEY, REF_RUNNER, REF_AGENT, REF_OURS };

/* Kinds of key, as sets. */
enum {
	C = 1 << KEY_CLIENT,
	R = 1 << KEY_RUNNER,
	T = 1 << KEY_TARGET,
	W = 1 << KEY_WORKSPACE,
	J = 1 << KEY_JOIN, /* good for one call */
	EVERYBODY = 1 << KEY_NONE | C | R | T | W | J,
};

/*
 * The one place that says who may do what. A key whose kind is not in the row may not, and of the
 * kinds that are, all but the client's (the administrator) may with their own things only: role.c
 * says whose the thing is that the row's subject names.
 *
 * Of two routes that fit, the earlier counts: fixed words come before parameters. ":" is one segment, "*" all that are
 * left: such a route takes a request's body as it comes.
 */
static const struct route {
	/* These four fill twelve bytes. */
	char method[sizeof("DELETE")];
	unsigned char who;
	unsigned char of;        /* enum subject */
	unsigned char reference; /* enum reference */
	const char *path;
	void (*fn)(struct call *c);
} routes[] = {
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/", h_page },
	{ "POST", EVERYBODY, NOTHING, REF_ANYBODY, "/", h_page_tables },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/health", h_health },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/healthz", h_healthz },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/readyz", h_readyz },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/metrics", h_metrics },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/install.sh", h_install_script },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/download/:", h_download },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/download/:/:", h_download_version },
	{ "GET", EVERYBODY, NOTHING, REF_ANYBODY, "/registry/providers/manifest.json", h_manifest },
	{ "GET", C | R | T | W, NOTHING, REF_ANY_KEY, "/server/config", h_config_get },
	{ "PUT", C, NOTHING, REF_ANY_KEY, "/server/config", h_config_set },
	{ "POST", C, NOTHING, REF_OURS, "/server/restart", h_server_restart },
	{ "POST", C | R | T | W, NOTHING, REF_ANY_KEY, "/server/network-key", h_network_key },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/server/logs", h_server_logs },
	{ "GET", C | R | T | W, NOTHING, REF_ANY_KEY, "/binary/script", h_binary_script },
	{ "GET", C | R | T | W, NOTHING, REF_ANY_KEY, "/binary/:/:", h_binary_get },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/apikey", h_apikey_list },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/apikey/:", h_apikey_create },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/apikey/:", h_apikey_delete },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/runner", h_runner_list },
	{ "POST", C | J, NOTHING, REF_ANY_KEY, "/runner", h_runner_create },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/runner/provider", h_providers_all },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/runner/provider/for-install", h_providers_for_install },
	{ "GET", C | R, A_RUNNER, REF_ANY_KEY, "/runner/:", h_runner_get },
	{ "DELETE", C | R, A_RUNNER, REF_ANY_KEY, "/runner/:", h_runner_delete },
	{ "GET", C | R, A_RUNNER, REF_ANY_KEY, "/runner/:/provider", h_runner_providers },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/runner/:/provider/:/install", h_provider_install },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/runner/:/provider/:/uninstall", h_provider_uninstall },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/runner/:/provider/:/update", h_provider_update },
	{ "POST", R, ITSELF, REF_OURS, "/runner/:/key", h_runner_key },
	{ "GET", R, A_RUNNER, REF_RUNNER, "/runner/:/jobs", h_runner_jobs },
	{ "POST", R, A_RUNNER, REF_RUNNER, "/runner/:/jobs/:/state", h_runner_job_state },
	{ "POST", R, A_RUNNER, REF_RUNNER, "/runner/:/metadata", h_runner_metadata },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/job", h_job_list },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/job/:/cancel", h_job_cancel },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/target-config", h_target_config_list },
	{ "POST", C | R, MANY, REF_ANY_KEY, "/target-config", h_target_config_create },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/target-config/:", h_target_config_delete },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/target", h_target_list },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/target", h_target_create },
	{ "GET", C | R | T | W, A_TARGET, REF_ANY_KEY, "/target/:", h_target_get },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/target/:", h_target_delete },
	{ "GET", C | R | T | W, A_TARGET, REF_ANY_KEY, "/target/:/state", h_target_state },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/target/:/start", h_target_start },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/target/:/stop", h_target_stop },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/target/:/restart", h_target_restart },
	{ "PATCH", C, NOTHING, REF_ANY_KEY, "/target/:/set-default", h_target_default },
	{ "POST", C | R, A_TARGET, REF_ANY_KEY, "/target/:/handle-successful-creation",
	  h_target_created },
	{ "POST", C | R, A_TARGET, REF_ANY_KEY, "/target/:/provider-metadata",
	  h_target_provider_metadata },
	{ "POST", T, A_TARGET, REF_AGENT, "/target/:/metadata", h_target_metadata },
	{ "GET", C | R, MANY, REF_ANY_KEY, "/workspace", h_workspace_list },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace", h_workspace_create },
	{ "GET", C | R | T | W, A_WORKSPACE, REF_ANY_KEY, "/workspace/:", h_workspace_get },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/workspace/:", h_workspace_delete },
	{ "GET", C | R | T | W, A_WORKSPACE, REF_ANY_KEY, "/workspace/:/state", h_workspace_state },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace/:/start", h_workspace_start },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace/:/stop", h_workspace_stop },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace/:/restart", h_workspace_restart },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace/:/labels", h_workspace_labels },
	{ "POST", C | R, A_WORKSPACE, REF_ANY_KEY, "/workspace/:/provider-metadata",
	  h_workspace_provider_metadata },
	{ "POST", W, A_WORKSPACE, REF_AGENT, "/workspace/:/metadata", h_workspace_metadata },
	{ "GET", C, NOTHING, REF_OURS, "/workspace/:/tunnel", h_tunnel_open },
	{ "GET", W, ITSELF, REF_OURS, "/workspace/:/tunnel/poll", h_tunnel_poll },
	{ "GET", W, ITSELF, REF_OURS, "/workspace/:/tunnel/:", h_tunnel_join },
	{ "ANY", C, NOTHING, REF_OURS, "/workspace/:/toolbox/*", h_toolbox },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template", h_template_list },
	{ "PUT", C, NOTHING, REF_ANY_KEY, "/workspace-template", h_template_set },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template/default/:", h_template_for_url },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template/prebuild", h_prebuild_list },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template/:", h_template_get },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/workspace-template/:", h_template_delete },
	{ "PATCH", C, NOTHING, REF_ANY_KEY, "/workspace-template/:/set-default",
	  h_template_default },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template/:/prebuild", h_prebuild_of },
	{ "PUT", C, NOTHING, REF_ANY_KEY, "/workspace-template/:/prebuild", h_prebuild_set },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/workspace-template/:/prebuild/:", h_prebuild_get },
	{ "DELETE", C, NOTHING, REF_ANY_KEY,
	  "/workspace-template/:/prebuild/:", h_prebuild_delete },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/workspace-template/prebuild/process-git-event",
	  h_prebuild_event },
	{ "POST", EVERYBODY, NOTHING, REF_ANYBODY, "/prebuild/webhook-event", h_prebuild_hook },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/build", h_build_list },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/build", h_build_create },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/build", h_build_delete_all },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/build/prebuild/:", h_build_delete_all },
	{ "GET", C | R, NOTHING, REF_ANY_KEY, "/build/successful/:", h_build_successful },
	{ "GET", C | R, NOTHING, REF_ANY_KEY, "/build/:", h_build_get },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/build/:", h_build_delete },
	{ "GET", C | R, NOTHING, REF_ANY_KEY, "/env", h_env_list },
	{ "PUT", C, NOTHING, REF_ANY_KEY, "/env", h_env_set },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/env/:", h_env_delete },
	{ "GET", C | R | T | W, A_REGISTRY, REF_ANY_KEY, "/container-registry/:", h_registry_get },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider", h_git_list },
	{ "PUT", C, NOTHING, REF_ANY_KEY, "/gitprovider", h_git_set },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/gitprovider/context", h_git_context },
	{ "POST", C, NOTHING, REF_ANY_KEY, "/gitprovider/context/url", h_git_context_url },
	{ "GET", C | R | W, A_GIT_URL, REF_ANY_KEY, "/gitprovider/for-url/:", h_git_for_url },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/id-for-url/:", h_git_id_for_url },
	{ "GET", C | R | W, A_GIT, REF_ANY_KEY, "/gitprovider/:", h_git_get },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/:/user", h_git_user },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/:/namespaces", h_git_namespaces },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/:/:/repositories", h_git_repositories },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/:/:/:/branches", h_git_branches },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/gitprovider/:/:/:/pull-requests", h_git_pulls },
	{ "DELETE", C, NOTHING, REF_ANY_KEY, "/gitprovider/:", h_git_delete },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/sample", h_samples },
	{ "GET", C, NOTHING, REF_ANY_KEY, "/log/server", h_log_server },
	{ "GET", C | R, A_RUNNER, REF_ANY_KEY, "/log/runner/:", h_log_runner },
	{ "GET", C | R | W, A_WORKSPACE, REF_ANY_KEY, "/log/workspace/:", h_log_workspace },
	{ "GET", C | R | T, A_TARGET, REF_ANY_KEY, "/log/target/:", h_log_target },
	{ "GET", C | R, NOTHING, REF_ANY_KEY, "/log/build/:", h_log_build },
	{ "GET", C | R, A_RUNNER, REF_ANY_KEY, "/log/runner/:/write", h_log_runner_write },
	{ "GET", C | R, A_WORKSPACE, REF_ANY_KEY, "/log/workspace/:/write", h_log_workspace_write },
	{ "GET", C | R, A_TARGET, REF_ANY_KEY, "/log/target/:/write", h_log_target_write },
	{ "GET", C | R, NOTHING, REF_ANY_KEY, "/log/build/:/write", h_log_build_write },
};

struct path {
	struct str part[SEGMENTS_MAX];
	size_t n;
};

/* "/a/b" is two segments; false for what no route can be. */
static bool cut(struct str text, struct path *p)
{
	p->n = 0;
	if (!text.n || text.p[0] != '/')
		return false;
	text.p++;
	text.n--;
	for (;;) {
		const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
		size_t n = slash ? (size_t)(slash - text.p) : text.n;

		if (p->n == SEGMENTS_MAX)
			return false;
		p->part[p->n++] = (struct str){ text.p, n };
		if (!slash)
			return true;
		text.p = slash + 1;
		text.n -= n + 1;
	}
}

static bool takes_rest(const struct route *r)
{
	return str_ends(str_of(r->path), "*");
}

static bool fits(const struct route *r, struct str method, const struct path *p,
                 struct str params[PARAMS_MAX])
{
	struct path pattern;
	size_t n = 0;

	if (!(str_eq(method, r->method) || strcmp(r->method, "ANY") == 0) ||
	    !cut(str_of(r->path), &pattern))
		return false;
	bool many = takes_rest(r);
	size_t fixed = pattern.n - many;

	if (many ? p->n <= fixed : p->n != fixed)
		return false;
	for (size_t i = 0; i < fixed; i++) {
		bool is_param = str_eq(pattern.part[i], ":");

		if (is_param && p->part[i].n && n < PARAMS_MAX)
			params[n++] = p->part[i];
		else if (is_param || pattern.part[i].n != p->part[i].n ||
		         memcmp(pattern.part[i].p, p->part[i].p, p->part[i].n) != 0)
			return false;
	}
	if (many && n < PARAMS_MAX) {
		struct str last = p->part[p->n - 1];

		params[n].p = p->part[fixed].p;
		params[n].n = (size_t)(last.p + last.n - params[n].p);
	}
	return true;
}

/* HEAD is GET without a body (RFC 9110 9.3.2), which the HTTP server leaves out. */
static const struct route *find(struct str method, const struct path *p,
                                struct str params[PARAMS_MAX])
{
	if (str_eq(method, "HEAD"))
		method = STR_LIT("GET");
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (fits(&routes[i], method, p, params))
			return &routes[i];
	return NULL;
}

/* To the path without its last slash, when that is a route. */
static bool redirect(struct call *c, struct path *p)
{
	struct httpd_req *r = c->r;
	struct str params[PARAMS_MAX];
	bool get = str_eq(r->method, "GET") || str_eq(r->method, "HEAD");
	struct buf to = { 0 }, fields = { 0 }, body = { 0 };

	if (p->n < 2 || p->part[p->n - 1].n || !str_ends(r->path, "/"))
		return false;
	p->n--;
	if (!find(r->method, p, params))
		return false;
	buf_add(&to, r->path.p, r->path.n - 1);
	if (r->query.n)
		buf_addf(&to, "?%.*s", STR_ARG(r->query));
	buf_addf(&fields, "Location: %s\r\n", buf_cstr(&to));
	if (get) {
		buf_adds(&body, "<a href=\"");
		html_add(&body, buf_str(&to));
		buf_adds(&body, "\">Moved Permanently</a>.\n\n");
	}
	httpd_respond(r, get ? 301 : 307, get ? "text/html; charset=utf-8" : NULL,
	              buf_cstr(&fields), buf_str(&body));
	buf_free(&to);
	buf_free(&fields);
	buf_free(&body);
	return true;
}

static void not_found(struct call *c)
{
	struct buf fields = { 0 };

	buf_addf(&fields, "X-Server-Version: %s\r\n", c->s->opt.version);
	httpd_respond(c->r, 404, "text/plain", buf_cstr(&fields), STR_LIT("404 page not found"));
	buf_free(&fields);
}

static enum key_type type_of(const struct rec *key)
{
	const char *type = rec_text(key, "type");

	return strcmp(type, "client") == 0      ? KEY_CLIENT
	       : strcmp(type, "runner") == 0    ? KEY_RUNNER
	       : strcmp(type, "target") == 0    ? KEY_TARGET
	       : strcmp(type, "workspace") == 0 ? KEY_WORKSPACE
	       : strcmp(type, "join") == 0      ? KEY_JOIN
	                                        : KEY_NONE;
}

void call_take_key(struct call *c, struct str key)
{
	c->key = key_find(c->s, key);
	if (!c->key)
		return;
	key_used(c->s, c->key);
	c->key_type = type_of(c->key);
	httpd_vouch(c->r);
	if (c->s->opt.access_log) {
		struct buf who = { 0 };

		audit_who(&who, c->key);
		httpd_name(c->r, buf_str(&who));
		buf_free(&who);
	}
}

/* Of a WebSocket that a browser opens: it can name protocols, but no other header. */
static struct str offered_key(const struct http_head *head)
{
	static const char mark[] = SRV_WS_PROTOCOL ".key.";
	struct str list = http_head_get(head, "Sec-WebSocket-Protocol"), piece;

	while (head->upgrade && str_next(&list, ',', &piece)) {
		piece = str_trim(piece);
		if (str_starts(piece, mark))
			return (struct str){ piece.p + sizeof(mark) - 1,
				             piece.n - (sizeof(mark) - 1) };
	}
	return (struct str){ NULL, 0 };
}

/* Two Authorization headers are none: who is in front of us may have looked at the other. */
static void authenticate(struct call *c)
{
	struct str h = { NULL, 0 };

	for (size_t i = 0; i < c->r->head->n_headers; i++) {
		if (!str_ieq(c->r->head->headers[i].name, "Authorization"))
			continue;
		if (h.p)
			return;
		h = c->r->head->headers[i].value;
	}
	if (!h.p)
		call_take_key(c, offered_key(c->r->head));
	else if (str_starts(h, "Bearer "))
		call_take_key(c, (struct str){ h.p + 7, h.n - 7 });
}

static bool reference_allows(const struct call *c, const struct route *r)
{
	switch ((enum reference)r->reference) {
	case REF_ANYBODY:
		return true;
	case REF_ANY_KEY:
		return c->key_type != KEY_NONE;
	case REF_RUNNER:
		return c->key_type == KEY_RUNNER;
	case REF_AGENT:
		return c->key_type == KEY_WORKSPACE || c->key_type == KEY_TARGET;
	case REF_OURS:
		break;
	}
	return false;
}

/* --reference-keys goes around the table, except for what the reference does not have. */
static bool is_loose(const struct call *c, const struct route *r)
{
	return c->s->opt.reference_keys && r->reference != REF_OURS && c->key_type != KEY_JOIN;
}

/* Is the row for that kind of key? */
static bool kind_may(const struct call *c, const struct route *r)
{
	return r->who == EVERYBODY ||
	       (is_loose(c, r) ? reference_allows(c, r)
	                       : c->key_type != KEY_NONE && (r->who & 1u << c->key_type));
}

bool call_may(const struct call *c, const char *method, const char *path)
{
	struct str params[PARAMS_MAX];
	struct path p;
	const struct route *r = cut(str_of(path), &p) ? find(str_of(method), &p, params) : NULL;

	return r && kind_may(c, r);
}

/* False: the answer has been sent. */
static bool admitted(struct call *c, const struct route *r)
{
	static const char *const names[] = {
		"", "client", "runner", "target", "workspace", "join"
	};

	if (!kind_may(c, r) && (c->key_type == KEY_NONE || is_loose(c, r)))
		reply_error(c, 401, "unauthorized");
	else if (!kind_may(c, r))
		reply_error(c, 403, "forbidden: a %s key may not do this", names[c->key_type]);
	else if (r->who != EVERYBODY && !is_loose(c, r) &&
	         !role_owns_subject(c, (enum subject)r->of))
		reply_error(c, 403, "forbidden: this is not of the %s that the key belongs to",
		            names[c->key_type]);
	else
		return true;
	return false;
}

/* The one way to a handler: its route if there is one and the key may; else NULL, and the answer has
 * been sent. copies: what c->param points to. */
static const struct route *enter(struct call *c, char *copies[PARAMS_MAX])
{
	struct str params[PARAMS_MAX] = { { NULL, 0 } };
	struct buf decoded = { 0 };
	struct path p;
	const struct route *route = NULL;
	bool ok = buf_add_urldec(&decoded, c->r->path, false) &&
	          !memchr(buf_cstr(&decoded), '\0', decoded.n) && cut(buf_str(&decoded), &p);

	if (ok)
		route = find(c->r->method, &p, params);
	for (size_t i = 0; i < PARAMS_MAX; i++) {
		copies[i] = mem_dupn(params[i].p ? params[i].p : "", params[i].n);
		c->param[i] = copies[i];
	}
	if (!route && (!ok || !redirect(c, &p)))
		not_found(c);
	buf_free(&decoded);
	if (!route)
		return NULL;
	authenticate(c);
	return admitted(c, route) ? route : NULL;
}

static void leave(struct call *c, char *copies[PARAMS_MAX])
{
	json_doc_free(c->doc);
	for (size_t i = 0; i < PARAMS_MAX; i++)
		free(copies[i]);
}

void srv_request(void *arg, struct httpd_req *r)
{
	struct call c = { .s = arg, .r = r };
	char *copies[PARAMS_MAX];
	const struct route *route = enter(&c, copies);

	c.s->call = &c;
	if (route)
		route->fn(&c);
	c.s->call = NULL;
	leave(&c, copies);
}

/* Before a body. It is asked again when the body is there: the key may have gone meanwhile. */
void srv_admit(void *arg, struct httpd_req *r)
{
	struct call c = { .s = arg, .r = r };
	char *copies[PARAMS_MAX];
	const struct route *route = enter(&c, copies);

	if (route && route->fn == h_prebuild_hook && !prebuild_hook_may(&c))
		route = NULL;
	else if (route && route->fn != h_prebuild_hook && route->who == EVERYBODY)
		r->body_max = PUBLIC_BODY_MAX;
	c.s->call = &c;
	if (route && takes_rest(route))
		route->fn(&c);
	c.s->call = NULL;
	leave(&c, copies);
}
