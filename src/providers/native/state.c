/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a native workspace; see state.h. */
#include "providers/native/state.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/proc_by_env.h"
#include "sandbox/sandbox.h"

#include <dirent.h>
#include <stdlib.h>

#define STATE_MAX (64 << 10)

static int paths_in(struct native_paths *p, const char *state_dir, const char *parent,
                    const char *id, struct err *e)
{
	struct buf root = { 0 };

	*p = (struct native_paths){ 0 };
	if (!str_is_id(str_of(id)))
		return err_set(e, ERR_PARSE, 0, "the id \"%s\" is not usable", id);
	buf_addf(&root, "%s/%s/%s", state_dir, parent, id);
	p->root = buf_take(&root);
	p->own = path_join(p->root, ".runner");
	p->state = path_join(p->own, "workspace.json");
	p->agent = path_join(p->own, "agent.json");
	p->log = path_join(p->own, "agent.log");
	p->old_log = path_join(p->own, "agent.log.1");
	p->home = path_join(p->own, "home");
	p->box = path_join(p->own, "box");
	p->ids = path_join(state_dir, "ids");
	p->images = path_join(state_dir, "images");
	return 0;
}

int native_paths(struct native_paths *p, const char *state_dir, const char *id, struct err *e)
{
	return paths_in(p, state_dir, "workspaces", id, e);
}

int native_build_paths(struct native_paths *p, const char *state_dir, const char *id, struct err *e)
{
	return paths_in(p, state_dir, "builds", id, e);
}

void native_paths_free(struct native_paths *p)
{
	free(p->root);
	free(p->own);
	free(p->state);
	free(p->agent);
	free(p->log);
	free(p->old_log);
	free(p->home);
	free(p->box);
	free(p->ids);
	free(p->images);
	*p = (struct native_paths){ 0 };
}

static struct json_doc *read_json(const char *path, struct err *e)
{
	struct buf text = { 0 };
	struct json_doc *doc = NULL;

	if (file_read(path, STATE_MAX, &text, e) == 0)
		doc = json_parse(buf_str(&text), STATE_MAX, e);
	buf_free(&text);
	return doc;
}

static const char *const kinds[] = { "", "image", "tree", "archive", "host" };
static const char *const maps[] = { "single", "tools", "range" };

static uint32_t number(struct json v)
{
	int64_t n;

	return json_i64(v, 0, UINT32_MAX, &n) ? (uint32_t)n : 0;
}

static void read_box(struct native_box *b, struct json v)
{
	for (size_t i = 1; i < ARRAY_LEN(kinds); i++)
		if (json_str_is(json_get(v, "kind"), kinds[i]))
			b->kind = (enum box_kind)i;
	if (b->kind == BOX_NONE)
		return;
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (json_str_is(json_get(v, "map"), maps[i]))
			b->map.how = (enum map_how)i;
	b->source = json_dup_or_empty(json_get(v, "source"));
	b->manifest = json_dup_or_empty(json_get(v, "manifest"));
	b->map.uids = number(json_get(v, "uids"));
	b->map.gids = number(json_get(v, "gids"));
	b->map.n_uids = number(json_get(v, "uidCount"));
	b->map.n_gids = number(json_get(v, "gidCount"));
	b->shift = json_bool(json_get(v, "shift"), false);
	b->flat = json_bool(json_get(v, "flat"), false);
	b->strict = json_bool(json_get(v, "strict"), false);
}

static void write_box(const struct native_box *b, struct buf *out)
{
	if (b->kind == BOX_NONE)
		return;
	jw_key(out, "sandbox");
	jw_obj(out);
	jw_kstr(out, "kind", kinds[b->kind]);
	jw_kstr(out, "source", b->source);
	jw_kstr(out, "manifest", b->manifest);
	jw_kstr(out, "map", maps[b->map.how]);
	jw_kint(out, "uids", b->map.uids);
	jw_kint(out, "gids", b->map.gids);
	jw_kint(out, "uidCount", b->map.n_uids);
	jw_kint(out, "gidCount", b->map.n_gids);
	jw_kbool(out, "shift", b->shift);
	jw_kbool(out, "flat", b->flat);
	jw_kbool(out, "strict", b->strict);
	jw_obj_end(out);
}

