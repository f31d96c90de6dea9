/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workspaces: finding their container by what is recorded, or by labels where nothing is, so that those of the reference
 * are taken over (protocol 8.8), and creating. Each step may be repeated after a crash at any point.
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

/* A label that the container must have been given. */
struct claim {
	const char *key, *value;
};

/* Ours by the nonce of the record; else by the labels that the reference gives. n of claims. */
static size_t claims_of(const struct workspace *ws, const struct wsdir *dir, struct claim *out)
{
	size_t n = 0;

	if (*dir->notes.nonce) {
		out[n++] = (struct claim){ LABEL_NONCE, dir->notes.nonce };
		return n;
	}
	if (ws->target_id && *ws->target_id)
		out[n++] = (struct claim){ LABEL_TARGET, ws->target_id };
	out[n++] = (struct claim){ LABEL_WORKSPACE, ws->id };
	return n;
}

/* NULL when the labels make it the workspace's, else why they do not. */
static const char *objection(const struct identity *i, const struct claim *claims, size_t n)
{
	if (!i->known)
		return "its image is gone, so that nothing tells who gave it its labels";
	if (identity_label(i, LABEL_BUILD))
		return "it is a build's";
	if (identity_label(i, LABEL_HELPER))
		return "it is a helper of a runner";
	for (size_t c = 0; c < n; c++) {
		const char *given = identity_label(i, claims[c].key);

		if (!given && kv_get(i->labels, claims[c].key))
			return "the label comes from its image, which says nothing about whose it "
			       "is";
		if (!given || strcmp(given, claims[c].value) != 0)
			return "it does not carry the workspace's label";
	}
	return NULL;
}

/* *why: NULL when the labels make the container the workspace's. */
static int judge(struct docker *docker, const struct workspace *ws, const struct wsdir *dir,
                 const struct kv *labels, const char *image_id, const char **why, struct deadline d,
                 struct err *e)
{
	struct claim claims[2];
	size_t n = claims_of(ws, dir, claims);
	struct identity i;

	if (identity_read(docker, labels, image_id, &i, d, e) < 0)
		return -1;
	*why = objection(&i, claims, n);
	identity_free(&i);
	return 0;
}

/* Of several the one that has the workspace's name; which no image and no workspace can give. */
static int settle(const struct workspace *ws, const struct container_list *l, const bool *mine,
                  const struct container_item **out, struct err *e)
{
	char *name = ws_container_name(ws);
	const struct container_item *first = NULL, *named = NULL;
	struct buf all = { 0 };
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (!mine[i])
			continue;
		first = &l->list[i];
		if (strcmp(first->name, name) == 0)
			named = first;
		buf_addf(&all, "%s%s (%.12s)", count++ ? ", " : "", first->name, first->id);
	}
	*out = named ? named : first;
	if (!count)
		rc = err_set(e, ERR_NOT_FOUND, 404, "no container is workspace %s's", ws->id);
	else if (count > 1 && !named)
		rc = err_set(e, ERR_EXISTS, 0,
		             "%zu containers could be workspace %s's, and none is named %s: %s; "
		             "remove those that are not",
		             count, ws->id, name, buf_cstr(&all));
	buf_free(&all);
	free(name);
	return rc;
}

static int find_by_labels(struct docker *docker, const struct workspace *ws,
                          const struct wsdir *dir, struct container *out, struct deadline d,
                          struct err *e)
{
	struct claim claims[2];
	struct buf texts[2] = { 0 };
	const char *labels[2];
	const struct container_item *found;
	struct container_list l;
	size_t n = claims_of(ws, dir, claims);
	bool *mine;
	int rc;

	for (size_t i = 0; i < n; i++) {
		buf_addf(&texts[i], "%s=%s", claims[i].key, claims[i].value);
		labels[i] = buf_cstr(&texts[i]);
	}
	rc = container_list(&docker->engine, labels, n, &l, d, e);
	mine = mem_array(l.n, sizeof(*mine));
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		const char *why = NULL;

		rc = judge(docker, ws, dir, &l.list[i].labels, l.list[i].image_id, &why, d, e);
		mine[i] = !why;
		if (why)
			provider_logf(docker->env,
			              "Container %s (%.12s), labelled as workspace %s, is left "
			              "alone: %s",
			              l.list[i].name, l.list[i].id, ws->id, why);
	}
	if (rc == 0)
		rc = settle(ws, &l, mine, &found, e);
	if (rc == 0)
		rc = container_inspect(&docker->engine, found->id, out, d, e);
	free(mine);
	container_list_free(&l);
	for (size_t i = 0; i < n; i++)
		buf_free(&texts[i]);
	return rc;
}

