/* SPDX-License-Identifier: Apache-2.0 */
/* list: the runners that the Server knows (protocol 7.4). */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/show.h"
#include "base/jsonw.h"
#include "base/out.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] = "list [-f json|yaml]\n"
			    "Lists the runners registered on the Server: name, id and state.";

/* On a terminal a table; else a block each, as the reference's. */
static void print_text(const struct runner_info *list, size_t n, bool table)
{
	struct buf rows = { 0 };

	buf_adds(&rows, "NAME\tID\tSTATE\n");
	for (size_t i = 0; i < n; i++) {
		struct buf state = { 0 };

		for (const char *p = list[i].state; *p; p++)
			buf_addc(&state,
			         (char)(isalnum((unsigned char)*p) ? toupper((unsigned char)*p)
			                                           : '-'));
		show_cell(&rows, list[i].name);
		show_cell(&rows, list[i].id);
		show_cell(&rows, buf_cstr(&state));
		buf_addc(&rows, '\n');
		if (!table) {
			fputs(i ? "\nName:  " : "Name:  ", stdout);
			cli_put(list[i].name);
			fputs("\nID:    ", stdout);
			cli_put(list[i].id);
			printf("\nState: %s\n", buf_cstr(&state));
		}
		buf_free(&state);
	}
	if (table)
		show_table(buf_str(&rows), "111");
	buf_free(&rows);
}

static void print_structured(enum cli_format format, const struct runner_info *list, size_t n)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (size_t i = 0; i < n; i++) {
		char stamp[TIME_TEXT_SIZE];

		jw_obj(&b);
		jw_kstr(&b, "id", list[i].id);
		jw_kstr(&b, "name", list[i].name);
		jw_kstr(&b, "state", list[i].state);
		jw_kint(&b, "uptime", list[i].uptime);
		jw_kint(&b, "runningJobs", list[i].running_jobs);
		time_rfc3339(list[i].heartbeat_wall_ms, true, true, stamp);
		jw_kstr(&b, "lastHeartbeat", list[i].heartbeat_wall_ms ? stamp : NULL);
		jw_key(&b, "providers");
		jw_arr(&b);
		for (size_t k = 0; k < list[i].n_providers; k++)
			jw_str(&b, str_of(list[i].providers[k].name));
		jw_arr_end(&b);
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	cli_print(format, buf_str(&b));
	buf_free(&b);
}

static int list_run(int argc, char **argv)
{
	struct cli_admin a = { 0 };
	struct runner_info *list = NULL;
	struct err e = { 0 };
	const char *format = NULL;
	size_t n = 0;
	enum cli_format f;
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		CLI_FORMAT(&format),
		CLI_ADMIN_OPTS(&a),
		OPT_END,
	};
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, format);
	rc = cli_admin_open(&a, "list", &e);
	if (rc == 0)
		rc = cli_runners(&a, &list, &n, &e);
	if (rc == 0 && f != CLI_TEXT)
		print_structured(f, list, n);
	else if (rc == 0 && n == 0)
		puts("No runners found. Register one with: daytona-runner create");
	else if (rc == 0)
		print_text(list, n, isatty(STDOUT_FILENO));
	cli_free_runners(list, n);
	cli_admin_close(&a);
	return rc < 0 ? applet_fail("list", &e) : out_flush();
}

const struct applet list_applet = { .name = "list",
	                            .summary = "list the runners on the Server",
	                            .run = list_run,
	                            .aliases = "ls" };
