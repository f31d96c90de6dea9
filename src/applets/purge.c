/* SPDX-License-Identifier: Apache-2.0 */
/*
 * purge: removes a runner from the Server, chosen from the list of all; if it is the one configured
 * here, stops it and removes its files as well. Nothing is changed before the last question is
 * answered.
 */
#include "applets/purge.h"

#include "applets/applets.h"
#include "base/mem.h"
#include "base/out.h"
#include "base/spell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
	"purge [-y] [--local-only] [RUNNER]\n"
	"Removes a runner from the Server. Without RUNNER (id or name) lists the runners and asks which one; with --yes and "
	"no terminal it is this host's. Shows what "
	"depends on it and asks for confirmation. If it is this host's runner, stops it and removes its service and its "
	"files; workspaces' data are only removed with --purge-data.";

static void show_named(const char *kind, const char *name, const char *id)
{
	printf("  %s ", kind);
	cli_put(name);
	printf(" (%s)\n", id);
}

static size_t show_configs(struct api *api, const char *runner_id, struct err *e)
{
	struct target_config *list = NULL;
	size_t n = 0, shown = 0;

	if (api_target_configs(api, &list, &n, deadline_in_ms(CLI_CALL_MS), e) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].provider.runner_id, runner_id) == 0 && !list[i].deleted) {
			show_named("target configuration", list[i].name, list[i].id);
			shown++;
		}
		target_config_free(&list[i]);
	}
	free(list);
	return shown;
}

static size_t show_targets(struct api *api, const char *runner_id, struct err *e)
{
	struct target *list = NULL;
	size_t n = 0, shown = 0;

	if (api_targets(api, &list, &n, deadline_in_ms(CLI_CALL_MS), e) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].config.provider.runner_id, runner_id) == 0) {
			show_named("target", list[i].name, list[i].id);
			shown++;
		}
		target_free(&list[i]);
	}
	free(list);
	return shown;
}

static size_t show_workspaces(struct api *api, const char *runner_id, struct err *e)
{
	struct workspace *list = NULL;
	size_t n = 0, shown = 0;

	if (api_workspaces(api, &list, &n, deadline_in_ms(CLI_CALL_MS), e) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i].target.config.provider.runner_id, runner_id) == 0) {
			show_named("workspace", list[i].name, list[i].id);
			shown++;
		}
		workspace_free(&list[i]);
	}
	free(list);
	return shown;
}

/* A list that cannot be read does not stop the removal, but it is said. */
static void show_dependants(struct purge *p, const struct runner_info *r)
{
	struct api *api = p->admin.link.api;
	struct err e = { 0 };
	size_t n;

	puts("What depends on it stays on the Server and cannot be used any more:");
	n = show_configs(api, r->id, &e);
	n += show_targets(api, r->id, &e);
	n += show_workspaces(api, r->id, &e);
	if (e.kind)
		printf("  (not all could be listed: %s)\n", e.msg);
	else if (n == 0)
		puts("  nothing");
}

static bool is_own(const struct purge *p, const struct runner_info *r)
{
	bool own = p->admin.own_id && strcmp(p->admin.own_id, r->id) == 0;

	/* The same id on another Server is another runner. Ids are random, so a URL that is only
	 * spelled differently (a public name, an address) still means this one. */
	if (own && p->admin.own_url &&
	    !url_texts_match(p->admin.own_url, p->admin.config.url, false))
		own = !p->admin.config.name || strcmp(p->admin.config.name, r->name) == 0;
	return own;
}

static int confirm(struct purge *p, const char *what, struct err *e)
{
	struct buf q = { 0 };
	bool yes = false;
	int rc;

	if (p->yes)
		return 0;
	if (!p->terminal)
		return err_set(e, ERR_USAGE, 0,
		               "there is no terminal to ask on; confirm with --yes");
	fflush(stdout);
	prompt_show(&p->prompt, &q, str_of(what), 0);
	buf_adds(&q, " This cannot be undone.");
	rc = prompt_yes(&p->prompt, buf_cstr(&q), &yes, e);
	buf_free(&q);
	if (rc == 0 && !yes)
		rc = err_set(e, ERR_CANCELED, 0, "not confirmed");
	return rc;
}

