/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs: the runner's own log or that of a workspace, target, build or job. Local files need
 * neither a running runner nor a Server; --remote reads the Server's copy.
 */
#include "applets/logs.h"

#include "applets/applets.h"
#include "applets/cli.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/paths.h"
#include "jobs/joblog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"logs [-f] [-n LINES] [--workspace ID] [--target ID] [--build ID] [--job ID] [RUNNER]\n"
	"Shows the log of this host's runner or of one of its resources. RUNNER (id or name) shows the Server's copy of "
	"another runner's log.";

#define JOBS_MAX (64u << 20)

struct options {
	struct cli_admin admin;
	struct logs logs;
	const char *workspace, *target, *build, *job, *format, *color, *since;
	bool remote, times, no_times;
	char *job_type, *job_resource; /* of --job, when known */
};

static bool want_colours(const struct options *o)
{
	if (o->color && strcmp(o->color, "always") == 0)
		return true;
	if (o->color && strcmp(o->color, "never") == 0)
		return false;
	return out_colours(STDOUT_FILENO);
}

static void find_in(struct options *o, struct json list, const char *type_key, const char *id_key)
{
	for (struct json j = json_first(list); json_present(j) && !o->job_type; j = json_next(j)) {
		if (!json_str_is(json_get(j, "id"), o->job))
			continue;
		o->job_type = json_dup(json_get(j, type_key));
		o->job_resource = json_dup(json_get(j, id_key));
	}
}

/* Which resource a job is about: the running runner's status knows the current ones, the Server
 * all. */
static void find_job(struct options *o, const struct config *c)
{
	char *path = paths_status(c->state_dir);
	struct buf text = { 0 };
	struct err ignored = { 0 };
	struct json_doc *doc = NULL;
	struct server_link l;

	if (file_read(path, JOBS_MAX, &text, &ignored) == 0)
		doc = json_parse(buf_str(&text), JOBS_MAX, &ignored);
	if (doc)
		find_in(o, json_get(json_root(doc), "jobs"), "resource", "resource_id");
	json_doc_free(doc);
	buf_free(&text);
	free(path);
	if (o->job_type || config_require(c, &ignored) < 0 || server_link_open(&l, c, &ignored) < 0)
		return;
	doc = NULL;
	if (api_call(l.api, "GET", "/job", (struct str){ 0 }, &doc, deadline_in_ms(CLI_CALL_MS),
	             &ignored) == 0 &&
	    doc)
		find_in(o, json_root(doc), "resourceType", "resourceId");
	json_doc_free(doc);
	server_link_close(&l);
}

static int show(struct options *o, const struct config *c, enum resource_type kind, const char *id,
                struct err *e)
{
	struct server_link l;
	char *path;
	int rc;

	if (!str_is_id(str_of(id)))
		return err_set(e, ERR_USAGE, 0, "\"%s\" is no id", id);
	if (o->remote) {
		if (server_link_open(&l, c, e) < 0)
			return -1;
		rc = logs_remote(&o->logs, l.api, resource_type_name(kind), id, e);
		server_link_close(&l);
		return rc;
	}
	path = joblog_path(c->state_dir, kind, id);
	rc = 0;
	if (!o->logs.follow && !file_exists(path))
		rc = err_set(e, ERR_NOT_FOUND, 0, "there is no log of %s %s yet (%s)%s",
		             resource_type_name(kind), id, path,
		             kind == RES_RUNNER ? "" : "; --remote asks the Server");
	if (rc == 0)
		rc = logs_local(&o->logs, path, e);
	free(path);
	return rc;
}

/* Lines of the runner's log about the job, then the log of its resource. */
static int show_job(struct options *o, const struct config *c, struct err *e)
{
	struct logs about = o->logs;
	struct err ignored = { 0 };
	char *path;
	int rc = 0;

	find_job(o, c);
	if (c->id && !o->remote) {
		about.follow = false;
		about.all = true;
		about.lines = -1;
		about.view.word = o->job;
		path = joblog_path(c->state_dir, RES_RUNNER, c->id);
		rc = file_exists(path) ? logs_local(&about, path, &ignored) : 0;
		free(path);
	}
	if (rc < 0) {
		*e = ignored;
		return -1;
	}
	if (!o->job_type || !o->job_resource)
		return err_set(
			e, ERR_NOT_FOUND, 0,
			"neither the runner nor the Server knows which resource job %s was about",
			o->job);
	o->logs.view.times = o->times;
	return show(o, c, resource_type_of(o->job_type), o->job_resource, e);
}

/* Another runner's log, asked for when id_or_name is NULL: only the Server has it. */
static int show_other(struct options *o, const char *id_or_name, struct err *e)
{
	struct runner_info *list = NULL;
	size_t n = 0, i = 0;
	int rc = cli_admin_open(&o->admin, "logs", e);

	if (rc == 0)
		rc = cli_runners(&o->admin, &list, &n, e);
	if (rc == 0)
		rc = id_or_name ? cli_find_runner(&o->admin, list, n, id_or_name, &i, e)
		                : cli_pick_runner(list, n, "Whose log?", &i, e);
	o->remote = true;
	if (rc == 0)
		rc = show(o, &o->admin.config, RES_RUNNER, list[i].id, e);
	cli_free_runners(list, n);
	cli_admin_close(&o->admin);
	return rc;
}

