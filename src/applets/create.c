/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: registers a runner on the Server and prints what configures it on its host. The key is
 * shown this one time, so everything that can fail is done before the runner is made.
 */
#include "api/token.h"
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/join.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/prompt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"create [-n NAME] [--apply | --env | --token | -f json|yaml]\n"
	"Registers a new runner on the Server and prints the line that configures it on its host. The API key in it is "
	"shown only once.";
#define CA_MAX 16384

#define NAME_MAX_BYTES 255

struct create {
	struct cli_admin admin;
	const char *name_option, *runner_url, *client_id, *format, *join;
	bool env, apply, yes, token;
	char *name;
	char id[13];
	char *url; /* as the runner will reach the Server */
	struct runner_info *list;
	size_t n;
};

static int check_name(const struct create *c, const char *name, struct err *e)
{
	struct str s = str_trim(str_of(name));

	if (s.n == 0)
		return err_set(e, ERR_USAGE, 0, "the name is blank; give --name NAME");
	if (s.n != strlen(name))
		return err_set(e, ERR_USAGE, 0, "the name begins or ends with a blank");
	if (s.n > NAME_MAX_BYTES)
		return err_set(e, ERR_USAGE, 0, "the name is longer than %d bytes", NAME_MAX_BYTES);
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return err_set(e, ERR_USAGE, 0, "the name holds a control character");
	}
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->list[i].name, name) == 0 || strcmp(c->list[i].id, name) == 0)
			return err_set(
				e, ERR_EXISTS, 0,
				"the Server has a runner \"%s\" already; choose another name",
				name);
	}
	return 0;
}

static int ask_name(struct create *c, struct err *e)
{
	struct prompt p;
	int rc = 0;

	if (!prompt_open(&p)) {
		if (c->join)
			c->name = join_host_name();
		return c->name && *c->name
		               ? 0
		               : err_set(e, ERR_USAGE, 0, "the runner needs a name: --name NAME");
	}
	while (rc == 0 && !c->name) {
		struct err why = { 0 };

		rc = prompt_line(&p, "Name of the new runner", NULL, &c->name, e);
		if (rc == 0 && check_name(c, c->name, &why) < 0) {
			prompt_sayf(&p, "%s\n", why.msg);
			free(c->name);
			c->name = NULL;
		}
	}
	prompt_close(&p);
	return rc;
}

static bool id_is_taken(const struct create *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->list[i].id, c->id) == 0 || strcmp(c->list[i].name, c->id) == 0)
			return true;
	}
	return false;
}

static int make_id(struct create *c, struct err *e)
{
	do {
		if (cli_new_id(c->id, e) < 0)
			return -1;
	} while (id_is_taken(c));
	return 0;
}

/* The Server's public URL (protocol 3.1); without one, the URL that this applet used. */
static int find_url(struct create *c, struct err *e)
{
	struct server_config sc = { 0 };
	struct buf b = { 0 };
	struct url u = { 0 };
	int rc = 0;

	if (c->runner_url) {
		buf_adds(&b, c->runner_url);
	} else {
		rc = api_server_config(c->admin.link.api, &sc, deadline_in_ms(CLI_CALL_MS), e);
		if (rc == 0 && sc.frps_domain && *sc.frps_domain && sc.id && *sc.id)
			buf_addf(&b, "%s://api-%s.%s",
			         sc.frps_protocol && *sc.frps_protocol ? sc.frps_protocol : "https",
			         sc.id, sc.frps_domain);
		else if (rc == 0)
			buf_adds(&b, c->admin.config.url);
		server_config_free(&sc);
	}
	if (rc == 0 && config_check_url(buf_cstr(&b), true, e) < 0)
		rc = err_wrap(e, "the runner's URL (--runner-api-url)");
	if (rc == 0)
		rc = url_parse(buf_str(&b), &u, e);
	if (rc == 0) {
		buf_reset(&b); /* without a trailing slash, which the reference does not bear */
		url_display(&u, &b);
		c->url = buf_take(&b);
	}
	buf_free(&b);
	url_free(&u);
	return rc;
}

/* --apply must not replace another runner's identity unasked. */
static int check_apply(const struct create *c, struct err *e)
{
	if (!c->apply || !c->admin.own_id || c->yes)
		return 0;
	return err_set(
		e, ERR_EXISTS, 0,
		"this host is configured as runner %s (%s) already; purge it first, choose another --config-dir, or replace it with --yes",
		c->admin.own_id, c->admin.config.file);
}

/* What the runner needs besides, to reach the Server as this applet did: settings for configure, for its line and for
 * the environment. */
