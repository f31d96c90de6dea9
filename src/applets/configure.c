/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure: settings from options, a file of the reference runner, or questions; checked against
 * the Server; then saved at once or not at all. Accepts the line that a v0.53 Server's command
 * line prints.
 */
#include "applets/configure.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/configure_line.h"
#include "applets/join.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mask.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/daemon.h"
#include "host/setup.h"
#include "jobs/provstate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"configure ['LINE' | TOKEN | -] [--api-url URL] [--api-key KEY] [--id ID] [--name NAME] [OPTION...]\n"
	"Changes the settings of this host's runner, checks them against the Server and saves them. On a terminal and "
	"without settings on the command line, shows the current ones and asks for each. LINE is the one that create prints, whole and in quotes, TOKEN one of create --token or server join; - reads it from "
	"standard input.\n"
	"\nSettings also come from DAYTONA_RUNNER_<SECTION>_<KEY>; see daytona-runner config.";

#define CHECK_MS 40000

struct configure {
	struct cli_flags flags;
	const char *config_dir, *import, *providers, *client_id, *providers_dir;
	bool no_check, ask, disable_telemetry, telemetry;
	bool asks_all; /* there is a person who can answer again */
	unsigned rounds;
	char *state_dir; /* before the changes */
	char *join;      /* the secret that registers this runner; NULL: it is registered */
	char **words;    /* operands */
	int n_words;
	struct kv changes;
};

/* What the command line says, as changes for the file. */
static int given_changes(struct configure *o, struct err *e)
{
	int rc = cli_take_key(&o->changes, true, e);

	if (rc == 0 && o->providers)
		rc = setup_select_providers(o->providers, &o->changes, e);
	return rc;
}

/* What came from the environment is kept as well: the runner may be started without it. */
static void keep_environment(const struct config *c, struct kv *changes)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		struct buf name = { 0 }, value = { 0 };

		if (strncmp(c->sources[i], "environment DAYTONA_RUNNER_", 27) != 0)
			continue;
		buf_addf(&name, "%s.%s", config_keys[i].section, config_keys[i].name);
		config_value_text(c, i, &value);
		if (!kv_get(changes, buf_cstr(&name)))
			kv_set(changes, buf_cstr(&name), buf_cstr(&value));
		buf_wipe(&value);
		buf_free(&name);
	}
}

static int check_providers(const struct config *c, bool chosen, struct err *e)
{
	struct setup_provider *list;
	size_t n = setup_providers(c, applet_self_exe(), true, &list, deadline_in_ms(CHECK_MS));
	size_t usable = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		if (!list[i].enabled)
			continue;
		usable += list[i].usable;
		if (list[i].usable) {
			printf("Provider %s is ready.\n", list[i].name);
		} else if (rc == 0 && list[i].enabled && chosen) {
			rc = err_set(e, ERR_CONFIG, 0,
			             "provider %s: %s; --no-check saves it all the same",
			             list[i].name, list[i].why);
		} else {
			printf("Provider %s cannot be used yet: %s\n", list[i].name, list[i].why);
		}
	}
	if (rc == 0 && usable == 0)
		puts("No provider can be used yet; see: daytona-runner provider check");
	setup_providers_free(list, n);
	return rc;
}

static int check(const struct configure *o, const struct config *c, struct err *e)
{
	struct buf notes = { 0 };
	int rc = setup_check_server(c, &notes, deadline_in_ms(CHECK_MS), e);

	if (rc == 0) {
		printf("The Server %s accepts the key of runner %s.\n", c->url, c->id);
		fputs(buf_cstr(&notes), stdout);
		rc = check_providers(c, o->providers != NULL, e);
	} else if (e->kind != ERR_CONFIG) {
		err_wrap(e, "check (--no-check leaves it out)");
	}
	buf_free(&notes);
	return rc;
}

static int save(struct configure *o, const struct config *c, struct err *e)
{
	const char *key = kv_get(&o->changes, "server.key"),
		   *file = kv_get(&o->changes, "server.key_file");

	/* What a provider job had set gives way to what is chosen here. */
	for (size_t i = 0; i < c->n_providers; i++) {
		struct err ignored = { 0 };
		struct buf name = { 0 };

		buf_addf(&name, "provider \"%s\".enabled", c->providers[i].name);
		if (kv_get(&o->changes, buf_cstr(&name)))
			(void)provstate_forget(c->state_dir, c->providers[i].name, &ignored);
		buf_free(&name);
	}
	if (key && *key)
		kv_set(&o->changes, "server.key_file", "");
	else if (file && *file)
		kv_set(&o->changes, "server.key", "");
	return config_save(c->dir, &o->changes, e);
}

