/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's credentials, and choosing a runner of the Server. See cli.h. */
#include "applets/cli.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mask.h"
#include "base/mem.h"
#include "host/prompt.h"
#include "server/srv.h"

#include <stdlib.h>
#include <string.h>

#define PROFILES_MAX (1u << 20)
#define LINE_MAX_BYTES 4096

struct credentials {
	char *url, *key;
	char *source;
};

enum {
	FROM_OPTIONS,
	FROM_ENV,
	FROM_RUNNER_ENV,
	FROM_PROFILE,
	FROM_LOCAL_SERVER,
	FROM_OWN,
	SOURCES
};

static void credentials_free(struct credentials *c)
{
	free(c->url);
	mem_free_secret(c->key);
	free(c->source);
	*c = (struct credentials){ 0 };
}

static char *dup_or_null(const char *s)
{
	return s && *s ? mem_dup(s) : NULL;
}

static void from_env(struct credentials *c, const char *url, const char *key)
{
	c->url = dup_or_null(getenv(url));
	c->key = dup_or_null(getenv(key));
	c->source = mem_dup("environment");
}

/* $DAYTONA_CONFIG_DIR, else the user's configuration directory + daytona. NULL if there is none. */
static char *profiles_path(void)
{
	const char *dir = getenv("DAYTONA_CONFIG_DIR"), *xdg = getenv("XDG_CONFIG_HOME"),
		   *home = getenv("HOME");
	struct buf path = { 0 };

	if (dir && *dir)
		buf_addf(&path, "%s/config.json", dir);
	else if (xdg && *xdg)
		buf_addf(&path, "%s/daytona/config.json", xdg);
	else if (home && *home)
		buf_addf(&path, "%s/.config/daytona/config.json", home);
	else
		return NULL;
	return buf_take(&path);
}

/* Read only; a file that is not there or not as expected gives nothing. */
static void from_profile(struct credentials *c)
{
	char *path = profiles_path(), *active = NULL;
	struct buf text = { 0 }, source = { 0 };
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };

	if (path && file_read(path, PROFILES_MAX, &text, &ignored) == 0)
		doc = json_parse(buf_str(&text), PROFILES_MAX, &ignored);
	if (doc)
		active = json_dup(json_get(json_root(doc), "activeProfile"));
	for (struct json p = doc ? json_first(json_get(json_root(doc), "profiles"))
	                         : (struct json){ 0 };
	     active && json_present(p); p = json_next(p)) {
		struct json api = json_get(p, "api");

		if (!json_str_is(json_get(p, "id"), active))
			continue;
		c->url = json_dup(json_get(api, "url"));
		c->key = json_dup(json_get(api, "key"));
		buf_addf(&source, "profile \"%s\" in %s", active, path);
		c->source = buf_take(&source);
		break;
	}
	free(active);
	json_doc_free(doc);
	buf_wipe(&text);
	free(path);
}

char *cli_server_data(const struct config *c, struct err *e)
{
	const char *given = getenv("DAYTONA_RUNNER_CONFIG_DIR");

	return c->dir_given || (given && *given) ? path_join(c->dir, "server")
	                                         : server_default_data(e);
}

/* A `server` of the same user on this machine: who may read its first key administers it. */
static void from_data(struct credentials *c, char *data)
{
	struct err ignored = { 0 };
	char *note = data ? path_join(data, STORE_LOCK_FILE) : NULL;
	char *key_file = data ? path_join(data, CLIENT_KEY_FILE) : NULL;
	struct buf url = { 0 }, key = { 0 };
	struct str line;

	if (data && !c->url && file_read(note, LINE_MAX_BYTES, &url, &ignored) == 0 &&
	    config_read_secret(key_file, &key, &ignored) == 0) {
		line = str_trim(buf_str(&url));
		c->url = line.n ? mem_dupn(line.p, line.n) : NULL;
		c->key = c->url ? mem_dup(buf_cstr(&key)) : NULL;
		c->source = c->url ? mem_dup(key_file) : NULL;
	}
	buf_free(&url);
	buf_wipe(&key);
	free(key_file);
	free(note);
	free(data);
}

