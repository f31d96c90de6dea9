/* SPDX-License-Identifier: Apache-2.0 */
/* See known.h. */
#include "jobs/known.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "jobs/joblog.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX (256 << 10)
#define RECORDS_MAX 10000

static char *record_path(const char *state_dir, const char *id)
{
	char *log = joblog_path(state_dir, RES_WORKSPACE, id);
	struct buf b = { 0 };

	buf_add(&b, log, strlen(log) - strlen("log"));
	buf_adds(&b, "about");
	free(log);
	return buf_take(&b);
}

/* "Remote Password", and what a later provider may have. */
static bool is_secret(struct str key)
{
	static const char *const words[] = { "password", "secret", "token" };
	bool found = false;

	for (size_t w = 0; w < ARRAY_LEN(words); w++)
		for (size_t i = 0; i + strlen(words[w]) <= key.n; i++)
			found |= str_ieq((struct str){ key.p + i, strlen(words[w]) }, words[w]);
	return found;
}

static void add_options(struct buf *b, const char *options)
{
	struct buf text = { 0 };
	struct err ignored;
	struct json_doc *doc = options && *options
	                               ? json_parse(str_of(options), RECORD_MAX, &ignored)
	                               : NULL;
	struct json root = json_root(doc);

	jw_obj(&text);
	for (struct json member = json_first(root); json_is_object(root) && json_present(member);
	     member = json_next(member)) {
		struct buf key = { 0 };

		json_key(member, &key);
		if (!is_secret(buf_str(&key))) {
			jw_key(&text, buf_cstr(&key));
			jw_raw(&text, json_raw(member));
		}
		buf_free(&key);
	}
	jw_obj_end(&text);
	jw_kstr(b, "options", buf_cstr(&text));
	buf_wipe(&text);
	json_doc_free(doc);
}

int known_save(const char *state_dir, const struct workspace *ws, struct err *e)
{
	char *path = record_path(state_dir, ws->id), *repository = git_dir_name(&ws->repo);
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "id", ws->id);
	jw_kstr(&b, "name", ws->name);
	jw_kstr(&b, "provider", ws->target.config.provider.name);
	jw_kstr(&b, "targetId", ws->target_id);
	jw_kstr(&b, "user", ws->user);
	jw_kstr(&b, "image", ws->image);
	jw_kstr(&b, "repository", repository);
	jw_kbool(&b, "build", ws->has_build_config);
	add_options(&b, ws->target.config.options);
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_replace(path, 0600, buf_str(&b), e);
	buf_free(&b);
	free(repository);
	free(path);
	return rc;
}

static bool load_one(struct workspace *ws, const char *state_dir, const char *id)
{
	char *path = record_path(state_dir, id);
	struct json_doc *doc = NULL;
	struct buf text = { 0 };
	struct err ignored;
	struct json v;

	if (file_read(path, RECORD_MAX, &text, &ignored) == 0)
		doc = json_parse(buf_str(&text), RECORD_MAX, &ignored);
	v = json_root(doc);
	buf_free(&text);
	free(path);
	if (!json_str_is(json_get(v, "id"), id)) {
		json_doc_free(doc);
		return false;
	}
	*ws = (struct workspace){
		.id = mem_dup(id),
		.name = json_dup_or_empty(json_get(v, "name")),
		.user = json_dup_or_empty(json_get(v, "user")),
		.image = json_dup_or_empty(json_get(v, "image")),
		.target_id = json_dup_or_empty(json_get(v, "targetId")),
		.has_build_config = json_bool(json_get(v, "build"), false),
	};
	ws->repo.name = json_dup_or_empty(json_get(v, "repository"));
	ws->repo.url = mem_dup("");
	ws->target.config.options = json_dup_or_empty(json_get(v, "options"));
	ws->target.config.provider.name = json_dup_or_empty(json_get(v, "provider"));
	json_doc_free(doc);
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct workspace *workspace = a, *y = b;
	int order = strcmp(workspace->name, y->name);

	return order ? order : strcmp(workspace->id, y->id);
}

void known_load(struct known *known, const char *state_dir)
{
	struct buf dir = { 0 };
	struct dirent *ent;
	DIR *d;

	*known = (struct known){ 0 };
	buf_addf(&dir, "%s/logs/%s", state_dir, joblog_kind_dir(RES_WORKSPACE));
	d = opendir(buf_cstr(&dir));
	while (d && known->n < RECORDS_MAX && (ent = readdir(d)) != NULL) {
		struct workspace ws;

		if (!str_is_id(str_of(ent->d_name)) || !load_one(&ws, state_dir, ent->d_name))
			continue;
		known->list = mem_realloc(known->list, (known->n + 1) * sizeof(*known->list));
		known->list[known->n++] = ws;
	}
	if (d)
		closedir(d);
	buf_free(&dir);
	if (known->n)
		qsort(known->list, known->n, sizeof(*known->list), by_name);
}

void known_free(struct known *known)
{
	for (size_t i = 0; i < known->n; i++)
		workspace_free(&known->list[i]);
	free(known->list);
	*known = (struct known){ 0 };
}

const struct workspace *known_find(const struct known *known, const char *id_or_name, struct err *e)
{
	const struct workspace *found = NULL;
	size_t n = 0;

	for (size_t i = 0; i < known->n; i++) {
		if (strcmp(known->list[i].id, id_or_name) == 0)
			return &known->list[i];
		if (strcmp(known->list[i].name, id_or_name) == 0) {
			found = &known->list[i];
			n++;
		}
	}
	if (n > 1) {
		err_set(e, ERR_USAGE, 0,
		        "%zu workspaces on this host are named \"%s\"; give the id", n, id_or_name);
		return NULL;
	}
	if (!found)
		err_set(e, ERR_NOT_FOUND, 0,
		        "no workspace \"%.100s\" on this host; see daytona-runner workspaces",
		        id_or_name);
	return found;
}