static bool is_other(const struct config *c, const char *runner)
{
	return !c->id || (strcmp(runner, c->id) != 0 && (!c->name || strcmp(runner, c->name) != 0));
}

static int show_any(struct options *o, const char *runner, struct err *e)
{
	struct config c = { 0 };
	int rc = cli_look("logs", &c, o->admin.config_dir, NULL, e);
	bool resource = o->job || o->workspace || o->target || o->build;

	if (rc == 0 && !resource &&
	    (runner ? is_other(&c, runner) : !c.id && isatty(STDIN_FILENO))) {
		config_free(&c);
		return show_other(o, runner, e);
	}
	if (rc == 0 && o->remote && (rc = config_require(&c, e)) < 0)
		err_hint(e, CONFIG_REMEDY);
	if (rc < 0)
		;
	else if (o->job)
		rc = show_job(o, &c, e);
	else if (o->workspace || o->target || o->build)
		rc = show(o, &c,
		          o->workspace ? RES_WORKSPACE
		          : o->target  ? RES_TARGET
		                       : RES_BUILD,
		          o->workspace ? o->workspace
		          : o->target  ? o->target
		                       : o->build,
		          e);
	else if (!c.id)
		rc = err_set(e, ERR_CONFIG, 0,
		             "no runner is configured here (%s); run: daytona-runner configure",
		             c.file);
	else
		rc = show(o, &c, RES_RUNNER, c.id, e);
	config_free(&c);
	return rc;
}

static int logs_run(int argc, char **argv)
{
	struct options o = { .logs = { .lines = -1 } };
	struct err e = { 0 };
	const struct opt opts[] = {
		OPT_GROUP("Options"),
		OPT_FLAG('f', "follow", &o.logs.follow, "wait for what comes"),
		OPT_INT('n', "lines", "N", &o.logs.lines, 0, 1000000, "show the last N lines only"),
		OPT_INT(0, "tail", "N", &o.logs.lines, 0, 1000000, "the same"),
		OPT_STR(0, "since", "TIME", &o.since,
		        "only what is newer: 10m, 2h, or 2026-01-02T03:04:05Z"),
		OPT_FLAG('a', "all", &o.logs.all, "show rotated files as well"),
		OPT_STR('w', "workspace", "ID", &o.workspace, "the log of a workspace"),
		OPT_STR(0, "target", "ID", &o.target, "the log of a target"),
		OPT_STR('b', "build", "ID", &o.build, "the log of a build"),
		OPT_STR('j', "job", "ID", &o.job, "what there is about a job"),
		OPT_FLAG('r', "remote", &o.remote, "read the Server's copy"),
		OPT_FLAG('T', "times", &o.times,
		         "put the time before each line, as in the runner's own log"),
		OPT_FLAG(0, "no-times", &o.no_times, "leave the time out"),
		OPT_STR(0, "format", "json", &o.format, "entries as JSON, one a line"),
		OPT_STR(0, "color", "WHEN", &o.color,
		        "always, never or auto: colours of the output of jobs"),
		CLI_ADMIN_OPTS(&o.admin),
		OPT_END,
	};
	int operands = opts_parse(opts, usage, argc, argv, 0, 1);
	bool resource = o.workspace || o.target || o.build;
	int64_t since;
	int rc;

	if (!!o.workspace + !!o.target + !!o.build + !!o.job + operands > 1)
		opts_misuse(usage, "only one log can be shown at a time");
	if (o.format && strcmp(o.format, "json") != 0)
		opts_misuse(usage, "format is json, not \"%s\"", o.format);
	if (o.color && strcmp(o.color, "always") != 0 && strcmp(o.color, "never") != 0 &&
	    strcmp(o.color, "auto") != 0)
		opts_misuse(usage, "color is always, never or auto, not \"%s\"", o.color);
	if (o.since && str_to_ms(str_of(o.since), 1000, 0, INT64_MAX / 2, &since))
		o.logs.view.since_wall_ms = clock_wall_ms() - since;
	else if (o.since && !time_parse_rfc3339(o.since, &o.logs.view.since_wall_ms))
		opts_misuse(
			usage,
			"since is a duration (10m) or a time (2026-01-02T03:04:05Z), not \"%s\"",
			o.since);
	o.logs.view.json = o.format != NULL;
	o.logs.view.times = (o.times || !resource) && !o.no_times;
	o.logs.view.terminal = isatty(STDOUT_FILENO);
	o.logs.view.colours = want_colours(&o);
	rc = show_any(&o, operands ? argv[1] : NULL, &e);
	free(o.job_type);
	free(o.job_resource);
	if (rc < 0 && logs_reader_gone(&e))
		return 0; /* `logs | head` */
	return rc < 0 ? applet_fail("logs", &e) : 0;
}

const struct applet logs_applet = { .name = "logs",
	                            .summary = "show the log of the runner or of a job's resource",
	                            .run = logs_run,
	                            .aliases = "log" };