static int pick(struct purge *p, const char *operand, struct err *e)
{
	if (cli_runners(&p->admin, &p->list, &p->n, e) < 0)
		return -1;
	/* A script means the runner that it runs beside, as with the reference. */
	if (!operand && p->yes && !p->terminal)
		operand = p->admin.own_id;
	if (operand)
		return cli_find_runner(&p->admin, p->list, p->n, operand, &p->picked, e);
	return cli_pick_runner(p->list, p->n, "Which runner is to be purged?", &p->picked, e);
}

static int remove_from_server(struct purge *p, const struct runner_info *r, struct err *e)
{
	if (api_runner_delete(p->admin.link.api, r->id, deadline_in_ms(CLI_CALL_MS), e) < 0) {
		cli_explain(&p->admin, e);
		return err_wrap(e, "remove runner %s from the Server", r->name);
	}
	fputs("Runner ", stdout);
	cli_put(r->name);
	printf(" (%s) was removed from the Server.\n", r->id);
	return 0;
}

/* The Server is away for good, or has forgotten the runner. */
static int hint_local(struct err *e)
{
	struct err why = *e;

	return err_set(e, why.kind, why.code, "%s; this host's part alone: --local-only", why.msg);
}

/* A script's second run, or one after it was cut off: what is to be gone is gone. why: how that is known. */
static int finish_here(struct purge *p, const char *why, struct err *e)
{
	const struct config *c = &p->admin.config;

	puts(why);
	purge_show_local(p, c);
	if (p->dry_run) {
		puts("Dry run: nothing was changed.");
		return 0;
	}
	return purge_ask_local(p, c, e) < 0 ? -1 : purge_local(p, c, e);
}

static bool names_own(const struct purge *p, const char *operand)
{
	const char *id = p->admin.own_id, *name = p->admin.config.name;

	return !operand || (id && strcmp(operand, id) == 0) || (name && strcmp(operand, name) == 0);
}

/* A name that is nearly another's was mistyped; any other may be of a runner that an earlier run has removed. */
static int none_of_that_name(const struct purge *p, const char *operand, struct err *e)
{
	struct spell s = { .word = str_of(operand) };
	char hint[96];

	for (size_t i = 0; i < p->n; i++)
		(void)spell_try(&s, p->list[i].name);
	if (s.near)
		return err_set(e, ERR_NOT_FOUND, 0, "the Server has no runner \"%s\"%s", operand,
		               spell_hint(&s, "", hint));
	printf("The Server has no runner \"%s\" (any more): nothing to do.\n", operand);
	return 0;
}

/* The runner could not be found, or nobody was there to ask. */
static int not_picked(struct purge *p, const char *operand, struct err *e)
{
	bool own_key = p->admin.source && strcmp(p->admin.source, CLI_OWN_KEY) == 0;

	if (!p->yes || (!operand && p->terminal))
		return p->admin.own_id && e->kind != ERR_CANCELED && e->kind != ERR_USAGE
		               ? hint_local(e)
		               : -1;
	if (!operand && !p->admin.own_id)
		return finish_here(p, "No runner is configured here.", e);
	if (own_key && !names_own(p, operand))
		return -1; /* it may not show others */
	if (e->kind == ERR_NOT_FOUND && !names_own(p, operand))
		return none_of_that_name(p, operand, e);
	if (e->kind == ERR_NOT_FOUND)
		return finish_here(p, "The Server does not have it (any more).", e);
	if (own_key && api_verdict(e) == API_KEY && names_own(p, operand))
		return finish_here(p, "The Server does not accept its key (any more).", e);
	return p->admin.own_id ? hint_local(e) : -1;
}

