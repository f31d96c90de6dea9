/* SPDX-License-Identifier: Apache-2.0 */
/* Workspaces (protocol 3.6, 3.7, 11.3, 11.7). See srv.h. */
#include "base/jsonw.h"
#include "base/mem.h"
#include "server/git.h"
#include "server/resources.h"
#include "server/role.h"

/* Client keys see neither keys nor DAYTONA_* variables, but the target's options (3.6). */
static void view(struct call *c, struct buf *b, const struct rec *w)
{
	view_workspace(c->s, b, w, role_hides(c, K_WORKSPACE) | VIEW_STATE,
	               role_hides(c, K_TARGET) | role_options(c) | VIEW_NESTED);
}

/* Does the text of the labels have what each wanted one looks like there? Most have not, and need
 * not be taken apart. */
static bool may_have_labels(const struct rec *w, const struct buf *looks)
{
	struct str text = rec_json(w, "labels"), rest = buf_str(looks), look;

	while (str_next(&rest, '\n', &look))
		if (look.n && !memmem(text.p ? text.p : "", text.n, look.p, look.n))
			return false;
	return true;
}

/* labels=key=value,key=value…, all of which the workspace must have. */
static bool has_labels(const struct rec *w, struct str wanted)
{
	struct err e = { 0 };
	struct json_doc *doc = json_parse(rec_json(w, "labels"), SIZE_MAX, &e);
	struct str piece;
	bool all = true;

	while (all && str_next(&wanted, ',', &piece)) {
		if (piece.n == 0)
			continue; /* none wanted, or a comma too many */
		const char *eq = memchr(piece.p, '=', piece.n);
		char *key = mem_dupn(piece.p, eq ? (size_t)(eq - piece.p) : piece.n);
		char *value = eq ? mem_dupn(eq + 1, piece.n - strlen(key) - 1) : mem_dup("");

		all = json_str_is(json_get(json_root(doc), key), value);
		free(key);
		free(value);
	}
	json_doc_free(doc);
	return all;
}

/* As normal_map writes them: "key":"value", one a line. */
static uint16_t labels_look(struct str wanted, struct buf *looks)
{
	struct str piece;
	uint16_t marks = 0;

	while (str_next(&wanted, ',', &piece)) {
		const char *eq = piece.n ? memchr(piece.p, '=', piece.n) : NULL;
		size_t from = looks->n;

		if (!eq)
			continue;
		jw_str(looks, (struct str){ piece.p, (size_t)(eq - piece.p) });
		buf_addc(looks, ':');
		jw_str(looks, (struct str){ eq + 1, piece.n - (size_t)(eq - piece.p) - 1 });
		marks |= rec_mark_of((struct str){ looks->p + from, looks->n - from });
		buf_addc(looks, '\n');
	}
	return marks;
}

/* {"key":"value"} as text is the form the reference's client sends. */
static void labels_wanted(struct call *c, struct buf *out)
{
	struct buf raw = { 0 };
	struct err e = { 0 };

	call_query(c, "labels", &raw);
	struct json_doc *doc = raw.n && raw.p[0] == '{'
	                               ? json_parse(buf_str(&raw), JSON_BODY_MAX, &e)
	                               : NULL;

	for (struct json member = json_first(json_root(doc)); json_present(member);
	     member = json_next(member)) {
		if (out->n)
			buf_addc(out, ',');
		json_key(member, out);
		buf_addc(out, '=');
		json_string(member, out);
	}
	if (!doc)
		buf_add_str(out, buf_str(&raw));
	json_doc_free(doc);
	buf_free(&raw);
}

void h_workspace_list(struct call *c)
{
	struct buf b = { 0 }, wanted = { 0 }, looks = { 0 };
	uint16_t marks;

	labels_wanted(c, &wanted);
	marks = labels_look(buf_str(&wanted), &looks);
	jw_arr(&b);
	for (const struct rec *w = store_first(&c->s->store, K_WORKSPACE); w; w = store_next(w))
		if ((rec_marks(w) & marks) == marks && may_have_labels(w, &looks) &&
		    !is_deleted(c->s, w) && role_owns(c, w) &&
		    (!wanted.n || has_labels(w, buf_str(&wanted))))
			view(c, &b, w);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
	buf_free(&looks);
	buf_free(&wanted);
}

