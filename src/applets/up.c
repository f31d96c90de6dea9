/* SPDX-License-Identifier: Apache-2.0 */
/* up: from nothing to a shell in a workspace, on one machine. See up.h. */
#include "applets/up.h"

#include "applets/applets.h"
#include "applets/target.h"
#include "applets/workspace.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/out.h"
#include "git/remote.h"
#include "host/setup.h"
#include "providers/provider.h"
#include "server/srv.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"up [REPOSITORY] [OPTION...]\n"
	"A whole system on this machine: starts a server on loopback, registers and starts a runner, makes a target and a "
	"workspace of REPOSITORY, and opens a shell in it if this is a terminal. What is there already is used, and started if "
	"it was stopped. Without REPOSITORY it is that of the current directory, else the workspaces that are there are "
	"started. `daytona-runner down` stops all of it.";

#define CONFIG_MS 30000 /* until the runner has registered what it can do */
#define LOOK_MS 20
#define GIT_MS 10000
#define JOBS_BEFORE 3

static void step(const char *what, const char *name, const char *how)
{
	printf("%-10s", what);
	cli_put(name);
	printf(" %s\n", how);
	fflush(stdout);
}

/* Until its job is done, what is being deleted is there under another name (protocol 1.2). */
static bool is_going(struct json element)
{
	char *name = json_dup_or_empty(json_get(element, "name"));
	bool is = str_starts(str_of(name), "_DELETED_");

	free(name);
	return is;
}

static bool is_ours(const struct up *u, struct json element, const char *runner,
                    const char *provider)
{
	return json_str_is(api_kind_get(element, runner), u->config.id) &&
	       json_str_is(api_kind_get(element, provider), u->provider);
}

#define BOX "image-" /* begins the names of targets that are made for an image */

/* Native-provider has one root file system for each target: the target made for u's image is called by it. NULL: any. */
static char *target_of_image(const struct up *u)
{
	struct buf b = { 0 };

	if (!u->v.image || strcmp(u->provider, "native-provider") != 0)
		return NULL;
	buf_adds(&b, BOX);
	for (const char *p = u->v.image; *p && b.n < 60; p++)
		buf_addc(&b, isalnum((unsigned char)*p) || *p == '.' ? *p : '-');
	return buf_take(&b);
}

/* The target of our runner and that provider; *id stays NULL if there is none. */
static int find_target(struct up *u, char **id, char **name, struct err *e)
{
	char *wanted = target_of_image(u);
	struct json_doc *doc = verbs_list_of(&u->v, &api_target_kind, e);

	for (struct json t = json_first(json_root(doc)); json_present(t) && !*id;
	     t = json_next(t)) {
		if (is_going(t) ||
		    !is_ours(u, t, api_target_kind.runner_id, api_target_kind.note) ||
		    json_str_is(api_kind_get(t, api_workspace_kind.note), "error"))
			continue;
		*name = json_dup_or_empty(json_get(t, "name"));
		if (wanted ? strcmp(*name, wanted) == 0 : !str_starts(str_of(*name), BOX)) {
			*id = json_dup_or_empty(json_get(t, "id"));
			break;
		}
		free(*name);
		*name = NULL;
	}
	json_doc_free(doc);
	free(wanted);
	return doc ? 0 : -1;
}

/* What the runner registers when its provider has been found to work. */
static int find_config(struct up *u, char **id, struct err *e)
{
	struct deadline d = deadline_in_ms(CONFIG_MS);
	const struct api_kind *kind = &api_target_config_kind;

	for (;;) {
		struct json_doc *doc = verbs_list_of(&u->v, kind, e);

		if (!doc)
			return -1;
		for (struct json c = json_first(json_root(doc)); json_present(c) && !*id;
		     c = json_next(c))
			if (is_ours(u, c, kind->runner_id, kind->note))
				*id = json_dup_or_empty(json_get(c, "id"));
		json_doc_free(doc);
		if (*id)
			return 0;
		if (deadline_passed(d))
			return err_set(
				e, ERR_TIMEOUT, 0,
				"%s cannot be used here; see: daytona-runner provider check %s",
				u->provider, u->provider);
		poll(NULL, 0, LOOK_MS);
	}
}

/* Said before a target is made that nothing can be made in. */
static int check_provider(const struct up *u, struct err *e)
{
	struct setup_provider *list;
	size_t n = setup_providers(&u->config, applet_self_exe(), true, &list,
	                           deadline_in_ms(CONFIG_MS));
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, u->provider) == 0 && !(list[i].usable && list[i].enabled))
			rc = err_set(e, ERR_UNSUPPORTED, 0, "%s cannot be used here: %s",
			             u->provider, list[i].why ? list[i].why : "it is disabled");
	setup_providers_free(list, n);
	return rc;
}

