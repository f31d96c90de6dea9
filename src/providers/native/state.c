/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a native workspace; see state.h. */
#include "providers/native/state.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "base/proc_by_env.h"

#include <dirent.h>
#include <stdlib.h>

#define STATE_MAX (64 << 10)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

int native_paths(struct native_paths *p, const char *state_dir, const char *id, struct err *e)
{
	struct buf root = { 0 };

	*p = (struct native_paths){ 0 };
	if (!str_is_id(str_of(id)))
		return err_set(e, ERR_PARSE, 0, "the workspace id \"%s\" is not usable", id);
	buf_addf(&root, "%s/workspaces/%s", state_dir, id);
	p->root = buf_take(&root);
	p->own = path_join(p->root, ".runner");
	p->state = path_join(p->own, "workspace.json");
	p->agent = path_join(p->own, "agent.json");
	p->log = path_join(p->own, "agent.log");
	p->old_log = path_join(p->own, "agent.log.1");
	p->home = path_join(p->own, "home");
	return 0;
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
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_replace(p->state, 0600, buf_str(&b), e);
	buf_free(&b);
	return rc;
}

void native_state_free(struct native_state *s)
{
	free(s->id);
	free(s->target_id);
	free(s->url);
	free(s->dir);
	*s = (struct native_state){ 0 };
}

static void boot_id(struct buf *b)
{
	struct err ignored = { 0 }; /* without /proc there is no process identity either */

	file_read(BOOT_ID, 128, b, &ignored);
	b->n = str_trim(buf_str(b)).n;
}

/* As it was written in this boot, whatever became of it. */
static struct proc_id recorded_agent(const struct native_paths *p)
{
	struct err ignored = { 0 }; /* no record, or a bad one: then the marks in /proc decide */
	struct json_doc *doc = read_json(p->agent, &ignored);
	struct json root = json_root(doc);
	struct proc_id id = { 0 };
	struct buf boot = { 0 };
	int64_t pid, start;

	boot_id(&boot);
	buf_addc(&boot, '\0');
	if (json_i64(json_get(root, "pid"), 2, INT32_MAX, &pid) &&
	    json_i64(json_get(root, "start"), 0, INT64_MAX, &start) &&
	    json_str_is(json_get(root, "boot"), boot.p)) {
		id.pid = (pid_t)pid;
		id.start = (uint64_t)start;
	}
	buf_free(&boot);
	json_doc_free(doc);
	return id;
}

struct proc_id native_agent_read(const struct native_paths *p)
{
	struct proc_id id = recorded_agent(p);

	if (id.pid && (!proc_has_env(id.pid, NATIVE_MARK, p->root) || !proc_alive(id)))
		id = (struct proc_id){ 0 };
	return id;
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
			found = recorded_agent(&p).pid == pid;
		if (found)
			buf_adds(id, ent->d_name);
		native_paths_free(&p);
	}
	if (d)
		closedir(d);
	free(parent);
	return found;
}

int native_agent_write(const struct native_paths *p, struct proc_id id, struct err *e)
{
	struct buf b = { 0 }, boot = { 0 };
	int rc;

	boot_id(&boot);
	jw_obj(&b);
	jw_kint(&b, "pid", id.pid);
	jw_kint(&b, "start", (int64_t)id.start);
	jw_key(&b, "boot");
	jw_str(&b, buf_str(&boot));
	jw_obj_end(&b);
	buf_addc(&b, '\n');
	rc = file_replace(p->agent, 0600, buf_str(&b), e);
	buf_free(&boot);
	buf_free(&b);
	return rc;
}
