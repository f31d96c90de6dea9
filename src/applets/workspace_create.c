/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a workspace as the Server's own client does: the Server says what an address of a repository means, the
 * target is chosen or made, and the request carries an id of ours (protocol 1.4, 11).
 */
#include "applets/target.h"
#include "applets/workspace.h"
#include "base/file.h"
#include "base/mem.h"
#include "git/remote.h"
#include "host/prompt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 60 /* of one made of the repository's */
#define CONTEXT_MS 60000  /* the Server may ask the git host */
#define BRANCH_MS 10000

/* K=V, or K alone for the variable of that name here. */
int verbs_pairs(const struct opt_list *list, bool from_here, struct kv *out, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		struct str rest = str_of(list->v[i]), key;
		const char *value = strchr(list->v[i], '=');
		struct buf name = { 0 };

		str_next(&rest, '=', &key);
		buf_add_str(&name, key);
		value = value ? value + 1 : from_here ? getenv(buf_cstr(&name)) : NULL;
		if (key.n && value)
			kv_set(out, buf_cstr(&name), value);
		buf_free(&name);
		if (!key.n || !value)
			return err_set(e, ERR_USAGE, 0, "\"%s\" is no K=V%s", list->v[i],
			               from_here ? ", and no variable here" : "");
	}
	return 0;
}

/* What the Server allows in names, of what the repository is called. */
static char *name_of(struct json repository)
{
	char *text = json_dup_or_empty(json_get(repository, "name"));
	struct buf b = { 0 };

	for (const char *p = text; *p && b.n < NAME_MAX_BYTES; p++)
		buf_addc(&b, isalnum((unsigned char)*p) || strchr("._-", *p)
		                     ? (char)tolower((unsigned char)*p)
		                     : '-');
	free(text);
	if (!str_is_id(buf_str(&b))) {
		buf_reset(&b);
		buf_adds(&b, "workspace");
	}
	return buf_take(&b);
}

/* A Server that does not ask the git host (it names no commit) answers with a guess. */
static char *find_branch(const struct verbs *v, const char *address, struct json repository)
{
	char *branch = json_dup_or_empty(json_get(repository, "branch")), *there = NULL;

	if (!v->branch && json_str_is(json_get(repository, "sha"), ""))
		there = git_branch_there(address, branch, deadline_in_ms(BRANCH_MS));
	free(branch);
	return there;
}

static int ask_repository(char **out, struct err *e)
{
	struct prompt p;
	int rc;

	if (!prompt_open(&p))
		return err_set(
			e, ERR_USAGE, 0,
			"which repository? Give its address, such as https://host/owner/name, or a workspace template");
	rc = prompt_line(&p, "Address of the git repository", NULL, out, e);
	prompt_close(&p);
	if (rc == 0 && !**out)
		rc = err_set(e, ERR_CANCELED, 0, "no repository was given");
	return rc;
}

static struct json default_of(struct json targets)
{
	for (struct json t = json_first(targets); json_present(t); t = json_next(t))
		if (json_bool(json_get(t, "default"), false))
			return t;
	return (struct json){ 0 };
}

/* The one that is named, the only one, the default where nobody can be asked, or a new one. */
static int choose_target(struct verbs *v, char **id, char **runner, struct err *e)
{
	struct json_doc *doc = verbs_list_of(v, &api_target_kind, e);
	struct json list = json_root(doc), t = { 0 };
	struct prompt p;
	int rc = doc ? 0 : -1;

	*runner = NULL;
	if (rc == 0 && !v->target && json_len(list) == 0) {
		json_doc_free(doc);
		if (target_make(v, NULL, id, e) < 0)
			return -1;
		*runner = mem_dup("");
		return 0;
	}
	if (rc == 0 && !v->target && json_len(list) == 1)
		t = json_first(list);
	else if (rc == 0 && !v->target && !prompt_open(&p))
		t = default_of(list);
	if (rc == 0 && !json_present(t))
		rc = verbs_pick(list, &api_target_kind, v->target, "there is no target", &t, e);
	if (rc < 0 && e->kind == ERR_USAGE)
		err_hint(e, "name one with --target");
	if (rc == 0) {
		*id = json_dup_or_empty(json_get(t, "id"));
		*runner = json_dup_or_empty(api_kind_get(t, api_target_kind.runner));
	}
	json_doc_free(doc);
	return rc;
}

static int builder(const struct verbs *v, struct workspace_new *w, struct err *e)
{
	const char *b = v->builder ? v->builder : v->image ? "none" : "auto";

	if (v->image && (v->builder || v->devcontainer))
		return err_set(e, ERR_USAGE, 0, "--image takes the place of a build");
	if (strcmp(b, "auto") != 0 && strcmp(b, "devcontainer") != 0 && strcmp(b, "none") != 0)
		return err_set(e, ERR_USAGE, 0,
		               "--builder is auto, devcontainer or none, not \"%s\"", b);
	w->build = strcmp(b, "none") != 0;
	w->devcontainer = v->devcontainer;
	if (strcmp(b, "devcontainer") == 0 && !w->devcontainer)
		w->devcontainer = ".devcontainer/devcontainer.json";
	w->image = v->image;
	w->user = v->user ? v->user : v->image ? "root" : NULL;
	w->git_config = v->git_config;
	w->branch = v->branch;
	return 0;
}

/* What a workspace template says, where the command line does not. */
struct template
{
	struct json_doc *doc;
	char *url, *image, *user, *git, *devcontainer;
};

static void template_free(struct template *t)
{
	json_doc_free(t->doc);
	free(t->url);
	free(t->image);
	free(t->user);
	free(t->git);
	free(t->devcontainer);
}

