/* SPDX-License-Identifier: Apache-2.0 */
/* The Server's own configuration (protocol 3.1). See srv.h. */
#include "server/srv.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "net/url.h"
#include "server/audit.h"

#include <stdlib.h>
#include <unistd.h>

static int config_save(struct srv *s, struct err *e)
{
	char *path = store_path(&s->store, SERVER_CONFIG_FILE);
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "id", s->id);
	jw_key(&b, "config");
	if (s->config.n)
		jw_raw(&b, buf_str(&s->config));
	else
		jw_null(&b);
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_replace(path, 0600, buf_str(&b), e);
	buf_free(&b);
	free(path);
	return rc;
}

int srv_config_load(struct srv *s, struct err *e)
{
	char *path = store_path(&s->store, SERVER_CONFIG_FILE);
	struct buf text = { 0 };
	struct json_doc *doc = NULL;
	int rc = 0;

	if (file_read(path, JSON_BODY_MAX, &text, e) < 0)
		rc = e->kind == ERR_NOT_FOUND ? 0 : -1;
	else if (!(doc = json_parse(buf_str(&text), JSON_BODY_MAX, e)))
		rc = err_wrap(e, "%s", path);
	if (doc && json_is_object(json_get(json_root(doc), "config")))
		normal_config(&s->config, json_get(json_root(doc), "config"));
	s->id = json_dup(json_get(json_root(doc), "id"));
	if (rc == 0 && !s->id) {
		struct buf id = { 0 };

		rc = new_uuid(&id, e);
		s->id = buf_take(&id);
		if (rc == 0)
			rc = config_save(s, e);
	}
	json_doc_free(doc);
	buf_free(&text);
	free(path);
	return rc;
}

#define DEFAULT_IMAGE "daytonaio/workspace-project:latest"
#define DEFAULT_USER "daytona"

/* Without a domain, our own address as one, and port 0: there is no frps. The reference's command line
 * needs an answer, and finds us by it on this machine (a name below localhost is localhost). */
static void add_frps(struct call *c, struct buf *b)
{
	struct srv *s = c->s;
	struct buf base = { 0 }, domain = { 0 };
	struct url u = { 0 };
	struct err e = { 0 };
	bool real = s->opt.frps_domain != NULL, tls = s->tls;

	call_base_url(c, &base);
	if (real) {
		buf_adds(&domain, s->opt.frps_domain);
	} else if (base.n && url_parse(buf_str(&base), &u, &e) == 0) {
		tls = url_is_tls(&u);
		if (url_is_loopback(&u))
			buf_adds(&domain, "localhost");
		else
			buf_adds(&domain, u.host);
		buf_addf(&domain, ":%u", (unsigned)u.port);
	} else {
		buf_addf(&domain, "localhost:%u", (unsigned)httpd_port(s->httpd));
	}
	jw_key(b, "frps");
	jw_obj(b);
	jw_kstr(b, "domain", buf_cstr(&domain));
	jw_kint(b, "port", real ? 7000 : 0);
	jw_kstr(b, "protocol", tls ? "https" : "http");
	jw_obj_end(b);
	url_free(&u);
	buf_free(&base);
	buf_free(&domain);
}

static void write_default(struct call *c, struct buf *b)
{
	struct srv *s = c->s;
	struct buf base = { 0 };
	char *log = store_path(&s->store, "server.log"),
	     *binaries = store_path(&s->store, "binaries");
	uint16_t port = httpd_port(s->httpd);

	call_base_url(c, &base);
	jw_obj(b);
	jw_key(b, "registryUrl");
	buf_addf(b, "\"%s/registry\"", buf_cstr(&base));
	jw_kstr(b, "id", s->id);
	jw_key(b, "serverDownloadUrl");
	buf_addf(b, "\"%s/install.sh\"", buf_cstr(&base));
	add_frps(c, b);
	jw_kint(b, "apiPort", port);
	jw_kint(b, "headscalePort", port == UINT16_MAX ? port : port + 1);
	jw_kstr(b, "binariesPath", binaries);
	jw_key(b, "logFile");
	jw_obj(b);
	jw_kstr(b, "path", log);
	jw_kint(b, "maxSize", 1);
	jw_kint(b, "maxBackups", 1);
	jw_kint(b, "maxAge", 15);
	jw_kbool(b, "localTime", true);
	jw_kbool(b, "compress", false);
	jw_obj_end(b);
	jw_kstr(b, "builderImage", DEFAULT_IMAGE);
	jw_kstr(b, "defaultWorkspaceImage", DEFAULT_IMAGE);
	jw_kstr(b, "defaultWorkspaceUser", DEFAULT_USER);
	jw_kint(b, "localBuilderRegistryPort", 3988);
	jw_kstr(b, "localBuilderRegistryImage", "registry:2.8.3");
	jw_kstr(b, "builderRegistryServer", "local");
	jw_kstr(b, "buildImageNamespace", "");
	jw_kbool(b, "localRunnerDisabled", true);
	jw_kstr(b, "samplesIndexUrl", "");
	jw_obj_end(b);
	free(log);
	free(binaries);
	buf_free(&base);
}

