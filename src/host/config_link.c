/* SPDX-License-Identifier: Apache-2.0 */
/* From a loaded configuration to an opened Server; and the directories of design 3. */
#include "base/attr.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APP "daytona-runner"
#define PASSWD_MAX_BYTES (1u << 20)

/* The home in a line of passwd(5) if it is uid's and there. */
static char *home_of(struct str line, uid_t uid)
{
	struct str f[6]; /* name, password, uid, gid, comment, home */
	int64_t id;
	char *home;

	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		if (!str_next(&line, ':', &f[i]))
			return NULL;
	if (!str_to_i64(f[2], 0, UINT32_MAX, &id) || id != uid || f[5].n < 2 || f[5].p[0] != '/')
		return NULL;
	home = mem_dupn(f[5].p, f[5].n);
	if (!file_is_dir(home)) {
		free(home);
		home = NULL;
	}
	return home;
}

/* HOME, or for an ordinary user what /etc/passwd says. A home of "/" (containers with an
 * invented user id) is none. Caller frees; NULL if there is none. */
static char *home_dir(void)
{
	const char *home = getenv("HOME");
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct str rest, line;
	char *found = NULL;

	if (home && home[0] == '/' && home[1])
		return mem_dup(home);
	if (geteuid() != 0)
		file_read("/etc/passwd", PASSWD_MAX_BYTES, &text, &ignored);
	rest = buf_str(&text);
	while (!found && str_next(&rest, '\n', &line))
		found = home_of(line, geteuid());
	buf_free(&text);
	return found;
}

/* "$variable/daytona-runner", else "<home>/below/daytona-runner"; NULL without e when neither is
 * there. */
static char *xdg_dir(const char *variable, const char *below, struct err *e)
{
	const char *xdg = getenv(variable);
	struct buf path = { 0 };
	char *home;

	if (xdg && *xdg) {
		if (xdg[0] != '/') {
			err_set(e, ERR_CONFIG, 0,
			        "%s=\"%s\" is no absolute path; correct or unset it", variable,
			        xdg);
			return NULL;
		}
		return path_join(xdg, APP);
	}
	home = home_dir();
	if (!home)
		return NULL;
	buf_addf(&path, "%s/%s/" APP, home, below);
	free(home);
	return buf_take(&path);
}

static char *absolute_env(const char *variable)
{
	const char *value = getenv(variable);
	char *cwd, *out;

	if (!value || !*value)
		return NULL;
	if (value[0] == '/')
		return mem_dup(value);
	cwd = getcwd(NULL, 0);
	out = path_join(cwd ? cwd : "/", value);
	free(cwd);
	return out;
}

#define ROOT_DIR "/etc/" APP

static bool has_settings(const char *dir)
{
	char *file = path_join(dir, "runner.ini");
	bool is = file_exists(file);

	free(file);
	return is;
}

/* Root's settings were in its home. Whoever sets a variable means it. */
static bool is_old(const char *dir)
{
	const char *given = getenv("DAYTONA_RUNNER_CONFIG_DIR"), *xdg = getenv("XDG_CONFIG_HOME");
	char *home = geteuid() == 0 && !(given && *given) && !(xdg && *xdg) ? home_dir() : NULL;
	char *old = home ? path_join(home, ".config/" APP) : NULL;
	bool is = old && strcmp(dir, old) == 0;

	free(old);
	free(home);
	return is;
}

char *config_default_dir(struct err *e)
{
	struct err why = { 0 };
	char *dir = absolute_env("DAYTONA_RUNNER_CONFIG_DIR");

	if (!dir)
		dir = xdg_dir("XDG_CONFIG_HOME", ".config", &why);
	if (!dir && why.kind) {
		*e = why;
		return NULL;
	}
	if (dir && is_old(dir) && (has_settings(ROOT_DIR) || !has_settings(dir))) {
		free(dir);
		dir = NULL;
	}
	return dir ? dir : mem_dup(ROOT_DIR);
}

const char *config_place_note(const struct config *c)
{
	return c->file_exists && is_old(c->dir) ? " (an old place; root's is " ROOT_DIR
	                                          ", which counts as soon as runner.ini is there)"
	                                        : "";
}

char *config_default_state_dir(const char *config_dir, struct err *e)
{
	struct err why = { 0 };
	char *env_dir = absolute_env("DAYTONA_RUNNER_CONFIG_DIR"), *dir = NULL;

	if (config_dir && *config_dir)
		dir = path_join(config_dir, "state");
	else if (env_dir)
		dir = path_join(env_dir, "state");
	else if (geteuid() != 0)
		dir = xdg_dir("XDG_STATE_HOME", ".local/state", &why);
	free(env_dir);
	if (!dir && why.kind) {
		*e = why;
		return NULL;
	}
	return dir ? dir : mem_dup("/var/lib/" APP);
}