void h_workspace_get(struct call *c)
{
	bool deleted;
	const struct rec *w = find_live(c->s, K_WORKSPACE, c->param[0], &deleted);
	struct buf b = { 0 };

	if (!w) {
		reply_error(c, 404, "failed to find workspace: workspace %s",
		            deleted ? "is deleted" : "not found");
		return;
	}
	view(c, &b, w);
	reply_json(c, 200, &b);
}

/* Image and user of the body, else the configured ones. */
static void set_or_default(struct call *c, struct rec *w, const char *name, struct json body,
                           const char *setting)
{
	char *text = json_dup_or_empty(json_get(body, name));

	if (!text[0]) {
		free(text);
		text = srv_config_get(c->s, setting);
	}
	rec_set(w, name, text ? text : "");
	free(text);
}

static void fill(struct call *c, struct rec *w, struct json body, const char *url, const char *key)
{
	struct json build = json_get(body, "buildConfig");
	struct buf b = { 0 };
	char now[STAMP_SIZE];

	set_or_default(c, w, "image", body, "defaultWorkspaceImage");
	set_or_default(c, w, "user", body, "defaultWorkspaceUser");
	if (json_is_object(build)) {
		normal_build_config(&b, build);
		rec_set_json(w, "buildConfig", buf_str(&b));
		buf_reset(&b);
	}
	normal_repository(&b, json_get(json_get(body, "source"), "repository"), url);
	rec_set_json(w, "repository", buf_str(&b));
	buf_reset(&b);
	resource_env(c, &b, rec_text(w, "targetId"), rec_text(w, "id"), url, key,
	             json_get(body, "envVars"));
	rec_set_json(w, "envVars", buf_str(&b));
	buf_wipe(&b);
	normal_map(&b, json_get(body, "labels"));
	rec_set_json(w, "labels", buf_str(&b));
	buf_free(&b);
	stamp_now(now);
	rec_set(w, "apiKey", key);
	rec_set(w, "providerMetadata", NULL);
	rec_set(w, "mdUpdated", now);
	rec_set_int(w, "mdUptime", 0);
	rec_set_json(
		w, "mdGit",
		STR_LIT("{\"currentBranch\":\"\",\"fileStatus\":null,\"branchPublished\":false,"
	                "\"ahead\":0,\"behind\":0}"));
}

static int check_new(struct srv *s, struct change *ch, const char *id, const char *name,
                     struct err *e)
{
	bool deleted;
	const struct rec *old = store_find(&s->store, K_WORKSPACE, "id", id);

	/* Both are looked up as id or name: none may be another's. */
	if (find_live(s, K_WORKSPACE, name, &deleted) || find_live(s, K_WORKSPACE, id, &deleted) ||
	    (old && !is_deleted(s, old)))
		return err_set(e, ERR_EXISTS, 0, "workspace already exists");
	if (!resource_name_ok(name))
		return err_set(e, ERR_USAGE, 0,
		               "workspace name is not valid. Only [a-zA-Z0-9-_.] are allowed");
	if (job_in_progress(s, "workspace", id))
		return err_set(e, ERR_BUSY, 0, "another job is in progress");
	if (old)
		change_remove(ch, old);
	return 0;
}