static void needed(const struct create *c, struct kv *settings)
{
	const struct config *a = &c->admin.config;
	struct url u = { 0 };
	struct err ignored = { 0 };

	if (url_parse(str_of(c->url), &u, &ignored) < 0)
		return;
	if (url_is_tls(&u) && a->insecure)
		kv_set(settings, "server.insecure", "true");
	if (url_is_tls(&u) && !a->insecure && a->ca_file)
		kv_set(settings, "server.ca_file", a->ca_file);
	if (url_is_tls(&u) && !a->insecure && a->ca_dir)
		kv_set(settings, "server.ca_dir", a->ca_dir);
	if (url_is_tls(&u) && a->pin_sha256)
		kv_set(settings, "server.pin_sha256", a->pin_sha256);
	if (!url_is_tls(&u) && !url_is_loopback(&u) && a->allow_http)
		kv_set(settings, "server.allow_http", "true");
	url_free(&u);
}

/* What the runner needs to know, as one word. */
static void add_token(struct buf *b, const struct create *c, const struct runner_info *r)
{
	struct kv settings = { 0 };
	struct buf ca = { 0 };
	struct err why = { 0 };
	const char *file;

	needed(c, &settings);
	file = kv_get(&settings, "server.ca_file");
	if (file && file_read(file, CA_MAX, &ca, &why) == 0)
		kv_set(&settings, TOKEN_CA, buf_cstr(&ca));
	else if (file)
		fprintf(stderr, "The CA is not in the token, give --ca-file on the host: %s\n",
		        why.msg);
	kv_set(&settings, "server.url", c->url);
	kv_set(&settings, "server.key", r->api_key);
	kv_set(&settings, "runner.id", r->id);
	kv_set(&settings, "runner.name", r->name);
	token_write(&settings, b);
	kv_free(&settings);
	buf_free(&ca);
}

static int apply(const struct create *c, const struct runner_info *r, struct err *e)
{
	struct kv changes = { 0 };
	int rc;

	kv_set(&changes, "server.url", c->url);
	kv_set(&changes, "server.key", r->api_key);
	kv_set(&changes, "server.key_file", "");
	kv_set(&changes, "runner.id", r->id);
	kv_set(&changes, "runner.name", r->name);
	needed(c, &changes);
	rc = config_save(c->admin.config.dir, &changes, e);
	kv_free(&changes);
	return rc;
}

static void add_needed(struct buf *b, const struct create *c)
{
	struct kv settings = { 0 };

	needed(c, &settings);
	for (size_t i = 0; i < settings.n; i++) {
		const struct config_key *key =
			&config_keys[config_key_index(settings.pairs[i].key)];

		buf_addf(b, " --%s", key->flag);
		if (key->type != CFG_BOOL) {
			buf_addc(b, ' ');
			buf_add_shell(b, str_of(settings.pairs[i].value));
		}
	}
	kv_free(&settings);
}

static void add_identity(struct buf *b, const struct create *c, const struct runner_info *r)
{
	buf_adds(b, " --id ");
	buf_add_shell(b, str_of(r->id));
	buf_adds(b, r->name[0] == '-' ? " --name=" : " --name ");
	buf_add_shell(b, str_of(r->name));
	if (c->client_id) {
		buf_adds(b, " --client-id ");
		buf_add_shell(b, str_of(c->client_id));
	}
}

/* What a shell writes itself is in no process's arguments, which every user of the host may read. */
static void add_line(struct buf *b, const struct create *c, const struct runner_info *r)
{
	buf_adds(b, "printf '%s\\n' ");
	buf_add_shell(b, str_of(r->api_key));
	buf_adds(b, " | daytona-runner configure --api-url ");
	buf_add_shell(b, str_of(c->url));
	buf_adds(b, " --api-key-file -");
	add_identity(b, c, r);
	add_needed(b, c); /* the reference has no such options */
}

/* The reference takes the key as an argument alone. */
static void add_reference_line(struct buf *b, const struct create *c, const struct runner_info *r)
{
	buf_adds(b, "daytona runner configure --api-url ");
	buf_add_shell(b, str_of(c->url));
	buf_adds(b, " --api-key ");
	buf_add_shell(b, str_of(r->api_key));
	add_identity(b, c, r);
}

static void print_structured(enum cli_format f, const struct create *c, const struct runner_info *r)
{
	struct buf b = { 0 }, line = { 0 };

	jw_obj(&b);
	jw_kstr(&b, "id", r->id);
	jw_kstr(&b, "name", r->name);
	jw_kstr(&b, "apiUrl", c->url);
	jw_kstr(&b, "apiKey", r->api_key);
	add_line(&line, c, r);
	jw_kstr(&b, "command", buf_cstr(&line));
	buf_reset(&line);
	add_reference_line(&line, c, r);
	jw_kstr(&b, "referenceCommand", buf_cstr(&line));
	buf_reset(&line);
	add_token(&line, c, r);
	jw_kstr(&b, "token", buf_cstr(&line));
	jw_obj_end(&b);
	cli_print(f, buf_str(&b));
	buf_wipe(&line);
	buf_wipe(&b);
}