int config_check_url(const char *url, bool allow_http, struct err *e)
{
	struct url u = { 0 };
	int rc = url_parse(str_of(url), &u, e);

	if (rc == 0 && strcmp(u.scheme, "http") != 0 && strcmp(u.scheme, "https") != 0)
		rc = err_set(e, ERR_CONFIG, 0,
		             "the Server's URL begins with https:// or http://, not %s://",
		             u.scheme);
	if (rc == 0 && !url_is_tls(&u) && !url_is_loopback(&u) && !allow_http)
		rc = err_set(
			e, ERR_CONFIG, 0,
			"http://%s would carry the API key in clear over the network; use https, or allow it with --allow-http (allow_http = true)",
			u.host);
	if (rc == 0 && u.query)
		rc = err_set(e, ERR_CONFIG, 0, "the Server's URL has no \"?\" part");
	if (rc == 0 && (u.user || u.password))
		rc = err_set(
			e, ERR_CONFIG, 0,
			"the Server's URL has no user part; the API key is a setting of its own");
	url_free(&u);
	return rc;
}

static void missing(struct buf *b, bool present, const char *what, const char *env)
{
	if (!present)
		buf_addf(b, "%s%s (%s)", b->n ? ", " : "", what, env);
}

int config_require(const struct config *c, struct err *e)
{
	struct buf list = { 0 };
	int rc = 0;

	missing(&list, c->url && *c->url, "API URL", "DAYTONA_RUNNER_SERVER_URL");
	missing(&list, c->key_problem || (c->key && *c->key) || c->key_command, "API key",
	        "DAYTONA_RUNNER_SERVER_KEY");
	missing(&list, c->id && *c->id, "id", "DAYTONA_RUNNER_RUNNER_ID");
	missing(&list, c->name && *c->name, "name", "DAYTONA_RUNNER_RUNNER_NAME");
	if (list.n)
		rc = err_set(e, ERR_CONFIG, 0, "not configured (%s%s): missing %s", c->file,
		             c->file_exists ? "" : " is not there", buf_cstr(&list));
	else if (c->key_problem)
		rc = err_set(e, c->key_kind, 0, "%s", c->key_problem);
	else if (config_check_url(c->url, c->allow_http, e) < 0)
		rc = err_wrap(e, "API URL");
	buf_free(&list);
	return rc;
}

/* Settings for net/. Strings borrowed from c. */
static void config_tls(const struct config *c, struct tls_settings *out)
{
	*out = (struct tls_settings){
		.ca_file = c->ca_file,
		.ca_dir = c->ca_dir,
		.pin_sha256 = c->pin_sha256,
		.client_cert = c->client_cert,
		.client_key = c->client_key,
		.insecure = c->insecure,
	};
}

int server_link_open(struct server_link *l, const struct config *c, struct err *e)
{
	struct tls_settings tls;
	struct url parsed = { 0 };
	const char *proxy;

	*l = (struct server_link){ 0 };
	if (c->unsure)
		return err_set(e, ERR_CONFIG, 0,
		               "the Server is not asked before [server] in %s is right", c->file);
	if (url_parse(str_of(c->url), &l->url, e) < 0)
		return err_wrap(e, "API URL");
	proxy = proxy_for(&l->url, c->proxy, c->no_proxy);
	if (proxy &&
	    proxy_parse(proxy, &parsed, e) < 0) { /* never past a proxy that was asked for */
		server_link_close(l);
		return err_wrap(e, "proxy");
	}
	url_free(&parsed);
	if (url_is_tls(&l->url)) {
		config_tls(c, &tls);
		if (tls_ctx_new(&l->tls, &tls, false, e) < 0) {
			server_link_close(l);
			return -1;
		}
	}
	if (!(c->key && *c->key) && c->key_command) {
		struct buf key = { 0 };

		if (config_fetch_key(c, NULL, &key, deadline_in_ms(CONFIG_KEY_MS), e) < 0) {
			buf_wipe(&key);
			server_link_close(l);
			return -1;
		}
		l->key = buf_take(&key);
	}
	l->settings = mem_alloc(sizeof(*l->settings));
	*l->settings = (struct api_settings){ .url = &l->url,
		                              .key = l->key ? l->key : c->key,
		                              .tls = l->tls,
		                              .proxy = c->proxy,
		                              .no_proxy = c->no_proxy };
	l->api = api_new(l->settings);
	return 0;
}

void server_link_close(struct server_link *l)
{
	api_free(l->api);
	mem_free_secret(l->key);
	free(l->settings);
	tls_ctx_free(l->tls);
	url_free(&l->url);
	*l = (struct server_link){ 0 };
}

int server_hint(struct err *e)
{
	if (e->kind == ERR_RESOLVE || e->kind == ERR_CONNECT || e->kind == ERR_TIMEOUT)
		err_hint(e, "is the URL right, and does the Server run there?");
	return -1;
}