int native_state_read(struct native_state *s, const struct native_paths *p, struct err *e)
{
	struct json_doc *doc = read_json(p->state, e);
	struct json root;

	*s = (struct native_state){ 0 };
	if (!doc && e->kind != ERR_NOT_FOUND && e->kind != ERR_PARSE && e->kind != ERR_LIMIT)
		return -1;
	if (doc) {
		root = json_root(doc);
		s->id = json_dup_or_empty(json_get(root, "id"));
		s->target_id = json_dup_or_empty(json_get(root, "targetId"));
		s->url = json_dup_or_empty(json_get(root, "repositoryUrl"));
		s->dir = json_dup_or_empty(json_get(root, "directory"));
		s->complete = json_bool(json_get(root, "complete"), false);
		read_box(&s->box, json_get(root, "sandbox"));
		json_doc_free(doc);
		if (str_is_id(str_of(s->dir)))
			return 0;
		native_state_free(s);
	}
	return err_set(e, ERR_NOT_FOUND, 0, "the workspace does not exist on this runner");
}

int native_state_write(const struct native_state *s, const struct native_paths *p, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	jw_obj(&b);
	jw_kstr(&b, "id", s->id);
	jw_kstr(&b, "targetId", s->target_id);
	jw_kstr(&b, "repositoryUrl", s->url);
	jw_kstr(&b, "directory", s->dir);
	jw_kbool(&b, "complete", s->complete);
	write_box(&s->box, &b);
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	/* One that was only begun counts as such without its record too. */
	rc = (s->complete || s->box.kind != BOX_NONE ? file_replace : file_swap)(p->state, 0600,
	                                                                         buf_str(&b), e);
	buf_free(&b);
	return rc;
}

void native_state_free(struct native_state *s)
{
	free(s->id);
	free(s->target_id);
	free(s->url);
	free(s->dir);
	free(s->box.source);
	free(s->box.manifest);
	*s = (struct native_state){ 0 };
}

static struct proc_id read_process(struct json v)
{
	int64_t pid, start;

	if (json_i64(json_get(v, "pid"), 2, INT32_MAX, &pid) &&
	    json_i64(json_get(v, "start"), 0, INT64_MAX, &start))
		return (struct proc_id){ (pid_t)pid, (uint64_t)start };
	return (struct proc_id){ 0 };
}

/* As it was written in this boot, whatever became of it. */
static struct native_agent recorded_agent(const struct native_paths *p)
{
	struct err ignored = { 0 }; /* no record, or a bad one: then the marks in /proc decide */
	struct json_doc *doc = read_json(p->agent, &ignored);
	struct json root = json_root(doc);
	struct native_agent a = { 0 };
	struct buf boot = { 0 };

	proc_boot_id(&boot);
	buf_addc(&boot, '\0');
	if (json_str_is(json_get(root, "boot"), boot.p)) {
		a.id = read_process(root);
		a.boxed = json_bool(json_get(root, "sandbox"), false);
		a.helper = read_process(json_get(root, "network"));
	}
	buf_free(&boot);
	json_doc_free(doc);
	return a;
}

struct native_agent native_agent_read(const struct native_paths *p)
{
	struct native_agent a = recorded_agent(p);
	bool alive = a.boxed ? sandbox_alive(a.id)
	                     : a.id.pid && proc_has_env(a.id.pid, NATIVE_MARK, p->root) &&
	                               proc_alive(a.id);

	if (!alive)
		a.id = (struct proc_id){ 0 };
	return a;
}

bool native_agent_ended(const char *state_dir, pid_t pid, struct buf *id)
{
	char *parent = path_join(state_dir, "workspaces");
	DIR *d = opendir(parent);
	struct dirent *ent;
	bool found = false;

	while (d && !found && (ent = readdir(d)) != NULL) {
		struct native_paths p = { 0 };
		struct err none = { 0 };

		if (native_paths(&p, state_dir, ent->d_name, &none) == 0)
			found = recorded_agent(&p).id.pid == pid;
		if (found)
			buf_adds(id, ent->d_name);
		native_paths_free(&p);
	}
	if (d)
		closedir(d);
	free(parent);
	return found;
}

static void write_process(struct proc_id id, struct buf *b)
{
	jw_kint(b, "pid", id.pid);
	jw_kint(b, "start", (int64_t)id.start);
}

int native_agent_write(const struct native_paths *p, const struct native_agent *a, struct err *e)
{
	struct buf b = { 0 }, boot = { 0 };
	int rc;

	proc_boot_id(&boot);
	jw_obj(&b);
	write_process(a->id, &b);
	jw_key(&b, "boot");
	jw_str(&b, buf_str(&boot));
	if (a->boxed)
		jw_kbool(&b, "sandbox", true);
	if (a->helper.pid) {
		jw_key(&b, "network");
		jw_obj(&b);
		write_process(a->helper, &b);
		jw_obj_end(&b);
	}
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_swap(p->agent, 0600, buf_str(&b), e); /* it says nothing about another boot */
	buf_free(&boot);
	buf_free(&b);
	return rc;
}
