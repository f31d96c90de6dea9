/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler a request goes to, and whether its key may (protocol 2). Paths are decoded before
 * they are cut at slashes, as in the reference. See srv.h.
 */
#include "server/srv.h"

#include "base/mem.h"

#define SEGMENTS_MAX 8

enum auth {
	PUBLIC,
	ANY,    /* any valid key */
	RUNNER, /* a runner's key */
	AGENT,  /* a workspace's or target's key */
};

/* Of two routes that fit, the earlier counts: fixed words come before parameters. */
static const struct route {
	/* These two fill eight bytes. */
	char method[sizeof("DELETE")];
	unsigned char auth; /* enum auth */
	const char *path;
	void (*fn)(struct call *c);
} routes[] = {
	{ "GET", PUBLIC, "/health", h_health },
	{ "GET", PUBLIC, "/install.sh", h_install_script },
	{ "GET", PUBLIC, "/download/:", h_download },
	{ "GET", PUBLIC, "/download/:/:", h_download_version },
	{ "GET", PUBLIC, "/registry/providers/manifest.json", h_manifest },
	{ "GET", ANY, "/server/config", h_config_get },
	{ "PUT", ANY, "/server/config", h_config_set },
	{ "POST", ANY, "/server/network-key", h_network_key },
	{ "GET", ANY, "/server/logs", h_server_logs },
	{ "GET", ANY, "/binary/script", h_binary_script },
	{ "GET", ANY, "/binary/:/:", h_binary_get },
	{ "GET", ANY, "/apikey", h_apikey_list },
	{ "POST", ANY, "/apikey/:", h_apikey_create },
	{ "DELETE", ANY, "/apikey/:", h_apikey_delete },
	{ "GET", ANY, "/runner", h_runner_list },
	{ "POST", ANY, "/runner", h_runner_create },
	{ "GET", ANY, "/runner/provider", h_providers_all },
	{ "GET", ANY, "/runner/provider/for-install", h_providers_for_install },
	{ "GET", ANY, "/runner/:", h_runner_get },
	{ "DELETE", ANY, "/runner/:", h_runner_delete },
	{ "GET", ANY, "/runner/:/provider", h_runner_providers },
	{ "POST", ANY, "/runner/:/provider/:/install", h_provider_install },
	{ "POST", ANY, "/runner/:/provider/:/uninstall", h_provider_uninstall },
	{ "POST", ANY, "/runner/:/provider/:/update", h_provider_update },
	{ "GET", RUNNER, "/runner/:/jobs", h_runner_jobs },
	{ "POST", RUNNER, "/runner/:/jobs/:/state", h_runner_job_state },
	{ "POST", RUNNER, "/runner/:/metadata", h_runner_metadata },
	{ "GET", ANY, "/job", h_job_list },
	{ "POST", ANY, "/job/:/cancel", h_job_cancel },
	{ "GET", ANY, "/target-config", h_target_config_list },
	{ "POST", ANY, "/target-config", h_target_config_create },
	{ "DELETE", ANY, "/target-config/:", h_target_config_delete },
	{ "GET", ANY, "/target", h_target_list },
	{ "POST", ANY, "/target", h_target_create },
	{ "GET", ANY, "/target/:", h_target_get },
	{ "DELETE", ANY, "/target/:", h_target_delete },
	{ "GET", ANY, "/target/:/state", h_target_state },
	{ "POST", ANY, "/target/:/start", h_target_start },
	{ "POST", ANY, "/target/:/stop", h_target_stop },
	{ "POST", ANY, "/target/:/restart", h_target_restart },
	{ "PATCH", ANY, "/target/:/set-default", h_target_default },
	{ "POST", ANY, "/target/:/handle-successful-creation", h_target_created },
	{ "POST", ANY, "/target/:/provider-metadata", h_target_provider_metadata },
	{ "POST", AGENT, "/target/:/metadata", h_target_metadata },
	{ "GET", ANY, "/workspace", h_workspace_list },
	{ "POST", ANY, "/workspace", h_workspace_create },
	{ "GET", ANY, "/workspace/:", h_workspace_get },
	{ "DELETE", ANY, "/workspace/:", h_workspace_delete },
	{ "GET", ANY, "/workspace/:/state", h_workspace_state },
	{ "POST", ANY, "/workspace/:/start", h_workspace_start },
	{ "POST", ANY, "/workspace/:/stop", h_workspace_stop },
	{ "POST", ANY, "/workspace/:/restart", h_workspace_restart },
	{ "POST", ANY, "/workspace/:/labels", h_workspace_labels },
	{ "POST", ANY, "/workspace/:/provider-metadata", h_workspace_provider_metadata },
	{ "POST", AGENT, "/workspace/:/metadata", h_workspace_metadata },
	{ "GET", ANY, "/workspace-template", h_template_list },
	{ "PUT", ANY, "/workspace-template", h_template_set },
	{ "GET", ANY, "/workspace-template/default/:", h_template_for_url },
	{ "GET", ANY, "/workspace-template/:", h_template_get },
	{ "DELETE", ANY, "/workspace-template/:", h_template_delete },
	{ "PATCH", ANY, "/workspace-template/:/set-default", h_template_default },
	{ "GET", ANY, "/build", h_build_list },
	{ "POST", ANY, "/build", h_build_create },
	{ "DELETE", ANY, "/build", h_build_delete_all },
	{ "GET", ANY, "/build/successful/:", h_build_successful },
	{ "GET", ANY, "/build/:", h_build_get },
	{ "DELETE", ANY, "/build/:", h_build_delete },
	{ "GET", ANY, "/env", h_env_list },
	{ "PUT", ANY, "/env", h_env_set },
	{ "DELETE", ANY, "/env/:", h_env_delete },
	{ "GET", ANY, "/container-registry/:", h_registry_get },
	{ "GET", ANY, "/gitprovider", h_git_list },
	{ "PUT", ANY, "/gitprovider", h_git_set },
	{ "POST", ANY, "/gitprovider/context", h_git_context },
	{ "POST", ANY, "/gitprovider/context/url", h_git_context_url },
	{ "GET", ANY, "/gitprovider/for-url/:", h_git_for_url },
	{ "GET", ANY, "/gitprovider/id-for-url/:", h_git_id_for_url },
	{ "GET", ANY, "/gitprovider/:", h_git_get },
	{ "DELETE", ANY, "/gitprovider/:", h_git_delete },
	{ "GET", ANY, "/sample", h_samples },
	{ "GET", ANY, "/log/server", h_log_server },
	{ "GET", ANY, "/log/runner/:", h_log_runner },
	{ "GET", ANY, "/log/workspace/:", h_log_workspace },
	{ "GET", ANY, "/log/target/:", h_log_target },
	{ "GET", ANY, "/log/build/:", h_log_build },
	{ "GET", ANY, "/log/runner/:/write", h_log_runner_write },
	{ "GET", ANY, "/log/workspace/:/write", h_log_workspace_write },
	{ "GET", ANY, "/log/target/:/write", h_log_target_write },
	{ "GET", ANY, "/log/build/:/write", h_log_build_write },
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

static bool fits(const struct route *r, struct str method, const struct path *p,
                 struct str params[PARAMS_MAX])
{
	struct path pattern;
	size_t n = 0;

	if (!str_eq(method, r->method) || !cut(str_of(r->path), &pattern) || pattern.n != p->n)
		return false;
	for (size_t i = 0; i < p->n; i++) {
		bool is_param = str_eq(pattern.part[i], ":");

		if (is_param && p->part[i].n && n < PARAMS_MAX)
			params[n++] = p->part[i];
		else if (is_param || pattern.part[i].n != p->part[i].n ||
		         memcmp(pattern.part[i].p, p->part[i].p, p->part[i].n) != 0)
			return false;
	}
	return true;
}

static const struct route *find(struct str method, const struct path *p,
                                struct str params[PARAMS_MAX])
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (fits(&routes[i], method, p, params))
			return &routes[i];
	return NULL;
}