static int up_target(struct up *u, char **id, struct err *e)
{
	char *name = NULL, *config = NULL;
	int rc = find_target(u, id, &name, e);
	bool is = rc == 0 && *id;

	if (rc == 0 && !is)
		rc = check_provider(u, e);
	if (rc == 0 && !is && (rc = find_config(u, &config, e)) == 0) {
		char *box = target_of_image(u);
		struct buf option = { 0 };
		const char *text;

		u->v.config = config;
		if (box) {
			buf_addf(&option, "Image=%s", u->v.image);
			text = buf_cstr(&option);
			u->v.options = (struct opt_list){ &text, 1 };
		}
		rc = target_make(&u->v, box, id, e);
		u->v.config = NULL;
		u->v.options = (struct opt_list){ 0 };
		buf_free(&option);
		free(box);
		free(*id);
		*id = NULL;
		if (rc == 0)
			rc = find_target(u, id, &name, e);
	}
	if (rc == 0 && name)
		step("Target", name, is ? "is there" : "is made");
	free(config);
	free(name);
	return rc;
}

/* As the Server compares addresses: without regard to case and a slash at the end. */
static bool same_address(struct json v, const char *url)
{
	char *text = json_dup_or_empty(v);
	struct str a = str_of(text), b = str_of(url);
	struct buf want = { 0 };
	bool same;

	a.n -= a.n && a.p[a.n - 1] == '/';
	b.n -= b.n && b.p[b.n - 1] == '/';
	buf_add_str(&want, b);
	same = str_ieq(a, buf_cstr(&want));
	buf_free(&want);
	free(text);
	return same;
}

/* Is it what REPOSITORY, --name and --branch ask for? */
static bool is_wanted(const struct up *u, struct json w, const char *url)
{
	return !is_going(w) && same_address(api_kind_get(w, "repository.url"), url) &&
	       (!u->v.name || json_str_is(json_get(w, "name"), u->v.name)) &&
	       (!u->v.image || (json_str_is(json_get(w, "image"), u->v.image) &&
	                        json_str_is(json_get(w, "targetId"), u->v.target))) &&
	       (!u->v.branch || json_str_is(api_kind_get(w, "repository.branch"), u->v.branch));
}

static bool is_started(struct up *u, const char *id)
{
	struct workspace w = { 0 };
	struct err ignored = { 0 };
	bool is = api_workspace(u->v.admin.link.api, id, &w, deadline_in_ms(CLI_CALL_MS),
	                        &ignored) == 0 &&
	          strcmp(w.state, "started") == 0;

	workspace_free(&w);
	return is;
}

/* A job that was left at work is seen to its end first; it may be all that is needed. */
static int start(struct up *u, struct follow *f, struct err *e)
{
	struct api *api = u->v.admin.link.api;
	int rc = -1;

	for (int i = 0; i < JOBS_BEFORE; i++) {
		struct err why = { 0 };

		err_clear(e);
		follow_mark(f, api);
		rc = api_act(api, "POST", api_workspace_kind.path, f->id, "start",
		             deadline_in_ms(CLI_CALL_MS), e);
		if (rc == 0)
			return follow_job(f, api, e);
		if (api_verdict(e) != API_TROUBLE)
			return -1;
		f->skip = 0;
		if (follow_job(f, api, &why) < 0 && why.kind == ERR_CANCELED) {
			*e = why;
			return -1;
		}
		if (is_started(u, f->id))
			return 0;
	}
	return rc;
}

/* Starts it unless it is. */
static int up_start(struct up *u, struct json w, struct err *e)
{
	const struct api_kind *kind = &api_workspace_kind;
	char *id = json_dup_or_empty(json_get(w, kind->id));
	char *name = json_dup_or_empty(json_get(w, kind->called));
	struct follow f = { .kind = kind->name, .id = id, .name = name, .runner = u->config.name };
	bool is = json_str_is(api_kind_get(w, kind->note), "started");
	int rc = is ? 0 : start(u, &f, e);

	if (rc == 0) {
		step("Workspace", name, is ? "is there" : "is started");
	} else if (e->kind != ERR_CANCELED) {
		err_wrap(e, "start workspace %s", name);
		err_hint(
			e,
			"to make it anew, delete it first with daytona-runner workspace delete --force");
	}
	free(id);
	free(name);
	return rc;
}

/* Of this address: found and started, or made. */
static int up_workspace(struct up *u, const char *address, char **name, struct err *e)
{
	struct json_doc *context = api_git_context(u->v.admin.link.api, address, u->v.branch,
	                                           deadline_in_ms(CLI_CALL_MS), e);
	struct json_doc *list = context ? verbs_list_of(&u->v, &api_workspace_kind, e) : NULL;
	char *url = json_dup_or_empty(json_get(json_root(context), "url"));
	struct json found = { 0 };
	int rc = list ? 0 : -1;

	for (struct json w = json_first(json_root(list)); json_present(w); w = json_next(w))
		if (!json_present(found) && is_wanted(u, w, url))
			found = w;
	if (rc == 0 && json_present(found)) {
		*name = json_dup_or_empty(json_get(found, "name"));
		rc = up_start(u, found, e);
	} else if (rc == 0) {
		rc = workspace_make(&u->v, address, name, e);
		if (rc == 0)
			step("Workspace", *name, "is started");
	}
	free(url);
	json_doc_free(list);
	json_doc_free(context);
	return rc;
}