static void print_env(const struct create *c, const struct runner_info *r)
{
	struct kv settings = { 0 };

	printf("DAYTONA_RUNNER_SERVER_URL=%s\nDAYTONA_RUNNER_SERVER_KEY=%s\nDAYTONA_RUNNER_RUNNER_ID=%s\n"
	       "DAYTONA_RUNNER_RUNNER_NAME=%s\n",
	       c->url, r->api_key, r->id, r->name);
	needed(c, &settings);
	for (size_t i = 0; i < settings.n; i++) {
		fputs("DAYTONA_RUNNER_", stdout);
		for (const char *p = settings.pairs[i].key; *p; p++)
			putchar(*p == '.' ? '_' : toupper((unsigned char)*p));
		printf("=%s\n", settings.pairs[i].value);
	}
	kv_free(&settings);
}

static void print_token(const struct create *c, const struct runner_info *r)
{
	struct buf token = { 0 };

	add_token(&token, c, r);
	puts(buf_cstr(&token));
	fputs("On the target system: daytona-runner configure TOKEN\n", stderr);
	buf_wipe(&token);
}

/* stdout is a shell script of one line; the comment behind it serves hosts with the reference
 * runner. */
static void print_text(const struct create *c, const struct runner_info *r)
{
	struct buf line = { 0 };
	struct url u = { 0 };
	struct err ignored = { 0 };

	fputs("Runner created. Run this line on the target system:\n", stderr);
	add_line(&line, c, r);
	puts(buf_cstr(&line));
	buf_reset(&line);
	add_reference_line(&line, c, r);
	printf("# with the reference runner instead: %s\n", buf_cstr(&line));
	fflush(stdout);
	fputs("The API key is not shown again. After that, start it with: daytona-runner start\n",
	      stderr);
	if (url_parse(str_of(c->url), &u, &ignored) == 0 && url_is_loopback(&u))
		fputs("The URL in it is only good on this host; for another one give --runner-api-url.\n",
		      stderr);
	else if (!url_is_tls(&u) && !c->admin.config.allow_http)
		fputs("The URL in it is plain http, which carries the key in clear: use https, or say --allow-http here and "
		      "there.\n",
		      stderr);
	url_free(&u);
	buf_wipe(&line);
}

static int report(const struct create *c, const struct runner_info *r, enum cli_format f,
                  struct err *e)
{
	int rc = c->apply ? apply(c, r, e) : 0;

	if (rc < 0)
		fputs("The runner is registered, but this host could not be configured:\n", stderr);
	if (f != CLI_TEXT)
		print_structured(f, c, r);
	else if (c->env)
		print_env(c, r);
	else if (c->token)
		print_token(c, r);
	else if (c->apply && rc == 0)
		printf("Runner %s (%s) is registered and saved to %s.\nNext: daytona-runner start\n",
		       r->name, r->id, c->admin.config.file);
	else
		print_text(c, r);
	return rc;
}

/* Nobody has seen the key then, so nobody could use the runner. */
static int take_back(const struct create *c, struct err *e)
{
	struct err why = { 0 };

	if (c->join)
		return err_set(e, ERR_OTHER, 0,
		               "its key could not be printed, and the token is spent: delete "
		               "runner %s on the Server and make another token",
		               c->id);
	if (api_runner_delete(c->admin.link.api, c->id, deadline_in_ms(CLI_CALL_MS), &why) < 0)
		return err_set(
			e, ERR_OTHER, 0,
			"its key could not be printed, and runner %s cannot be removed again: %s",
			c->id, why.msg);
	return err_set(e, ERR_OTHER, 0,
	               "its key could not be printed, so the runner was removed again");
}