void srv_config_write(struct call *c, struct buf *b)
{
	struct err e = { 0 };
	struct json_doc *doc;

	if (!c->s->config.n) {
		write_default(c, b);
		return;
	}
	doc = json_parse(buf_str(&c->s->config), SIZE_MAX, &e);
	buf_add_str(b, buf_str(&c->s->config));
	if (doc && !json_is_object(json_get(json_root(doc), "frps"))) {
		buf_cut(b, b->n - 1); /* the closing brace */
		add_frps(c, b);
		jw_obj_end(b);
	}
	json_doc_free(doc);
}

char *srv_config_get(struct srv *s, const char *name)
{
	struct err e = { 0 };
	struct json_doc *doc = s->config.n ? json_parse(buf_str(&s->config), SIZE_MAX, &e) : NULL;
	char *value = json_dup(json_get(json_root(doc), name));

	json_doc_free(doc);
	if (!value && strcmp(name, "defaultWorkspaceImage") == 0)
		value = mem_dup(DEFAULT_IMAGE);
	else if (!value && strcmp(name, "defaultWorkspaceUser") == 0)
		value = mem_dup(DEFAULT_USER);
	return value;
}

void srv_config_urls(struct call *c, struct buf *server, struct buf *api)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	int64_t port = 0;

	srv_config_write(c, &text);
	struct json_doc *doc = json_parse(buf_str(&text), SIZE_MAX, &e);
	struct json root = json_root(doc), frps = json_get(root, "frps");
	char *domain = json_dup(json_get(frps, "domain")),
	     *protocol = json_dup(json_get(frps, "protocol"));
	char *id = json_dup_or_empty(json_get(root, "id"));

	/* How they reach us was said outright, or there is no frps. */
	json_i64(json_get(frps, "port"), 0, UINT16_MAX, &port);
	if (domain && protocol && port && !c->s->opt.public_url) {
		buf_addf(server, "%s://%s.%s", protocol, id, domain);
		buf_addf(api, "%s://api-%s.%s", protocol, id, domain);
	} else {
		call_base_url(c, server);
		call_base_url(c, api);
	}
	free(domain);
	free(protocol);
	free(id);
	json_doc_free(doc);
	buf_free(&text);
}

void h_config_get(struct call *c)
{
	struct buf b = { 0 };

	srv_config_write(c, &b);
	reply_json(c, 200, &b);
}

void h_config_set(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 }, old = c->s->config;

	if (!call_body(c, &dto_server_config, &body))
		return;
	c->s->config = (struct buf){ 0 };
	normal_config(&c->s->config, body);
	if (config_save(c->s, &e) < 0) {
		buf_free(&c->s->config);
		c->s->config = old;
		reply_error(c, error_status(&e), "failed to save config: not saved: %s", e.msg);
		return;
	}
	audit_committed(c->s, STR_LIT("[\"change " SERVER_CONFIG_FILE "\"]"));
	buf_free(&old);
	buf_add_str(&b, buf_str(&c->s->config));
	reply_json(c, 200, &b);
}

void h_server_logs(struct call *c)
{
	struct buf b = { 0 };

	buf_adds(&b, "[\"server.log\"]");
	reply_json(c, 200, &b);
}

char *server_default_data(struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct buf b = { 0 };

	if (state && state[0] == '/')
		buf_addf(&b, "%s/daytona-runner-server", state);
	else if (geteuid() == 0 && (!home || !home[0]))
		buf_adds(&b, "/var/lib/daytona-runner-server");
	else if (home && home[0] == '/')
		buf_addf(&b, "%s/.local/state/daytona-runner-server", home);
	if (!b.n) {
		err_set(e, ERR_USAGE, 0, "neither HOME nor XDG_STATE_HOME is set; give --data DIR");
		return NULL;
	}
	return buf_take(&b);
}