/* Those that are there; *name is set if it is one alone. */
static int up_all(struct up *u, char **name, struct err *e)
{
	struct json_doc *list = verbs_list_of(&u->v, &api_workspace_kind, e);
	struct json only = { 0 };
	size_t n = 0;
	int rc = list ? 0 : -1;

	for (struct json w = json_first(json_root(list)); rc == 0 && json_present(w);
	     w = json_next(w)) {
		if (is_going(w))
			continue;
		rc = up_start(u, w, e);
		only = w;
		n++;
	}
	if (rc == 0 && n == 1)
		*name = json_dup_or_empty(json_get(only, "name"));
	json_doc_free(list);
	return rc;
}

/* Without a user name or a password, which are nobody else's. */
static char *address_here(void)
{
	char *text = git_address_here(deadline_in_ms(GIT_MS));
	struct url u = { 0 };
	struct err ignored = { 0 };
	struct buf b = { 0 };

	if (text && str_starts(str_of(text), "http") &&
	    url_parse(str_of(text), &u, &ignored) == 0) {
		url_display(&u, &b);
		free(text);
		text = buf_take(&b);
	}
	url_free(&u);
	return text;
}

static int up(struct up *u, const char *repository, char **name, struct err *e)
{
	char *target = NULL, *here = NULL;
	bool started;
	int rc = provider_known(u->provider, e);

	if (rc == 0)
		rc = up_open(u, e);
	if (rc == 0 && (rc = up_server(u, &started, e)) == 0)
		step("Server", u->url, started ? "is started" : "is there");
	if (rc == 0 && (rc = up_runner(u, &started, e)) == 0)
		step("Runner", u->config.name, started ? "is started" : "is there");
	if (rc == 0)
		rc = up_target(u, &target, e);
	u->v.target = target;
	if (rc == 0 && repository && file_is_dir(repository)) {
		const char *dir = repository;

		repository = here = chdir(dir) == 0 ? address_here() : NULL;
		if (!here)
			rc = err_set(e, ERR_USAGE, 0, "%s is no checkout of a git repository", dir);
	} else if (rc == 0 && !repository) {
		repository = here = address_here();
	}
	if (rc == 0)
		rc = repository ? up_workspace(u, repository, name, e) : up_all(u, name, e);
	free(here);
	free(target);
	u->v.target = NULL;
	up_unlock(u);
	return rc;
}

/* Into the workspace, or how to get there. */
static int go_in(struct up *u, const char *name, bool stay_out)
{
	struct cli_admin a = { .url = u->url };
	char *key;
	int status;

	if (!name) {
		puts("Next: daytona-runner workspace create REPOSITORY, or daytona-runner workspace list");
		return out_flush();
	}
	if (stay_out || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		printf("Next: daytona-runner shell %s\n", name);
		return out_flush();
	}
	key = path_join(u->data, CLIENT_KEY_FILE);
	a.key_file = key;
	a.config_dir = u->v.admin.config_dir;
	status = workspace_enter(&a, name);
	printf("Left workspace %s, which goes on. Stop everything with: daytona-runner down\n",
	       name);
	free(key);
	return status;
}

static int up_run(int argc, char **argv)
{
	struct up u = {
		.v.wait = true, .v.quiet = true, .provider = "native-provider", .lock = -1
	};
	struct err e = { 0 };
	char *name = NULL;
	bool stay_out = false;
	const struct opt opts[] = {
		OPT_STR('p', "provider", "NAME", &u.provider,
		        "what makes the workspace (native-provider)"),
		OPT_STR('n', "name", "NAME", &u.v.name, "of the workspace"),
		OPT_STR('b', "branch", "BRANCH", &u.v.branch, "of the repository"),
		OPT_LIST('e', "env", "K=V", &u.v.env, "a variable of a new workspace; repeatable"),
		OPT_STR(0, "image", "IMAGE", &u.v.image, "an image, in place of a build"),
		OPT_STR(0, "user", "USER", &u.v.user, "who works in the image (root)"),
		OPT_FLAG('d', "detach", &stay_out, "open no shell"),
		CLI_CONFIG_DIR(&u.v.admin.config_dir),
		OPT_END,
	};
	int n = opts_parse(opts, usage, argc, argv, 0, 1), rc;

	rc = up(&u, n ? argv[1] : NULL, &name, &e);
	if (rc < 0) {
		fflush(stdout);
		rc = applet_fail("up", &e);
		rc = e.kind == ERR_CANCELED && e.code ? 128 + e.code : rc;
	} else {
		rc = go_in(&u, name, stay_out);
	}
	free(name);
	up_close(&u);
	return rc;
}

const struct applet up_applet = { .name = "up",
	                          .summary = "a whole system and a workspace on this machine",
	                          .run = up_run };
