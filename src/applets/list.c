/* SPDX-License-Identifier: Apache-2.0 */
/* list: the runners that the Server knows (protocol 7.4). */
#include "applets/applets.h"
#include "applets/cli.h"
#include "base/jsonw.h"
#include "base/out.h"
#include "host/prompt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char usage[] = "list [-f json|yaml]\n"
			    "Lists the runners registered on the Server: name, id and state.";

#define TABLE_COLUMNS_MIN 60

static bool wide_terminal(void)
{
	struct winsize ws = { 0 };

	if (!isatty(STDOUT_FILENO))
		return false;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col == 0 ||
	       ws.ws_col >= TABLE_COLUMNS_MIN;
}

static void put_state(const char *state)
{
	for (; *state; state++)
		putchar(isalnum((unsigned char)*state) ? toupper((unsigned char)*state) : '-');
}

static size_t shown_length(const char *s)
{
	struct buf b = { 0 };
	size_t n = 0;

	buf_add_printable(&b, str_of(s), false);
	for (size_t i = 0; i < b.n; i++)
		n += (b.p[i] & 0xc0) != 0x80; /* characters, not bytes */
	buf_free(&b);
	return n;
}

static void put_column(const char *s, size_t width)
{
	size_t n = shown_length(s);

	cli_put(s);
	printf("%*s", (int)(n < width ? width - n + 2 : 2), "");
}

static void print_table(const struct runner_info *list, size_t n)
{
	size_t name = 4, id = 2;

	for (size_t i = 0; i < n; i++) {
		size_t a = shown_length(list[i].name), b = shown_length(list[i].id);

		name = a > name ? a : name;
		id = b > id ? b : id;
	}
	put_column("NAME", name);
	put_column("ID", id);
	puts("STATE");
	for (size_t i = 0; i < n; i++) {
		put_column(list[i].name, name);
		put_column(list[i].id, id);
		put_state(list[i].state);
		putchar('\n');
	}
}

static void print_blocks(const struct runner_info *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fputs(i ? "\nName:  " : "Name:  ", stdout);
		cli_put(list[i].name);
		fputs("\nID:    ", stdout);
		cli_put(list[i].id);
		fputs("\nState: ", stdout);
		put_state(list[i].state);
		putchar('\n');
	}
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
	else if (rc == 0 && wide_terminal())
		print_table(list, n);
	else if (rc == 0)
		print_blocks(list, n);
	cli_free_runners(list, n);
	cli_admin_close(&a);
	return rc < 0 ? applet_fail("list", &e) : out_flush();
}

const struct applet list_applet = { .name = "list",
	                            .summary = "list the runners on the Server",
	                            .run = list_run,
	                            .aliases = "ls" };