static void from_local_server(const struct config *runner, struct credentials *c)
{
	struct err ignored = { 0 };

	from_data(c, cli_server_data(runner, &ignored));
	from_data(c, server_default_data(&ignored));
}

static int from_options(const struct cli_admin *a, struct credentials *c, struct err *e)
{
	struct buf secret = { 0 };

	c->url = dup_or_null(a->url);
	c->source = mem_dup("options");
	if (a->key && a->key_file)
		return err_set(e, ERR_USAGE, 0, "give either --api-key or --api-key-file");
	if (a->key_file && config_read_secret(a->key_file, &secret, e) < 0) {
		buf_wipe(&secret);
		return err_wrap(e, "--api-key-file");
	}
	c->key = a->key_file ? mem_dup(buf_cstr(&secret)) : dup_or_null(a->key);
	buf_wipe(&secret);
	return 0;
}

/* The first source with a URL decides where; a key goes there only if it was given for that
 * place or for none. */
static int choose(struct cli_admin *a, struct credentials *s, struct err *e)
{
	/* The runner's own Server is meant, if it has one; but the key for it is an administrator's, if there is one. */
	static const unsigned char order[SOURCES] = { FROM_OPTIONS, FROM_ENV, FROM_RUNNER_ENV,
		                                      FROM_PROFILE, FROM_OWN, FROM_LOCAL_SERVER };
	const char *url = NULL, *url_source = NULL;
	size_t k;

	for (size_t i = 0; i < SOURCES && !url; i++) {
		url = s[order[i]].url;
		url_source = s[order[i]].source;
	}
	if (!url)
		return err_set(
			e, ERR_USAGE, 0,
			"which Server? Give --api-url and --api-key-file, or set DAYTONA_API_URL and DAYTONA_API_KEY");
	if (config_check_url(url, a->config.allow_http, e) < 0)
		return err_wrap(e, "%s", url_source);
	for (k = 0; k < SOURCES; k++) {
		if (s[k].key && (!s[k].url || url_texts_match(s[k].url, url, true)))
			break;
	}
	if (k == SOURCES)
		return err_set(e, ERR_USAGE, 0,
		               "no API key for %s; give --api-key-file or set DAYTONA_API_KEY",
		               url);
	if (a->config.url && !url_texts_match(a->config.url, url, true)) {
		/* Meant for the runner's own Server. */
		free(a->config.pin_sha256);
		free(a->config.client_cert);
		free(a->config.client_key);
		a->config.pin_sha256 = a->config.client_cert = a->config.client_key = NULL;
	}
	free(a->config.url);
	mem_free_secret(a->config.key);
	a->config.url = mem_dup(url);
	a->config.key = mem_dup(s[k].key);
	mask_add(str_of(s[k].key));
	a->source = mem_dup(s[k].source);
	return 0;
}

void cli_admin_flags(const struct cli_admin *a, struct kv *flags)
{
	if (a->ca_file)
		kv_set(flags, "server.ca_file", a->ca_file);
	if (a->insecure)
		kv_set(flags, "server.insecure", "true");
	if (a->allow_http)
		kv_set(flags, "server.allow_http", "true");
}

static int load(struct cli_admin *a, const char *applet, struct err *e)
{
	struct kv flags = { 0 };
	int rc;

	cli_admin_flags(a, &flags);
	rc = a->strict ? config_load(&a->config, a->config_dir, &flags, e)
	               : cli_look(applet, &a->config, a->config_dir, &flags, e);
	kv_free(&flags);
	return rc;
}

