/* SPDX-License-Identifier: Apache-2.0 */
/* workspaces: what is on this host, by what the host knows itself. */
#include "applets/applets.h"
#include "applets/host.h"
#include "applets/image.h"
#include "applets/show.h"
#include "base/attr.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/out.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"workspaces [-f json|yaml]\n"
	"Lists the workspaces that this host's runner has: state, provider, isolation, and what each uses of processors "
	"(since its start), memory and disk. The Server is not asked.";

#define LOOK_MS 20000 /* for one workspace */
#define ALL_MS 60000  /* an engine may hang */

struct row {
	const struct workspace *ws;
	enum resource_condition condition;
	struct provider_usage usage;
	struct err why; /* what could not be found out */
};

static const char *condition_name(enum resource_condition c)
{
	static const char *const names[] = { [COND_UNKNOWN] = "unknown",
		                             [COND_MISSING] = "missing",
		                             [COND_INCOMPLETE] = "incomplete",
		                             [COND_STOPPED] = "stopped",
		                             [COND_RUNNING] = "running" };

	return names[c];
}

static void look(struct row *r, const struct config *c, struct deadline all)
{
	struct deadline d = deadline_min(all, deadline_in_ms(LOOK_MS));
	struct host_provider p;

	r->usage = (struct provider_usage){ NULL, -1, -1, -1, -1 };
	if (deadline_passed(d)) {
		err_set(&r->why, ERR_TIMEOUT, 0, "not looked at: the others took too long");
		return;
	}
	if (host_provider_open(&p, c, r->ws, &r->why) < 0)
		return;
	if (p.h.p->workspace_condition &&
	    p.h.p->workspace_condition(p.h.self, r->ws, &r->condition, d, &r->why) == 0 &&
	    r->condition > COND_MISSING)
		(void)provider_workspace_usage(&p.h, r->ws, &r->usage, d, &r->why);
	host_provider_close(&p);
}

static void size_text(int64_t n, char text[24])
{
	snprintf(text, 24, "-");
	if (n >= 0)
		image_size_text((uint64_t)n, text);
}

static void cpu_text(int64_t us, char text[24])
{
	snprintf(text, 24, "-");
	if (us >= 0)
		snprintf(text, 24, "%lld.%llds", (long long)(us / 1000000),
		         (long long)(us / 100000 % 10));
}

static void add_number(struct buf *b, const char *key, int64_t n)
{
	jw_key(b, key);
	if (n >= 0)
		jw_int(b, n);
	else
		jw_null(b);
}

static void print_structured(enum cli_format f, const struct row *rows, size_t n)
{
	struct buf b = { 0 };

	jw_arr(&b);
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		jw_obj(&b);
		jw_kstr(&b, "id", r->ws->id);
		jw_kstr(&b, "name", r->ws->name);
		jw_kstr(&b, "state", condition_name(r->condition));
		jw_kstr(&b, "provider", r->ws->target.config.provider.name);
		jw_kstr(&b, "target", r->ws->target_id);
		jw_kstr(&b, "isolation", r->usage.isolation);
		add_number(&b, "cpuMicroseconds", r->usage.cpu_us);
		add_number(&b, "memoryBytes", r->usage.memory_bytes);
		add_number(&b, "diskBytes", r->usage.disk_bytes);
		add_number(&b, "processes", r->usage.processes);
		if (*r->why.msg)
			jw_kstr(&b, "problem", r->why.msg);
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	cli_print(f, buf_str(&b));
	buf_free(&b);
}

static void print_text(const struct row *rows, size_t n)
{
	struct buf table = { 0 };

	buf_adds(&table, "NAME\tID\tSTATE\tPROVIDER\tISOLATION\tCPU\tMEMORY\tDISK\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		const char *isolation = r->usage.isolation ? r->usage.isolation : "-";
		char cpu[24], memory[24], disk[24];

		cpu_text(r->usage.cpu_us, cpu);
		size_text(r->usage.memory_bytes, memory);
		size_text(r->usage.disk_bytes, disk);
		show_cell(&table, r->ws->name);
		buf_addf(&table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r->ws->id,
		         condition_name(r->condition), r->ws->target.config.provider.name,
		         isolation, cpu, memory, disk);
	}
	show_table(buf_str(&table), "16174533");
	buf_free(&table);
	for (size_t i = 0; i < n; i++)
		if (*rows[i].why.msg)
			fprintf(stderr, "%s: %s\n", rows[i].ws->id, rows[i].why.msg);
}

static int workspaces_run(int argc, char **argv)
{
	const char *dir = NULL, *format = NULL;
	const struct opt opts[] = {
		CLI_FORMAT(&format),
		CLI_CONFIG_DIR(&dir),
		OPT_END,
	};
	struct config c = { 0 };
	struct known known = { 0 };
	struct row *rows = NULL;
	struct err e = { 0 };
	enum cli_format f;
	struct deadline all = deadline_in_ms(ALL_MS);
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, format);
	rc = host_workspaces("workspaces", dir, &c, &known, &e);
	rows = mem_array(known.n, sizeof(*rows));
	for (size_t i = 0; i < known.n; i++) {
		rows[i].ws = &known.list[i];
		look(&rows[i], &c, all);
	}
	if (rc == 0 && f != CLI_TEXT)
		print_structured(f, rows, known.n);
	else if (rc == 0 && known.n == 0)
		puts("No workspaces on this host.");
	else if (rc == 0)
		print_text(rows, known.n);
	free(rows);
	known_free(&known);
	config_free(&c);
	return rc < 0 ? applet_fail("workspaces", &e) : out_flush();
}

const struct applet workspaces_applet = { .name = "workspaces",
	                                  .summary = "list the workspaces on this host",
	                                  .run = workspaces_run,
	                                  .aliases = "ps" };
