/* SPDX-License-Identifier: Apache-2.0 */
/* provider: the drivers compiled into this program, on this host. */
#include "providers/provider.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/show.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/daemon.h"
#include "host/setup.h"
#include "jobs/provstate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"provider {list | check [NAME] | enable NAME | disable NAME}\n"
	"The providers in this program: which are enabled, and whether this host has what they need. "
	"check exits with 1 if an enabled one (or NAME) cannot be used.";

#define CHECK_MS 30000

static void print_list(const struct setup_provider *list, size_t n)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%-16s  %-8s  %s\n", list[i].name,
		         list[i].enabled ? "enabled" : "disabled",
		         list[i].usable ? "usable" : list[i].why);
	show_lines(buf_str(&b));
	buf_free(&b);
}

static void print_structured(enum cli_format f, const struct setup_provider *list, size_t n)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (size_t i = 0; i < n; i++) {
		struct str rest = str_of(list[i].report), line;

		jw_obj(&b);
		jw_kstr(&b, "name", list[i].name);
		jw_kbool(&b, "enabled", list[i].enabled);
		jw_kbool(&b, "usable", list[i].usable);
		jw_kstr(&b, "why", list[i].why);
		jw_key(&b, "requirements");
		jw_arr(&b);
		while (str_next(&rest, '\n', &line)) {
			if (line.n)
				jw_str(&b, line);
		}
		jw_arr_end(&b);
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	cli_print(f, buf_str(&b));
	buf_free(&b);
}

/* 0 if what was asked about can be used. */
static int print_check(const struct setup_provider *list, size_t n, const char *name)
{
	struct buf b = { 0 };
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		struct str rest = str_of(list[i].report), line;

		if (name && strcmp(list[i].name, name) != 0)
			continue;
		buf_addf(&b, "%s (%s): %s\n", list[i].name,
		         list[i].enabled ? "enabled" : "disabled",
		         list[i].usable ? "usable" : "not usable");
		while (str_next(&rest, '\n', &line)) {
			if (line.n)
				buf_addf(&b, "  %.*s\n", STR_ARG(line));
		}
		if (!list[i].usable && !strstr(list[i].report, list[i].why))
			buf_addf(&b, "  => %s\n", list[i].why);
		bad |= !list[i].usable && (list[i].enabled || name);
	}
	show_lines(buf_str(&b));
	buf_free(&b);
	return bad;
}

static void say_unusable(const struct config *c, const char *name)
{
	struct setup_provider *list;
	size_t n = setup_providers(c, applet_self_exe(), true, &list, deadline_in_ms(CHECK_MS));

	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].name, name) == 0 && !list[i].usable)
			printf("It cannot be used yet: %s\n", list[i].why);
	}
	setup_providers_free(list, n);
}

static int set_enabled(const struct config *c, const char *name, bool on, struct err *e)
{
	struct kv changes = { 0 };
	struct buf key = { 0 };
	struct proc_id who;
	struct err ignored = { 0 };
	int rc = provider_known(name, e);

	buf_addf(&key, "provider \"%s\".enabled", name);
	kv_set(&changes, buf_cstr(&key), on ? "true" : "false");
	if (rc == 0)
		rc = config_save(c->dir, &changes, e);
	/* What a job of the Server had set gives way to what is said on the host. */
	if (rc == 0)
		rc = provstate_forget(c->state_dir, name, e);
	if (rc == 0)
		printf("Provider %s is %s in %s.\n", name, on ? "enabled" : "disabled", c->file);
	if (rc == 0 && on)
		say_unusable(c, name);
	if (rc == 0 && daemon_lock_probe(c->state_dir, &who, &ignored) > 0)
		puts("The running runner takes it over with: daytona-runner restart");
	kv_free(&changes);
	buf_free(&key);
	return rc;
}

static int show(const struct config *c, const char *verb, const char *name, enum cli_format f,
                struct err *e)
{
	struct setup_provider *list;
	size_t n;
	int status = 0;

	if (name && provider_known(name, e) < 0)
		return -1;
	n = setup_providers(c, applet_self_exe(), true, &list, deadline_in_ms(CHECK_MS));
	if (f != CLI_TEXT)
		print_structured(f, list, n);
	else if (strcmp(verb, "check") == 0)
		status = print_check(list, n, name);
	else
		print_list(list, n);
	setup_providers_free(list, n);
	return status;
}

static int provider_run(int argc, char **argv)
{
	struct config c = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *format = NULL, *verb, *name;
	const struct opt opts[] = {
		CLI_FORMAT(&format),
		CLI_CONFIG_DIR(&config_dir),
		OPT_END,
	};
	enum cli_format f;
	bool change;
	int n = opts_parse(opts, usage, argc, argv, 0, 2), rc;

	f = cli_format(usage, format);
	verb = n > 0 ? argv[1] : "list";
	name = n > 1 ? argv[2] : NULL;
	change = strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0;
	if (!change && strcmp(verb, "list") != 0 && strcmp(verb, "ls") != 0 &&
	    strcmp(verb, "check") != 0)
		opts_misuse(usage, "list, check, enable or disable, not \"%s\"", verb);
	if (change && !name)
		opts_misuse(usage, "%s which provider?", verb);
	rc = change ? config_load(&c, config_dir, NULL, &e)
	            : cli_look("provider", &c, config_dir, NULL, &e);
	if (rc == 0 && change)
		rc = set_enabled(&c, name, strcmp(verb, "enable") == 0, &e);
	else if (rc == 0)
		rc = show(&c, verb, name, f, &e);
	config_free(&c);
	if (rc < 0)
		return applet_fail("provider", &e);
	return rc > 0 ? rc : out_flush();
}

const struct applet provider_applet = { .name = "provider",
	                                .summary = "list, check, enable and disable providers",
	                                .run = provider_run,
	                                .aliases = "providers" };