static int purge_from_server(struct purge *p, const char *operand, struct err *e)
{
	const struct runner_info *r;
	struct buf question = { 0 };
	int rc;

	if (cli_admin_open(&p->admin, "purge", e) < 0)
		return p->yes && !operand && !p->terminal && !p->admin.own_id &&
		                       e->kind == ERR_USAGE
		               ? finish_here(p, "No runner is configured here.", e)
		               : -1;
	if (pick(p, operand, e) < 0)
		return not_picked(p, operand, e);
	r = &p->list[p->picked];
	if (cli_check_removable(r, e) < 0)
		return -1;
	p->own = is_own(p, r);
	show_named("Runner", r->name, r->id);
	show_dependants(p, r);
	if (p->own)
		purge_show_local(p, &p->admin.config);
	if (p->dry_run) {
		puts("Dry run: nothing was changed.");
		return 0;
	}
	buf_addf(&question, "Purge runner %s?", r->name);
	rc = confirm(p, buf_cstr(&question), e);
	buf_free(&question);
	if (rc == 0 && p->own)
		rc = purge_ask_local(p, &p->admin.config, e);
	if (rc < 0)
		return -1;
	if (remove_from_server(p, r, e) < 0)
		return -1;
	return p->own ? purge_local(p, &p->admin.config, e) : 0;
}

static int purge_here(struct purge *p, struct err *e)
{
	struct config *c = &p->admin.config;
	struct kv flags = { 0 };
	int rc;

	if (p->state_dir)
		kv_set(&flags, "runner.state_dir", p->state_dir);
	rc = cli_look("purge", c, p->admin.config_dir, &flags, e);
	kv_free(&flags);
	if (rc < 0)
		return -1;
	purge_show_local(p, c);
	if (p->dry_run) {
		puts("Dry run: nothing was changed.");
		return 0;
	}
	if (confirm(p, "Purge this host's runner? The Server goes on listing it.", e) < 0 ||
	    purge_ask_local(p, c, e) < 0)
		return -1;
	return purge_local(p, c, e);
}

static int purge_run(int argc, char **argv)
{
	struct purge *p = mem_alloc(sizeof(*p));
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		OPT_FLAG('y', "yes", &p->yes, "do not ask"),
		OPT_FLAG(0, "dry-run", &p->dry_run, "only say what would be done"),
		OPT_FLAG(0, "local-only", &p->local_only,
		         "leave the Server alone: this host's part only"),
		OPT_FLAG(0, "keep-data", &p->keep_data, "keep all files on this host"),
		OPT_FLAG(0, "purge-data", &p->purge_data, "remove workspaces' data as well"),
		OPT_STR(0, "state-dir", "DIR", &p->state_dir,
		        "with --local-only: another state directory"),
		CLI_ADMIN_OPTS(&p->admin),
		OPT_END,
	};
	int operands = opts_parse(opts, usage, argc, argv, 0, 1), rc;

	if (p->keep_data && p->purge_data)
		opts_misuse(usage, "--keep-data and --purge-data exclude each other");
	if (p->local_only && operands)
		opts_misuse(
			usage,
			"--local-only is about this host's runner; RUNNER \"%s\" has no place there",
			argv[1]);
	if (p->state_dir && !p->local_only)
		opts_misuse(usage, "--state-dir goes with --local-only");
	p->terminal = prompt_open(&p->prompt);
	rc = p->local_only ? purge_here(p, &e)
	                   : purge_from_server(p, operands ? argv[1] : NULL, &e);
	cli_free_runners(p->list, p->n);
	cli_admin_close(&p->admin);
	prompt_close(&p->prompt);
	free(p);
	if (rc < 0 && e.kind == ERR_CANCELED)
		err_wrap(&e, "nothing was changed");
	return rc < 0 ? applet_fail("purge", &e) : out_flush();
}

const struct applet purge_applet = {
	.name = "purge",
	.summary = "remove a runner from the Server and from this host",
	.run = purge_run
};