static void say_saved(const struct config *c)
{
	struct proc_id who = { 0 };
	struct err ignored = { 0 };
	bool running = daemon_lock_probe(c->state_dir, &who, &ignored) == 1;

	printf("The configuration of runner %s was saved to %s%s.\n", c->name ? c->name : "",
	       c->file, config_place_note(c));
	printf("Next: daytona-runner %s\n", running ? "restart" : "start");
}

/* A tty is asked for everything when nothing was given, for what is missing when something was. */
static int collect(struct configure *o, struct config *c, struct err *e)
{
	struct prompt p;
	bool given = o->changes.n > 0;
	bool terminal = prompt_open(&p);
	int rc = 0;

	if (o->ask && !terminal)
		return err_set(e, ERR_USAGE, 0, "--ask needs a terminal");
	o->asks_all = o->asks_all || o->ask || (terminal && !given);
	if (o->asks_all) {
		if (o->rounds++ == 0)
			configure_show(&p, c);
		rc = configure_ask(&p, c, false, !o->no_check, &o->changes, e);
	} else if (terminal) {
		rc = configure_ask(&p, c, true, !o->no_check, &o->changes, e);
	}
	prompt_close(&p);
	return rc == 0 ? config_apply(c, &o->changes, e) : -1;
}

/* A runner whose state directory is changed under it could be neither found nor stopped any more. */
static int check_state_dir(const struct configure *o, const struct config *c, struct err *e)
{
	struct proc_id who = { 0 };
	struct err ignored = { 0 };

	if (!o->state_dir || strcmp(o->state_dir, c->state_dir) == 0 ||
	    daemon_lock_probe(o->state_dir, &who, &ignored) <= 0)
		return 0;
	return err_set(
		e, ERR_BUSY, 0,
		"the runner (process %ld) uses state directory %s; stop it before changing that",
		(long)who.pid, o->state_dir);
}

static int verify(struct configure *o, struct config *c, struct err *e)
{
	keep_environment(c, &o->changes);
	if (config_require(c, e) < 0)
		return o->asks_all ? -1
		                   : err_hint(e, "give --api-url, --api-key-file, --id and --name, "
		                                 "or run it on a terminal, which asks");
	if (check_state_dir(o, c, e) < 0)
		return -1;
	return o->no_check ? 0 : check(o, c, e);
}

/* Collects until what was collected passes, if there is somebody to ask again; the answers so far are the defaults. */
static int settle(struct configure *o, struct config *c, struct err *e)
{
	while (collect(o, c, e) == 0) {
		if (verify(o, c, e) == 0)
			return 0;
		if (!o->asks_all)
			break;
		fflush(stdout); /* the order on the terminal */
		log_say("configure", e->msg);
		log_say("configure", "nothing is saved yet; correct the settings, or press Ctrl-C");
		err_clear(e);
	}
	return -1;
}

/* The name that was given, or that a person or this host says. */
static int name_runner(struct configure *o, const struct config *c, struct err *e)
{
	char *host = join_host_name(), *answer = NULL;
	struct prompt p;
	int rc = 0;

	if (!c->name && prompt_open(&p)) {
		rc = prompt_line(&p, "Runner name", host, &answer, e);
		prompt_close(&p);
	}
	if (rc == 0)
		kv_set(&o->changes, "runner.name", c->name ? c->name : answer ? answer : host);
	if (rc == 0 && !*kv_get(&o->changes, "runner.name"))
		rc = err_set(e, ERR_USAGE, 0, "the runner needs a name: --name NAME");
	free(answer);
	free(host);
	return rc;
}

/* Nobody has the key of what was just registered. A runner may remove itself. */
static int take_back(const struct config *c, struct err *e)
{
	struct server_link link;
	struct err ignored = { 0 };

	if (server_link_open(&link, c, &ignored) < 0)
		return -1;
	(void)api_runner_delete(link.api, c->id, deadline_in_ms(CLI_CALL_MS), &ignored);
	server_link_close(&link);
	return err_hint(e, "the token is spent; make another one");
}

