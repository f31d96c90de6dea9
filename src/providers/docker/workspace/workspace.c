/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workspaces: finding their container by label, so that those of other runners and of the reference are
 * taken over (protocol 8.8), and creating. Each step may be repeated after a crash at any point.
 */
#include "base/mem.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

char *ws_container_name(const struct workspace *ws)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s-%s", ws->target_id, ws->id);
	return buf_take(&b);
}

/* Of several with our labels, which earlier failures can leave: the running one, else the newest. */
static size_t best_of(const struct container_list *l)
{
	size_t best = 0;

	for (size_t i = 1; i < l->n; i++) {
		bool runs = l->list[i].state == CS_RUNNING,
		     best_runs = l->list[best].state == CS_RUNNING;

		if (runs != best_runs ? runs : l->list[i].created > l->list[best].created)
			best = i;
	}
	return best;
}

static int find_by_name(struct docker *k, const struct workspace *ws, struct container *out,
                        struct deadline d, struct err *e)
{
	char *name = ws_container_name(ws);
	const char *label;
	int rc = container_inspect(&k->g, name, out, d, e);

	label = rc == 0 ? kv_get(&out->labels, LABEL_WORKSPACE) : NULL;
	if (rc == 0 && (!label || strcmp(label, ws->id) != 0)) {
		container_free(out);
		rc = err_set(e, ERR_NOT_FOUND, 404,
		             "container %s does not carry the workspace's label", name);
	}
	free(name);
	return rc;
}

int ws_find(struct docker *k, const struct workspace *ws, struct container *out, struct deadline d,
            struct err *e)
{
	struct buf target = { 0 }, workspace = { 0 };
	struct container_list l;
	const char *labels[2];
	size_t n = 0;
	int rc;

	*out = (struct container){ 0 };
	buf_addf(&workspace, LABEL_WORKSPACE "=%s", ws->id);
	buf_addf(&target, LABEL_TARGET "=%s", ws->target_id ? ws->target_id : "");
	if (ws->target_id && *ws->target_id)
		labels[n++] = buf_cstr(&target);
	labels[n++] = buf_cstr(&workspace);
	rc = container_list(&k->g, labels, n, &l, d, e);
	if (rc == 0 && l.n > 1)
		provider_logf(k->env, "%zu containers carry this workspace's labels; using %.12s",
		              l.n, l.list[best_of(&l)].id);
	if (rc == 0 && l.n)
		rc = container_inspect(&k->g, l.list[best_of(&l)].id, out, d, e);
	else if (rc == 0 || e->kind == ERR_HTTP)
		rc = find_by_name(k, ws, out, d, e);
	container_list_free(&l);
	buf_free(&target);
	buf_free(&workspace);
	return rc;
}

bool ws_unfinished(const struct docker *k, const struct workspace *ws, struct wsdir *dir,
                   const struct container *c)
{
	wsdir_about(dir, c->id);
	return !k->g.local && ws->has_build_config && !dir->notes.uploaded &&
	       c->state == CS_CREATED;
}

int ws_create(struct docker *k, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct wsdir dir;
	struct container c;
	char *id = NULL;
	int rc;

	if (wsdir_open(&dir, k->env, w->ws, e) < 0)
		return -1;
	rc = ws_find(k, w->ws, &c, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ws_make_container(k, w, &dir, &id, d, e);
	} else if (rc == 0) {
		if (c.state == CS_REMOVING || ws_unfinished(k, w->ws, &dir, &c)) {
			rc = container_remove(&k->g, c.id, d, e);
			if (rc == 0)
				rc = ws_make_container(k, w, &dir, &id, d, e);
		} else {
			provider_logf(k->env, "Container %s is there already (%s)", c.name,
			              c.state_text);
		}
	}
	if (rc == 0 && id)
		provider_logf(k->env, "Container %.12s created", id);
	container_free(&c);
	free(id);
	wsdir_free(&dir);
	return rc;
}