int cli_admin_open(struct cli_admin *a, const char *applet, struct err *e)
{
	struct credentials s[SOURCES] = { 0 };
	int rc = -1;

	if (load(a, applet, e) < 0)
		return -1;
	a->own_id = dup_or_null(a->config.id);
	a->own_url = dup_or_null(a->config.url);
	if (from_options(a, &s[FROM_OPTIONS], e) == 0) {
		from_env(&s[FROM_ENV], "DAYTONA_API_URL", "DAYTONA_API_KEY");
		from_env(&s[FROM_RUNNER_ENV], "DAYTONA_SERVER_API_URL", "DAYTONA_SERVER_API_KEY");
		from_profile(&s[FROM_PROFILE]);
		from_local_server(&a->config, &s[FROM_LOCAL_SERVER]);
		s[FROM_OWN] = (struct credentials){ dup_or_null(a->config.url),
			                            dup_or_null(a->config.key),
			                            mem_dup(CLI_OWN_KEY) };
		rc = choose(a, s, e);
	}
	if (rc == 0)
		rc = server_link_open(&a->link, &a->config, e);
	for (size_t i = 0; i < SOURCES; i++)
		credentials_free(&s[i]);
	return rc;
}

void cli_admin_close(struct cli_admin *a)
{
	server_link_close(&a->link);
	config_free(&a->config);
	free(a->own_id);
	free(a->own_url);
	free(a->source);
	a->own_id = a->own_url = a->source = NULL;
}

int cli_explain(const struct cli_admin *a, struct err *e)
{
	bool own = strcmp(a->source, CLI_OWN_KEY) == 0;

	if (api_verdict(e) != API_KEY)
		return server_hint(e);
	return err_set(e, ERR_DENIED, e->code,
	               "the Server at %s refuses the API key from %s (%d)%s; give %s by "
	               "--api-key-file or DAYTONA_API_KEY",
	               a->config.url, a->source, e->code, own ? ", which is this runner's own" : "",
	               own ? "an administrator's" : "a valid one");
}

int cli_runners(const struct cli_admin *a, struct runner_info **list, size_t *n, struct err *e)
{
	if (api_runners(a->link.api, list, n, deadline_in_ms(CLI_CALL_MS), e) == 0)
		return 0;
	if (api_verdict(e) != API_KEY)
		err_wrap(e, "list the runners on %s", a->config.url);
	return cli_explain(a, e);
}

void cli_free_runners(struct runner_info *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		runner_info_free(&list[i]);
	free(list);
}

int cli_find_runner(const struct cli_admin *a, const struct runner_info *list, size_t n,
                    const char *id_or_name, size_t *found, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].id, id_or_name) == 0) {
			*found = i;
			return 0;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].name, id_or_name) == 0) {
			*found = i;
			return 0;
		}
	}
	return err_set(e, ERR_NOT_FOUND, 0, "the Server has no runner \"%s\"; %s", id_or_name,
	               strcmp(a->source, CLI_OWN_KEY) == 0
	                       ? "this runner's own key may not show others: give an "
	                         "administrator's by --api-key-file or DAYTONA_API_KEY"
	                       : "see: daytona-runner list");
}

int cli_pick_runner(const struct runner_info *list, size_t n, const char *title, size_t *picked,
                    struct err *e)
{
	struct prompt_item *items;
	struct prompt p;
	int rc;

	if (n == 0)
		return err_set(e, ERR_NOT_FOUND, 0, "the Server has no runners");
	if (!prompt_open(&p))
		return err_set(e, ERR_USAGE, 0,
		               "which runner? Name it: there is no terminal to ask on");
	items = mem_array(n, sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = (struct prompt_item){ list[i].name, list[i].id, list[i].state };
	rc = prompt_pick(&p, title, items, n, picked, e);
	free(items);
	prompt_close(&p);
	return rc;
}

int cli_new_id(char id[13], struct err *e)
{
	unsigned char random[6];

	do {
		struct buf hex = { 0 };

		if (crypto_random(random, sizeof(random), e) < 0)
			return -1;
		buf_add_hex(&hex, random, sizeof(random));
		memcpy(id, buf_cstr(&hex), 13);
		buf_free(&hex);
	} while (strspn(id, "0123456789") == 12);
	return 0;
}

int cli_check_removable(const struct runner_info *r, struct err *e)
{
	if (strcmp(r->id, "local") != 0)
		return 0;
	return err_set(
		e, ERR_UNSUPPORTED, 0,
		"runner \"local\" is a part of the Server; switch it off in the Server's configuration");
}