int ws_owns(struct docker *docker, const struct workspace *ws, const struct wsdir *dir,
            const struct container *c, bool *owns, struct deadline d, struct err *e)
{
	const char *why = NULL;
	int rc = 0;

	if (strcmp(dir->notes.container, c->id) != 0)
		rc = judge(docker, ws, dir, &c->labels, c->image_id, &why, d, e);
	*owns = rc == 0 && !why;
	return rc;
}

/* For an engine that cannot list. */
static int find_by_name(struct docker *docker, const struct workspace *ws, const struct wsdir *dir,
                        struct container *out, struct deadline d, struct err *e)
{
	char *name = ws_container_name(ws);
	bool owns = false;
	int rc = container_inspect(&docker->engine, name, out, d, e);

	if (rc == 0)
		rc = ws_owns(docker, ws, dir, out, &owns, d, e);
	if (rc == 0 && !owns)
		rc = err_set(e, ERR_NOT_FOUND, 404, "container %s is not workspace %s's", name,
		             ws->id);
	if (rc < 0)
		container_free(out);
	free(name);
	return rc;
}

/* *found false: it is not there any more. */
static int find_by_id(struct docker *docker, const struct wsdir *dir, struct container *out,
                      bool *found, struct deadline d, struct err *e)
{
	const char *nonce;
	int rc = container_inspect(&docker->engine, dir->notes.container, out, d, e);

	*found = rc == 0;
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		return 0;
	}
	if (rc < 0)
		return -1;
	nonce = kv_get(&out->labels, LABEL_NONCE);
	/* A reference may match a name as well. */
	if (strcmp(out->id, dir->notes.container) != 0 ||
	    (*dir->notes.nonce && (!nonce || strcmp(nonce, dir->notes.nonce) != 0))) {
		*found = false;
		container_free(out);
	}
	return 0;
}

static int take_over(struct docker *docker, struct wsdir *dir, const struct container *c,
                     struct err *e)
{
	const char *nonce = kv_get(&c->labels, LABEL_NONCE);

	provider_logf(docker->env,
	              "Taking over container %s (%.12s), of which this runner has no record: its "
	              "labels are the workspace's, and not its image's",
	              c->name, c->id);
	free(dir->notes.nonce);
	dir->notes.nonce = mem_dup(nonce ? nonce : "");
	wsdir_about(dir, c->id);
	return wsdir_save(dir, e);
}

int ws_find(struct docker *docker, const struct workspace *ws, struct wsdir *dir,
            struct container *out, struct deadline d, struct err *e)
{
	bool recorded = wsdir_recorded(dir), found = false;
	int rc = 0;

	*out = (struct container){ 0 };
	if (*dir->notes.container)
		rc = find_by_id(docker, dir, out, &found, d, e);
	if (rc < 0 || found)
		return rc;
	if (recorded && !*dir->notes.nonce)
		return err_set(e, ERR_NOT_FOUND, 404, "container %.12s of workspace %s is gone",
		               dir->notes.container, ws->id);
	rc = find_by_labels(docker, ws, dir, out, d, e);
	if (rc < 0 && e->kind == ERR_HTTP) {
		err_clear(e);
		rc = find_by_name(docker, ws, dir, out, d, e);
	}
	if (rc < 0 || !recorded)
		return rc < 0 ? -1 : take_over(docker, dir, out, e);
	wsdir_about(dir, out->id);
	return wsdir_save(dir, e);
}

bool ws_unfinished(const struct docker *docker, const struct workspace *ws, struct wsdir *dir,
                   const struct container *c)
{
	wsdir_about(dir, c->id);
	return !docker->engine.local && ws->has_build_config && !dir->notes.uploaded &&
	       c->state == CS_CREATED;
}

int ws_create(struct docker *docker, const struct workspace_job *w, struct deadline d,
              struct err *e)
{
	struct wsdir dir;
	struct container c;
	char *id = NULL;
	int rc;

	if (wsdir_open(&dir, docker->env, w->ws, e) < 0)
		return -1;
	rc = ws_find(docker, w->ws, &dir, &c, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ws_make_container(docker, w, &dir, &id, d, e);
	} else if (rc == 0) {
		if (c.state == CS_REMOVING || ws_unfinished(docker, w->ws, &dir, &c)) {
			rc = container_remove(&docker->engine, c.id, d, e);
			if (rc == 0)
				rc = ws_make_container(docker, w, &dir, &id, d, e);
		} else {
			provider_logf(docker->env, "Container %s is there already (%s)", c.name,
			              c.state_text);
		}
	}
	if (rc == 0 && id)
		provider_logf(docker->env, "Container %.12s created", id);
	container_free(&c);
	free(id);
	wsdir_free(&dir);
	return rc;
}