/* What can be wrong on this host is looked at before: a token is good for one registration. */
static int join(struct configure *o, struct config *c, struct err *e)
{
	struct server_link link = { 0 };
	struct runner_info made = { 0 };
	int rc;

	if (c->id)
		return err_set(e, ERR_EXISTS, 0,
		               "this host is configured as runner %s (%s) already; purge it first, "
		               "or choose another --config-dir",
		               c->id, c->file);
	if (!c->url)
		return err_set(e, ERR_USAGE, 0, "the token has no URL in it; give --api-url URL");
	if (config_check_url(c->url, c->allow_http, e) < 0 || name_runner(o, c, e) < 0 ||
	    check_state_dir(o, c, e) < 0 ||
	    (!o->no_check && check_providers(c, o->providers != NULL, e) < 0))
		return -1;
	keep_environment(c, &o->changes);
	kv_set(&o->changes, "server.key", o->join);
	rc = config_apply(c, &o->changes, e);
	if (rc == 0)
		rc = file_mkdirs(c->dir, 0700, e);
	if (rc == 0 && access(c->dir, W_OK) < 0)
		rc = err_sys(e, errno, "write to %s", c->dir);
	if (rc == 0)
		rc = server_link_open(&link, c, e);
	if (rc == 0)
		rc = join_runner(link.api, c->name, &made, e);
	if (rc == 0) {
		kv_set(&o->changes, "server.key", made.api_key);
		kv_set(&o->changes, "runner.id", made.id);
		rc = config_apply(c, &o->changes, e);
		if (rc == 0 && save(o, c, e) < 0)
			rc = take_back(c, e);
	}
	server_link_close(&link);
	runner_info_free(&made);
	return rc;
}

/* The reference prints its line without quotes: a name of several words comes apart. */
static void join_name(struct configure *o)
{
	const char *first = kv_get(&o->changes, "runner.name");
	struct buf name = { 0 };

	if (o->n_words && !first)
		opts_misuse(usage, "unexpected operand \"%s\"", o->words[0]);
	if (o->n_words)
		buf_adds(&name, first);
	for (int i = 0; i < o->n_words; i++)
		buf_addf(&name, " %s", o->words[i]);
	if (name.n)
		kv_set(&o->changes, "runner.name", buf_cstr(&name));
	buf_free(&name);
}

/* The one in use until now; NULL: none that can be told. */
static char *state_dir_before(const struct configure *o, const struct config *c)
{
	struct config before = { 0 };
	struct err ignored = { 0 };
	char *dir;

	if (!kv_get(&o->changes, "runner.state_dir"))
		return mem_dup(c->state_dir);
	(void)config_look(&before, o->config_dir, NULL, &ignored);
	dir = before.state_dir ? mem_dup(before.state_dir) : NULL;
	config_free(&before);
	return dir;
}

static int configure(struct configure *o, struct err *e)
{
	struct config c = { 0 };
	int rc = -1;

	if (o->import && config_import(o->import, &o->changes, e) < 0)
		return -1;
	if (join_take(&o->changes, o->config_dir, &o->join, e) < 0)
		return -1;
	cli_given(&o->flags, &o->changes);
	join_name(o);
	if (given_changes(o, e) == 0) {
		cli_absolute_paths(&o->changes);
		mask_add(str_of(kv_get(&o->changes, "server.key")));
		rc = config_load(&c, o->config_dir, &o->changes, e);
	}
	if (rc == 0)
		o->state_dir = state_dir_before(o, &c);
	if (rc == 0)
		rc = o->join ? join(o, &c, e) : settle(o, &c, e) == 0 ? save(o, &c, e) : -1;
	if (rc == 0)
		say_saved(&c);
	config_free(&c);
	return rc;
}

static int configure_run(int argc, char **argv)
{
	struct configure *o = mem_alloc(sizeof(*o));
	struct configure_line line = { 0 };
	struct err e = { 0 };
	const struct opt own[] = {
		OPT_GROUP("Options"),
		OPT_STR(0, "providers", "LIST", &o->providers,
		        "providers to enable, separated by commas; others are disabled"),
		OPT_STR(0, "import", "FILE", &o->import,
		        "take the settings of a reference runner's config.json"),
		OPT_FLAG(0, "no-check", &o->no_check, "save without asking the Server"),
		OPT_FLAG(0, "ask", &o->ask, "ask for every setting although some are given"),
		CLI_CONFIG_DIR(&o->config_dir),
		OPT_STR(0, "client-id", "ID", &o->client_id,
		        "accepted; there is no telemetry here"),
		OPT_FLAG(0, "disable-telemetry", &o->disable_telemetry,
		         "accepted; there is no telemetry here"),
		OPT_END,
	};
	int rc = configure_line_take(&line, argc, argv, &e);

	if (line.n) {
		argc = line.n;
		argv = line.words;
	}
	if (rc == 0) {
		o->n_words = opts_parse(cli_opts(&o->flags, own, true, argc, argv), usage, argc,
		                        argv, 0, -1);
		o->words = argv + 1;
		kv_merge(&o->changes, &line.token);
		rc = configure(o, &e);
	}
	configure_line_free(&line);
	kv_free(&o->changes);
	free(o->state_dir);
	mem_free_secret(o->join);
	free(o);
	if (rc == 0)
		return out_flush();
	err_wrap(&e, "%s", e.kind == ERR_CANCELED ? "nothing was changed" : "nothing was saved");
	return applet_fail("configure", &e);
}

const struct applet configure_applet = { .name = "configure",
	                                 .summary = "change the settings of this host's runner",
	                                 .run = configure_run };