/* One word is a template's name: addresses of repositories have a slash or a colon. */
static int take_template(const struct verbs *v, const char *word, struct template *t,
                         struct workspace_new *w, struct err *e)
{
	struct json root, build;

	if (word[strcspn(word, "/:")])
		return 0;
	t->doc = api_workspace_template(v->admin.link.api, word, deadline_in_ms(CONTEXT_MS), e);
	if (!t->doc && api_verdict(e) == API_MISSING)
		return err_set(
			e, ERR_USAGE, 0,
			"%s is no address of a repository, and no workspace template of the Server",
			word);
	if (!t->doc)
		return -1;
	root = json_root(t->doc);
	build = json_get(root, "buildConfig");
	t->url = json_dup_or_empty(json_get(root, "repositoryUrl"));
	t->git = json_dup(json_get(root, "gitProviderConfigId"));
	if (!w->git_config)
		w->git_config = t->git;
	kv_from_json(&w->env, json_get(root, "envVars"));
	if (v->image || v->builder || v->devcontainer)
		return 0;
	t->image = json_dup(json_get(root, "image"));
	t->user = json_dup(json_get(root, "user"));
	t->devcontainer = json_dup(json_get(json_get(build, "devcontainer"), "filePath"));
	w->build = json_is_object(build);
	w->devcontainer = t->devcontainer;
	w->image = t->image;
	w->user = v->user ? v->user : t->user;
	return 0;
}

/* With everything known. */
static int create(struct verbs *v, struct workspace_new *w, const char *runner, struct err *e)
{
	struct follow f = { .kind = "workspace", .id = w->id, .name = w->name, .runner = runner };

	if (api_workspace_create(v->admin.link.api, w, deadline_in_ms(CONTEXT_MS), e) < 0)
		return -1;
	return v->wait ? follow_job(&f, v->admin.link.api, e) : 0;
}

int workspace_make(struct verbs *v, const char *repository, char **name, struct err *e)
{
	struct workspace_new w = { 0 };
	struct json_doc *context = NULL, *list = NULL;
	struct template t = { 0 };
	char id[13], *target = NULL, *runner = NULL, *branch = NULL;
	int rc = builder(v, &w, e);

	*name = NULL;
	if (rc == 0)
		rc = take_template(v, repository, &t, &w, e);
	if (t.url)
		repository = t.url;
	if (rc == 0)
		rc = verbs_pairs(&v->env, true, &w.env, e);
	if (rc == 0)
		rc = verbs_pairs(&v->labels, false, &w.labels, e);
	if (rc == 0)
		context = api_git_context(v->admin.link.api, repository, v->branch,
		                          deadline_in_ms(CONTEXT_MS), e);
	if (rc == 0 && (!context || !(list = verbs_list_of(v, &api_workspace_kind, e))))
		rc = -1;
	w.repository = json_root(context);
	if (rc == 0 && (branch = find_branch(v, repository, w.repository)) != NULL)
		w.branch = branch;
	if (rc == 0 && v->name) {
		*name = mem_dup(v->name);
	} else if (rc == 0) {
		char *base = name_of(w.repository);

		*name = verbs_free_name(json_root(list), &api_workspace_kind, base);
		free(base);
	}
	if (rc == 0)
		rc = choose_target(v, &target, &runner, e);
	if (rc == 0)
		rc = cli_new_id(id, e);
	w.id = id;
	w.name = *name;
	w.target_id = target;
	if (rc == 0)
		rc = create(v, &w, runner, e);
	if (rc < 0 && e->kind != ERR_CANCELED && e->kind != ERR_USAGE)
		err_wrap(e, "create workspace%s%s", *name ? " " : "", *name ? *name : "");
	kv_free(&w.env);
	kv_free(&w.labels);
	template_free(&t);
	json_doc_free(context);
	json_doc_free(list);
	free(target);
	free(runner);
	free(branch);
	return rc;
}

int workspace_create(struct verbs *v, struct err *e)
{
	char *asked = NULL, *name = NULL;
	int rc = v->n ? 0 : ask_repository(&asked, e);

	if (rc == 0 && v->n && file_is_dir(v->operands[0]))
		rc = err_set(
			e, ERR_USAGE, 0,
			"%s is a directory here; give an address that the runner reaches, such as https://… or file:///…",
			v->operands[0]);
	if (rc == 0)
		rc = workspace_make(v, v->n ? v->operands[0] : asked, &name, e);
	if (rc == 0)
		printf("Workspace %s %s.\nNext: daytona-runner shell %s\n", name,
		       v->wait ? "is started" : "has its job", name);
	free(asked);
	free(name);
	return rc;
}

int workspace_list(struct verbs *v, struct err *e)
{
	struct kv labels = { 0 };
	struct buf json = { 0 }, path = { 0 };
	struct json_doc *doc = NULL;
	int rc = verbs_pairs(&v->labels, false, &labels, e);

	if (rc == 0 && !labels.n)
		return verbs_list(v, e);
	kv_to_json(&labels, &json);
	buf_adds(&path, "/workspace?labels=");
	buf_add_urlenc(&path, buf_str(&json));
	if (rc == 0)
		doc = verbs_list_at(v, buf_cstr(&path), e);
	if (doc && v->format == CLI_TEXT && json_len(json_root(doc)) == 0)
		puts("There are no such workspaces.");
	else if (doc)
		verbs_show_list(v, &api_workspace_kind, json_root(doc));
	kv_free(&labels);
	buf_free(&json);
	buf_free(&path);
	if (rc == 0 && !doc)
		rc = -1;
	json_doc_free(doc);
	return rc;
}