/* As cli_admin_open, with a token's settings under those that were given. */
static int open_join(struct create *c, struct err *e)
{
	struct cli_admin *a = &c->admin;
	struct kv flags = { 0 };
	struct buf word = { 0 };
	char *secret = NULL;
	int rc = strcmp(c->join, "-") == 0 ? config_read_secret("-", &word, e)
	                                   : (buf_adds(&word, c->join), 0);

	if (rc == 0)
		rc = token_read(buf_str(&word), &flags, e);
	if (rc == 0 && a->ca_file)
		(void)kv_del(&flags, TOKEN_CA);
	if (rc == 0)
		rc = join_take(&flags, a->config_dir, &secret, e);
	if (rc == 0 && !secret)
		rc = err_set(e, ERR_USAGE, 0,
		             "the runner in this token is registered already; on its host: "
		             "daytona-runner configure TOKEN");
	if (rc == 0) {
		if (a->url)
			kv_set(&flags, "server.url", a->url);
		cli_admin_flags(a, &flags);
		kv_set(&flags, "server.key", secret);
		rc = config_load(&a->config, a->config_dir, &flags, e);
	}
	if (rc == 0 && !a->config.url)
		rc = err_set(e, ERR_USAGE, 0, "the token has no URL in it; give --api-url URL");
	if (rc == 0)
		rc = config_check_url(a->config.url, a->config.allow_http, e);
	if (rc == 0 && !c->name_option && kv_get(&flags, "runner.name"))
		c->name = mem_dup(kv_get(&flags, "runner.name"));
	if (rc == 0) {
		a->own_id = a->config.id ? mem_dup(a->config.id) : NULL;
		c->runner_url = c->runner_url ? c->runner_url : a->config.url;
		rc = server_link_open(&a->link, &a->config, e);
	}
	mem_free_secret(secret);
	buf_wipe(&word);
	kv_free(&flags);
	return rc;
}

static int create(struct create *c, enum cli_format f, struct err *e)
{
	struct api *api;
	struct runner_info made = { 0 };
	int rc = c->join ? open_join(c, e) : cli_admin_open(&c->admin, "create", e);

	if (rc < 0 || check_apply(c, e) < 0)
		return -1;
	api = c->admin.link.api;
	if (!c->join && cli_runners(&c->admin, &c->list, &c->n, e) < 0)
		return -1;
	if (c->name_option && check_name(c, c->name_option, e) < 0)
		return -1;
	if (c->name_option)
		c->name = mem_dup(c->name_option);
	if (!c->name && ask_name(c, e) < 0)
		return -1;
	if (find_url(c, e) < 0 || make_id(c, e) < 0)
		return -1;
	if (c->join) {
		rc = join_runner(api, c->name, &made, e);
	} else {
		rc = api_runner_create(api, c->id, c->name, &made, deadline_in_ms(CLI_CALL_MS), e);
		if (rc < 0)
			cli_explain(&c->admin, e);
	}
	if (rc == 0 && (!made.api_key || !*made.api_key))
		rc = err_set(
			e, ERR_PARSE, 0,
			"the Server made runner %s but sent no API key; delete it and try again",
			c->id);
	if (rc == 0) {
		mask_add(str_of(made.api_key));
		rc = report(c, &made, f, e);
		if (rc == 0 && !c->apply && out_flush() != 0)
			rc = take_back(c, e);
	}
	runner_info_free(&made);
	return rc;
}

static int create_run(int argc, char **argv)
{
	struct create c = { .admin.strict = true };
	struct err e = { 0 };
	enum cli_format f;
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		OPT_STR('n', "name", "NAME", &c.name_option,
		        "name of the runner; asked for on a terminal"),
		OPT_STR(0, "runner-api-url", "URL", &c.runner_url,
		        "how the runner reaches the Server; default: its public URL"),
		OPT_STR(0, "api-url-for-runner", "URL", &c.runner_url, "the same"),
		OPT_FLAG(0, "apply", &c.apply,
		         "configure this host at once instead of printing the line"),
		OPT_FLAG(0, "env", &c.env, "print variables for a container's environment file"),
		OPT_FLAG(0, "token", &c.token, "print one word in place of the line"),
		OPT_SECRET(0, "join", "TOKEN", &c.join,
		           "a token of `server join`, - is standard input, in place of a key"),
		OPT_FLAG('y', "yes", &c.yes, "with --apply: replace the runner configured here"),
		OPT_STR(0, "client-id", "ID", &c.client_id, "client id for the line"),
		CLI_FORMAT(&c.format),
		CLI_ADMIN_OPTS(&c.admin),
		OPT_END,
	};
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, c.format);
	if (c.env + c.token + c.apply + (f != CLI_TEXT) > 1 && (c.env || c.token))
		opts_misuse(usage, "--%s goes with nothing else that says what to print",
		            c.env ? "env" : "token");
	if (c.join && (c.admin.key || c.admin.key_file))
		opts_misuse(usage, "--join is in place of --api-key");
	rc = create(&c, f, &e);
	free(c.name);
	free(c.url);
	cli_free_runners(c.list, c.n);
	cli_admin_close(&c.admin);
	if (rc < 0 && e.kind == ERR_CANCELED)
		err_wrap(&e, "nothing was changed");
	return rc < 0 ? applet_fail("create", &e) : out_flush();
}

const struct applet create_applet = { .name = "create",
	                              .summary = "register a runner on the Server",
	                              .run = create_run,
	                              .aliases = "add,new" };