/* Adds workspace, key and job to a change; NULL with e. */
static const struct rec *workspace_add(struct call *c, struct change *ch, struct json body,
                                       const char *id, const char *name, struct err *e)
{
	struct srv *s = c->s;
	char *target = json_dup_or_empty(json_get(body, "targetId"));
	char *git = json_dup_or_empty(json_get(body, "gitProviderConfigId"));
	char *url = normal_repo_url(
		json_get(json_get(json_get(body, "source"), "repository"), "url"));
	char key[API_KEY_SIZE] = "";
	bool deleted;
	const struct rec *t = find_live(s, K_TARGET, target, &deleted);
	const struct rec *config = t ? resource_config(s, t) : NULL;
	struct rec *w = NULL;

	if (!t) {
		err_set(e, ERR_NOT_FOUND, 0, "target not found");
	} else if ((git[0] || git_adopt(s, url, &git, e) == 0) &&
	           key_add(s, ch, "workspace", id, key, e) == 0) {
		w = change_add(ch, K_WORKSPACE);
		rec_set(w, "id", id);
		rec_set(w, "name", name);
		rec_set(w, "targetId", rec_text(t, "id"));
		rec_set(w, "gitProviderConfigId", git[0] ? git : NULL);
		fill(c, w, body, url, key);
		if (job_add(s, ch, "workspace", id, config ? rec_get(config, "runnerId") : NULL,
		            "create", NULL, e) < 0)
			w = NULL;
	}
	mem_wipe(key, sizeof(key));
	free(target);
	free(git);
	free(url);
	return w;
}

static const struct rec *workspace_create(struct call *c, struct json body, struct err *e)
{
	struct change *ch = change_begin(&c->s->store);
	char *id = json_dup_or_empty(json_get(body, "id"));
	char *name = json_dup_or_empty(json_get(body, "name"));
	const struct rec *w = NULL;

	if (check_new(c->s, ch, id, name, e) == 0)
		w = workspace_add(c, ch, body, id, name, e);
	if (!w)
		change_drop(ch);
	else if (change_commit(ch, e) < 0)
		w = NULL;
	free(id);
	free(name);
	return w;
}

void h_workspace_create(struct call *c)
{
	unsigned hide = c->key_type == KEY_CLIENT ? VIEW_HIDE : 0;
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };

	if (!call_body(c, &dto_create_workspace, &body))
		return;
	const struct rec *w = workspace_create(c, body, &e);

	if (!w) {
		reply_error(c, error_status(&e), "failed to create workspace: %s", e.msg);
		return;
	}
	/* The reference answers before it has read the metadata back, but with the target's. */
	view_workspace(c->s, &b, w, hide | VIEW_STATE | VIEW_NEW,
	               hide | VIEW_OPTIONS | VIEW_CREATED);
	reply_json(c, 200, &b);
}

void h_workspace_labels(struct call *c)
{
	struct json body;
	struct err e = { 0 };
	struct buf b = { 0 };
	bool deleted;

	if (!call_body(c, &dto_labels, &body))
		return;
	const struct rec *w = find_live(c->s, K_WORKSPACE, c->param[0], &deleted);

	if (!w) {
		reply_error(c, 500, "failed to update workspace labels %s: workspace not found",
		            c->param[0]);
		return;
	}
	struct change *ch = change_begin(&c->s->store);

	normal_map(&b, body);
	rec_set_json(change_edit(ch, w), "labels", buf_str(&b));
	buf_free(&b);
	if (change_commit(ch, &e) < 0) {
		reply_error(c, error_status(&e), "failed to update workspace labels %s: %s",
		            c->param[0], e.msg);
		return;
	}
	view(c, &b, w);
	reply_json(c, 200, &b);
}

void h_workspace_delete(struct call *c)
{
	resource_delete(c, K_WORKSPACE);
}

void h_workspace_start(struct call *c)
{
	resource_act(c, K_WORKSPACE, "start");
}

void h_workspace_stop(struct call *c)
{
	resource_act(c, K_WORKSPACE, "stop");
}

void h_workspace_restart(struct call *c)
{
	resource_act(c, K_WORKSPACE, "restart");
}

void h_workspace_state(struct call *c)
{
	resource_state(c, K_WORKSPACE);
}

void h_workspace_metadata(struct call *c)
{
	resource_metadata(c, K_WORKSPACE);
}

void h_workspace_provider_metadata(struct call *c)
{
	resource_provider_metadata(c, K_WORKSPACE);
}
