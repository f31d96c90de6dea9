/* SPDX-License-Identifier: Apache-2.0 */
/* check: what is in order and what is not, with the remedy; a report for those who are to help. */
#include "applets/applets.h"
#include "applets/cli.h"
#include "applets/show.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mask.h"
#include "base/out.h"
#include "base/version.h"
#include "host/checkup.h"
#include "host/logview.h"
#include "host/paths.h"
#include "jobs/joblog.h"

#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char usage[] =
	"check [-f json|yaml] [--report FILE]\n"
	"Looks at all that a runner needs: configuration, name, route, TLS, Server, clock, key, id, disk, providers, runner, "
	"service, port. One line each: ok, a note, or what is wrong and the remedy. The exit status is 0 only if nothing "
	"that is needed is wrong.\n"
	"\nA report is a text to send with a question: it has no key, but names of hosts and paths. Read it first.";

#define CHECK_MS 60000
#define LOG_LINES 50
#define PART_MAX (1u << 20)

static void add_rows(const struct checkup *checkup, struct buf *b)
{
	for (size_t i = 0; i < CHECKUP_ROWS; i++) {
		const struct check_row *r = &checkup->rows[i];

		buf_addf(b, "%-7s  %s: ", check_state_name(r->state), r->name);
		buf_add_printable(b, buf_str(&r->text), false);
		buf_addc(b, '\n');
	}
	if (checkup->wrong)
		buf_addf(b, "%u %s wrong; begin with the first.\n", checkup->wrong,
		         checkup->wrong == 1 ? "is" : "are");
	else
		buf_adds(b, "All that is needed is in order.\n");
}

static void print_structured(enum cli_format f, const struct checkup *checkup)
{
	struct buf b = { 0 };

	jw_obj(&b);
	jw_kbool(&b, "ok", !checkup->wrong);
	jw_key(&b, "checks");
	jw_arr(&b);
	for (size_t i = 0; i < CHECKUP_ROWS; i++) {
		jw_obj(&b);
		jw_kstr(&b, "name", checkup->rows[i].name);
		jw_kstr(&b, "state", check_state_name(checkup->rows[i].state));
		jw_kstr(&b, "text", buf_cstr(&checkup->rows[i].text));
		jw_obj_end(&b);
	}
	jw_arr_end(&b);
	jw_obj_end(&b);
	cli_print(f, buf_str(&b));
	buf_free(&b);
}

static void add_file(struct buf *b, const char *title, char *path)
{
	struct err ignored = { 0 };

	buf_addf(b, "\n== %s ==\n", title);
	if (file_read(path, PART_MAX, b, &ignored) < 0)
		buf_addf(b, "%s\n", ignored.msg);
	free(path);
}

static void add_log(struct buf *b, const char *title, char *path)
{
	buf_addf(b, "\n== %s ==\n", title);
	logview_last(path, LOG_LINES, b);
	free(path);
}

/* Passwords of providers and proxies are in no list of secrets yet. */
static void mask_all(const struct config *c)
{
	for (size_t i = 0; i < config_keys_n; i++) {
		struct buf value = { 0 };

		if (config_keys[i].type == CFG_SECRET) {
			config_value_text(c, i, &value);
			mask_add(buf_str(&value));
		}
		buf_wipe(&value);
	}
	for (size_t i = 0; i < c->n_providers; i++) {
		const struct kv *options = &c->providers[i].options;

		for (size_t k = 0; k < options->n; k++) {
			if (cli_is_secret_option(options->pairs[k].key))
				mask_add(str_of(options->pairs[k].value));
		}
	}
}

static int write_report(const struct config *c, const struct checkup *checkup, const char *file,
                        struct err *e)
{
	struct buf b = { 0 }, masked = { 0 }, shown = { 0 };
	struct utsname u = { 0 };
	char now[TIME_TEXT_SIZE];
	int rc;

	mask_all(c);
	uname(&u);
	time_rfc3339(clock_wall_ms(), true, false, now);
	buf_addf(&b, "daytona-runner %s (build %s), %s\n%s\n%s %s %s, user %u\n", DR_VERSION,
	         dr_build_id, now, dr_libraries, u.sysname, u.release, u.machine,
	         (unsigned)geteuid());
	add_file(&b, "system", path_join("/etc", "os-release"));
	buf_adds(&b, "\n== configuration ==\n");
	cli_config_text(c, false, &b);
	buf_adds(&b, "\n== checks ==\n");
	add_rows(checkup, &b);
	add_file(&b, "status", paths_status(c->state_dir));
	if (c->id && str_is_id(str_of(c->id)))
		add_log(&b, "log", joblog_path(c->state_dir, RES_RUNNER, c->id));
	add_log(&b, "start", path_join(c->state_dir, "daemon.err"));
	mask_text(&masked, buf_str(&b));
	buf_add_printable(&shown, buf_str(&masked), true);
	rc = file_replace(file, 0600, buf_str(&shown), e);
	buf_free(&shown);
	buf_free(&masked);
	buf_free(&b);
	return rc;
}

static int check_run(int argc, char **argv)
{
	struct checkup checkup = { 0 };
	struct config c = { 0 };
	struct err e = { 0 };
	const char *config_dir = NULL, *format = NULL, *report = NULL;
	const struct opt opts[] = {
		CLI_FORMAT(&format),
		OPT_STR(0, "report", "FILE", &report, "write a report without secrets to FILE"),
		CLI_CONFIG_DIR(&config_dir),
		OPT_END,
	};
	struct buf text = { 0 };
	enum cli_format f;
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	f = cli_format(usage, format);
	rc = config_look(&c, config_dir, NULL, &e);
	if (rc == 0)
		checkup_run(&checkup, &c, applet_self_exe(), deadline_in_ms(CHECK_MS));
	if (rc == 0 && f != CLI_TEXT)
		print_structured(f, &checkup);
	else if (rc == 0)
		add_rows(&checkup, &text);
	if (rc == 0 && report)
		rc = write_report(&c, &checkup, report, &e);
	if (rc == 0 && report && f == CLI_TEXT)
		buf_addf(&text, "The report is in %s; read it before you send it.\n", report);
	show_lines(buf_str(&text));
	buf_free(&text);
	if (rc < 0)
		rc = applet_fail("check", &e);
	else if ((rc = out_flush()) == 0)
		rc = checkup.wrong > 0;
	checkup_free(&checkup);
	config_free(&c);
	return rc;
}

const struct applet check_applet = { .name = "check",
	                             .summary = "say what is wrong here, and the remedy",
	                             .run = check_run,
	                             .aliases = "doctor" };
