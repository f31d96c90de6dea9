/* SPDX-License-Identifier: Apache-2.0 */
/* down: what up has started is stopped, or removed. See up.h. */
#include "applets/applets.h"
#include "applets/life.h"
#include "applets/up.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/out.h"
#include "host/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOB_MS 120000

static const char usage[] =
	"down [--purge] [-y]\n"
	"Stops what up has started here: the workspaces, the runner, the server. Another up starts it again. With --purge "
	"all of it is removed, the workspaces and what is in them too.";

/* One job for each of a kind, and its end. Those that fail do not keep the others: the first failure is told. */
static int each(struct up *u, const struct api_kind *kind, const char *action, struct err *e)
{
	struct json_doc *list = verbs_list_of(&u->v, kind, e);
	struct api *api = u->v.admin.link.api;
	int rc = list ? 0 : -1;

	for (struct json member = json_first(json_root(list)); json_present(member);
	     member = json_next(member)) {
		char *id = json_dup_or_empty(json_get(member, kind->id));
		char *name = json_dup_or_empty(json_get(member, kind->called));
		struct follow f = { .kind = kind->name,
			            .id = id,
			            .name = name,
			            .runner = "",
			            .blind = true,
			            .max_ms = JOB_MS };
		struct err why = { 0 };
		bool removes = strcmp(action, "delete") == 0;
		bool skip = !removes && json_str_is(api_kind_get(member, "state.name"), "stopped");
		int one = skip      ? 0
		          : removes ? api_remove(api, kind->path, id, true,
		                                 deadline_in_ms(CLI_CALL_MS), &why)
		                    : api_act(api, "POST", kind->path, id, action,
		                              deadline_in_ms(CLI_CALL_MS), &why);

		if (one == 0 && !skip)
			one = follow_job(&f, api, &why);
		if (one == 0 && !skip) {
			fputs(kind == &api_workspace_kind ? "Workspace " : "Target    ", stdout);
			cli_put(name);
			puts(removes ? " is deleted" : " is stopped");
		}
		fflush(stdout);
		free(id);
		free(name);
		if (one == 0)
			continue;
		if (rc == 0 && why.kind != ERR_CANCELED)
			err_wrap(&why, "%s %s", action, kind->name);
		if (rc == 0)
			*e = why;
		rc = -1;
		if (why.kind == ERR_CANCELED)
			break;
	}
	json_doc_free(list);
	return rc;
}

static int stop_all(struct up *u, struct err *e)
{
	bool was;
	int rc = u->config.id ? life_end(&u->config, -1, &was, e) : 0;

	if (rc == 0 && u->config.id)
		printf("Runner    %s %s\n", u->config.name, was ? "is stopped" : "was not running");
	if (rc == 0)
		rc = up_stop_server(u, &was, e);
	if (rc == 0)
		printf("Server    %s%s%s\n", u->url ? u->url : "", u->url ? " " : "",
		       was ? "is stopped" : "was not running");
	return rc;
}

/* What up and down have written beside the configuration, if there is nothing else left of them. */
static void forget(const struct up *u)
{
	static const char *const ours[] = { "up-server.err", "up-server.pid", "up.lock" };

	if (u->lock < 0 || file_exists(u->config.file) || file_is_dir(u->data))
		return;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		char *path = path_join(u->config.dir, ours[i]);

		unlink(path);
		free(path);
	}
	rmdir(u->config.dir); /* unless there is something else in it */
}

/* Whose machine it is was looked at before. The server's data first: what is left of the runner leads back here. */
static int remove_all(struct up *u, struct err *e)
{
	char word[] = "purge", yes[] = "--yes", local[] = "--local-only", data[] = "--purge-data";
	char dir[] = "--config-dir", *argv[] = { word, yes, local, data, NULL, NULL, NULL };
	char *config_dir = mem_dup(u->config.dir);
	int rc = up_remove_data(u, e);

	if (u->v.admin.config_dir) {
		argv[4] = dir;
		argv[5] = config_dir;
	}
	if (rc == 0 && u->config.id && purge_applet.run(u->v.admin.config_dir ? 6 : 4, argv) != 0)
		rc = err_set(e, ERR_OTHER, 0, "the runner's files could not be removed");
	if (rc == 0)
		puts("All of it is removed.");
	free(config_dir);
	return rc;
}

/* What runs is needed to remove what it has made. */
static int bring_up(struct up *u, struct err *e)
{
	bool started, known;

	if (up_check_runner(u, &known, e) < 0)
		return -1;
	if (!u->config.id && !file_is_dir(u->data))
		return 0;
	if (up_server(u, &started, e) < 0)
		return -1;
	return up_runner(u, &started, e);
}

/* Only a runner can stop what runs in workspaces. */
static void bring_back(struct up *u)
{
	struct proc_id who;
	struct err ignored = { 0 };
	bool started;

	if (daemon_lock_probe(u->config.state_dir, &who, &ignored) == 0)
		(void)up_runner(u, &started, &ignored);
	else
		(void)up_resume(u);
}

static int down(struct up *u, bool purge, struct err *e)
{
	struct err stuck = { 0 };
	bool known = false;
	int rc;

	u->looks = !purge; /* that has a runner remove the workspaces */
	rc = up_open(u, e);
	if (rc == 0 && purge)
		rc = verbs_confirm(
			&u->v,
			"Remove server, runner and workspaces of this machine, and all that is in them?",
			e);
	if (rc == 0)
		rc = purge ? bring_up(u, e) : up_find_server(u, e);
	if (rc == 0 && !purge)
		rc = up_check_runner(u, &known, e);
	if (rc == 0 && known)
		bring_back(u);
	if (rc == 0 && u->url && (purge || known))
		rc = each(u, &api_workspace_kind, purge ? "delete" : "stop", e);
	if (rc == 0 && u->url && purge)
		rc = each(u, &api_target_kind, "delete", e);
	/* A workspace that does not stop keeps nothing else. */
	if (rc < 0 && known && e->kind != ERR_CANCELED) {
		stuck = *e;
		rc = 0;
	}
	if (rc == 0)
		rc = stop_all(u, e);
	if (rc == 0 && purge)
		rc = remove_all(u, e);
	if (rc == 0 && stuck.kind) {
		*e = stuck;
		rc = -1;
	}
	return rc;
}

static int down_run(int argc, char **argv)
{
	struct up u = { .v.wait = true, .lock = -1 };
	struct err e = { 0 };
	bool purge = false;
	const struct opt opts[] = {
		OPT_FLAG(0, "purge", &purge, "remove all of it"),
		OPT_FLAG('y', "yes", &u.v.yes, "do not ask"),
		CLI_CONFIG_DIR(&u.v.admin.config_dir),
		OPT_END,
	};
	int rc;

	opts_parse(opts, usage, argc, argv, 0, 0);
	rc = down(&u, purge, &e);
	if (u.data)
		forget(&u);
	up_close(&u);
	if (rc < 0) {
		fflush(stdout);
		rc = applet_fail("down", &e);
		return e.kind == ERR_CANCELED && e.code ? 128 + e.code : rc;
	}
	return out_flush();
}

const struct applet down_applet = { .name = "down",
	                            .summary = "stop or remove what up has started",
	                            .run = down_run };
