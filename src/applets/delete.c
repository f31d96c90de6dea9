/* SPDX-License-Identifier: Apache-2.0 */
/* delete: removes a runner from the Server, by id or name; asks first, and "no" means no
 * (protocol 12.17). */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/out.h"
#include "host/prompt.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
	"delete [-y] [RUNNER]\n"
	"Removes a runner from the Server. Without RUNNER (id or name) asks which one. Files on the runner's host stay; "
	"purge on that host removes these as well.";

static int confirm(const struct runner_info *r, bool *yes, struct err *e)
{
	struct prompt p;
	int rc;

	if (!prompt_open(&p))
		return err_set(e, ERR_USAGE, 0,
		               "there is no terminal to ask on; confirm with --yes");
	prompt_sayf(
		&p,
		"Remove what depends on a runner first: its target configurations, targets and workspaces stay.\n");
	{
		struct buf q = { 0 };

		buf_adds(&q, "Delete runner ");
		prompt_show(&p, &q, str_of(r->name), 0);
		buf_addf(&q, " (%s)?", r->id);
		rc = prompt_yes(&p, buf_cstr(&q), yes, e);
		buf_free(&q);
	}
	prompt_close(&p);
	return rc;
}

static int delete_one(struct cli_admin *a, const struct runner_info *r, bool yes, struct err *e)
{
	if (cli_check_removable(r, e) < 0)
		return -1;
	if (!yes && confirm(r, &yes, e) < 0)
		return -1;
	if (!yes)
		return err_set(e, ERR_CANCELED, 0, "not confirmed");
	/* By id: when deleted by name the Server forgets to remove its providers (protocol 4). */
	if (api_runner_delete(a->link.api, r->id, deadline_in_ms(CLI_CALL_MS), e) < 0) {
		cli_explain(a, e);
		return err_wrap(e, "delete runner %s", r->name);
	}
	fputs("Runner ", stdout);
	cli_put(r->name);
	printf(" (%s) was deleted from the Server.\n", r->id);
	if (a->own_id && strcmp(a->own_id, r->id) == 0)
		puts("It is the one configured here: stop it and remove its files with: daytona-runner purge --local-only");
	return 0;
}

static int delete_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct runner_info *list = NULL;
	struct err e = { 0 };
	bool yes = false;
	size_t n = 0, i = 0;
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		OPT_FLAG('y', "yes", &yes, "do not ask"),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int operands = opts_parse(opts, usage, argc, argv, 0, 1);
	int rc = cli_admin_open(&a, "delete", &e);

	if (rc == 0)
		rc = cli_runners(&a, &list, &n, &e);
	if (rc == 0)
		rc = operands ? cli_find_runner(&a, list, n, argv[1], &i, &e)
		              : cli_pick_runner(list, n, "Which runner is to be deleted?", &i, &e);
	if (rc == 0)
		rc = delete_one(&a, &list[i], yes, &e);
	cli_free_runners(list, n);
	cli_admin_close(&a);
	if (rc < 0 && e.kind == ERR_CANCELED)
		err_wrap(&e, "nothing was changed");
	return rc < 0 ? applet_fail("delete", &e) : out_flush();
}

const struct applet delete_applet = { .name = "delete",
	                              .summary = "remove a runner from the Server",
	                              .run = delete_run,
	                              .aliases = "remove,rm" };