static void add_html(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '&':
			buf_adds(b, "&amp;");
			break;
		case '<':
			buf_adds(b, "&lt;");
			break;
		case '>':
			buf_adds(b, "&gt;");
			break;
		case '"':
			buf_adds(b, "&#34;");
			break;
		case '\'':
			buf_adds(b, "&#39;");
			break;
		default:
			buf_addc(b, s.p[i]);
		}
	}
}

/* To the path without its last slash, when that is a route. */
static bool redirect(struct call *c, struct path *p)
{
	struct httpd_req *r = c->r;
	struct str params[PARAMS_MAX];
	bool get = str_eq(r->method, "GET");
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
		add_html(&body, buf_str(&to));
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
	                                        : KEY_NONE;
}

static void authenticate(struct call *c)
{
	struct str h = http_head_get(c->r->head, "Authorization");

	if (!h.p || !str_starts(h, "Bearer "))
		return;
	c->key = key_find(c->s, (struct str){ h.p + 7, h.n - 7 });
	if (c->key)
		c->key_type = type_of(c->key);
}

/* Beyond the reference: what acts for a runner takes that runner's key, not any runner's. */
static bool is_own_runner(const struct call *c, const struct route *r)
{
	bool acts = str_starts(str_of(r->path), "/runner/:") &&
	            !(r->auth == ANY && r->method[0] == 'G');

	if (c->s->opt.reference_keys || c->key_type != KEY_RUNNER)
		return true;
	if (!acts && r->fn != h_log_runner_write)
		return true;
	return rec_is(c->key, "name", c->param[0]);
}

static bool allowed(const struct call *c, const struct route *r)
{
	switch (r->auth) {
	case PUBLIC:
		return true;
	case ANY:
		return c->key_type != KEY_NONE && is_own_runner(c, r);
	case RUNNER:
		return c->key_type == KEY_RUNNER && is_own_runner(c, r);
	case AGENT:
		return c->key_type == KEY_WORKSPACE || c->key_type == KEY_TARGET;
	}
	return false;
}

static void run(struct call *c, const struct route *r, const struct str params[PARAMS_MAX])
{
	char *copies[PARAMS_MAX] = { NULL };

	for (size_t i = 0; i < PARAMS_MAX; i++) {
		copies[i] = mem_dupn(params[i].p ? params[i].p : "", params[i].n);
		c->param[i] = copies[i];
	}
	authenticate(c);
	if (allowed(c, r))
		r->fn(c);
	else
		reply_error(c, 401, "unauthorized");
	json_doc_free(c->doc);
	for (size_t i = 0; i < PARAMS_MAX; i++)
		free(copies[i]);
}

void srv_request(void *arg, struct httpd_req *r)
{
	struct call c = { .s = arg, .r = r };
	struct str params[PARAMS_MAX] = { { NULL, 0 } };
	struct buf decoded = { 0 };
	struct path p;
	const struct route *route = NULL;
	bool ok = buf_add_urldec(&decoded, r->path, false) &&
	          !memchr(buf_cstr(&decoded), '\0', decoded.n) && cut(buf_str(&decoded), &p);

	if (ok)
		route = find(r->method, &p, params);
	if (route)
		run(&c, route, params);
	else if (!ok || !redirect(&c, &p))
		not_found(&c);
	buf_free(&decoded);
}
