/* SPDX-License-Identifier: Apache-2.0 */
/* workspace: a checkout of a repository and the processes in it, on the runner of its target. */
#include "applets/workspace.h"

#include "applets/applets.h"
#include "applets/logs.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int act(struct verbs *v, struct err *e)
{
	if (verbs_act(v, e) < 0)
		return -1;
	if (v->wait && strcmp(v->verb->name, "stop") != 0 && v->n == 1)
		printf("Next: daytona-runner shell %s\n", v->operands[0]);
	return 0;
}

static int logs(struct verbs *v, struct err *e)
{
	struct logs l = { .follow = v->follow, .lines = v->lines };
	struct json_doc *doc = NULL;
	struct json it;
	char *id;
	int rc = verbs_find(v, v->n ? v->operands[0] : NULL, &doc, &it, e);

	if (rc < 0) {
		json_doc_free(doc);
		return -1;
	}
	id = json_dup_or_empty(json_get(it, "id"));
	l.view.terminal = isatty(STDOUT_FILENO);
	rc = logs_remote(&l, v->admin.link.api, "workspace", id, e);
	free(id);
	json_doc_free(doc);
	return rc;
}

int workspace_enter(const struct cli_admin *a, const char *name)
{
	const struct {
		const char *option, *value;
	} given[] = { { "--api-url", a->url },
		      { "--api-key", a->key },
		      { "--api-key-file", a->key_file },
		      { "--ca-file", a->ca_file },
		      { "--config-dir", a->config_dir },
		      { a->insecure ? "--insecure" : NULL, NULL },
		      { a->allow_http ? "--allow-http" : NULL, NULL } };
	char *argv[2 * ARRAY_LEN(given) + 4], *owned[ARRAY_LEN(argv)];
	int n = 0, status;

	owned[n++] = mem_dup("shell");
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		if (!given[i].option || (i < 5 && !given[i].value))
			continue;
		owned[n++] = mem_dup(given[i].option);
		if (given[i].value)
			owned[n++] = mem_dup(given[i].value);
	}
	owned[n++] = mem_dup("--");
	owned[n++] = mem_dup(name);
	memcpy(argv, owned, (size_t)n * sizeof(*argv)); /* which opts_parse moves about */
	argv[n] = NULL;
	fflush(stdout);
	status = shell_applet.run(n, argv);
	for (int i = 0; i < n; i++)
		mem_free_secret(owned[i]);
	return status;
}

static int open_it(struct verbs *v, struct err *e)
{
	struct json_doc *doc = NULL;
	struct json it;
	char *id;

	if (verbs_find(v, v->n ? v->operands[0] : NULL, &doc, &it, e) < 0) {
		json_doc_free(doc);
		return -1;
	}
	id = json_dup_or_empty(json_get(it, "id"));
	v->status = workspace_enter(&v->admin, id);
	free(id);
	json_doc_free(doc);
	return 0;
}

static const struct verb verbs[] = {
	{ "create", "new",
	  "workspace create [REPOSITORY | TEMPLATE] [OPTION...]\n"
	  "Makes a workspace of a git repository, or of a workspace template of the Server, and waits until it is started. Its target is the only one, the one that "
	  "--target names, or one that is made; its image what the repository says, or --image.",
	  HAS_CREATE | HAS_WAIT, 0, 1, workspace_create },
	{ "list", "ls", "workspace list [-l K=V] [-f json|yaml]\nLists the workspaces.",
	  HAS_FORMAT | HAS_LABEL, 0, 0, workspace_list },
	{ "info", NULL, "workspace info [WORKSPACE] [-f json|yaml]\nShows one workspace.",
	  HAS_FORMAT, 0, 1, verbs_info },
	{ "start", NULL, "workspace start [WORKSPACE...]\nStarts workspaces.", HAS_WAIT, 0, -1,
	  act },
	{ "stop", NULL, "workspace stop [WORKSPACE...]\nStops workspaces.", HAS_WAIT, 0, -1, act },
	{ "restart", NULL, "workspace restart [WORKSPACE...]\nStops and starts workspaces.",
	  HAS_WAIT, 0, -1, act },
	{ "delete", "rm",
	  "workspace delete [WORKSPACE...] [-y] [--force]\n"
	  "Deletes workspaces and all that is in them.",
	  HAS_YES | HAS_FORCE | HAS_WAIT, 0, -1, verbs_delete },
	{ "logs", "log",
	  "workspace logs [WORKSPACE] [-f] [-n LINES]\nShows what its jobs said, as the Server has it.",
	  HAS_LOG, 0, 1, logs },
	{ "open", NULL, "workspace open [WORKSPACE]\nOpens a shell in a workspace.", 0, 0, 1,
	  open_it },
};

static const struct noun noun = {
	.name = "workspace",
	.summary = "Workspaces on the Server.",
	.kind = &api_workspace_kind,
	.none = "There are no workspaces. Make one with: daytona-runner workspace create REPOSITORY",
	.verbs = verbs,
	.n = ARRAY_LEN(verbs),
};

static int workspace_run(int argc, char **argv)
{
	return verbs_main(&noun, argc, argv);
}

const struct applet workspace_applet = { .name = "workspace",
	                                 .summary = "make, list, start, stop and delete workspaces",
	                                 .run = workspace_run,
	                                 .aliases = "ws" };
