/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other containers (and networks) of the compose project that a workspace's container belongs to,
 * by the label that Docker Compose really sets (protocol 12.25).
 */
#include "base/mem.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

/* The project's name, unless the label is only inherited from the image (a committed compose container). */
static const char *project_of(struct docker *k, const struct container *c, struct deadline d)
{
	const char *project = kv_get(&c->labels, LABEL_COMPOSE_PROJECT), *of_image;
	struct image image = { 0 };
	struct err ignored = { 0 };

	if (!project || !*project)
		return NULL;
	if (image_inspect(&k->g, c->image_id, &image, d, &ignored) == 0) {
		of_image = kv_get(&image.labels, LABEL_COMPOSE_PROJECT);
		if (of_image && strcmp(of_image, project) == 0)
			project = NULL;
	}
	image_free(&image);
	return project;
}

static int act(struct docker *k, const char *id, enum sibling_action a, struct deadline d,
               struct err *e)
{
	struct container c;
	int rc;

	if (a == SIBLINGS_START)
		return container_start(&k->g, id, d, e);
	if (a == SIBLINGS_REMOVE)
		return container_remove(&k->g, id, d, e);
	rc = container_inspect(&k->g, id, &c, d, e);
	if (rc == 0)
		rc = container_stop(&k->g, &c, d, e);
	container_free(&c);
	return rc;
}

static void remove_networks(struct docker *k, const char *label, struct deadline d)
{
	struct buf path = { 0 };
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };

	buf_adds(&path, "/networks?");
	engine_add_filter(&path, "label", &label, 1);
	if (engine_call(&k->g, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, &ignored) == 0)
		for (struct json m = json_first(json_root(doc)); json_present(m);
		     m = json_next(m)) {
			char *id = json_dup_or_empty(json_get(m, "Id"));
			struct buf one = { 0 };

			buf_addf(&one, "/networks/%s", id);
			if (*id && engine_call(&k->g, "DELETE", buf_cstr(&one), (struct str){ 0 },
			                       NULL, d, &ignored) < 0)
				provider_logf(k->env, "Warning: network %.12s remains: %s", id,
				              ignored.msg);
			buf_free(&one);
			free(id);
		}
	json_doc_free(doc);
	buf_free(&path);
}

int siblings_do(struct docker *k, const struct container *c, enum sibling_action a,
                struct deadline d, struct err *e)
{
	static const char *const verbs[] = { "start", "stop", "remove" };
	const char *project = project_of(k, c, d), *label;
	struct container_list l;
	struct buf text = { 0 };
	int rc;

	if (!project)
		return 0;
	buf_addf(&text, LABEL_COMPOSE_PROJECT "=%s", project);
	label = buf_cstr(&text);
	rc = container_list(&k->g, &label, 1, &l, d, e);
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		if (strcmp(l.list[i].id, c->id) == 0)
			continue;
		rc = act(k, l.list[i].id, a, d, e);
		if (rc < 0 && e->kind == ERR_NOT_FOUND) {
			err_clear(e);
			rc = 0;
		}
		if (rc < 0)
			err_wrap(e, "%s compose container %s", verbs[a], l.list[i].name);
	}
	if (rc == 0 && a == SIBLINGS_REMOVE)
		remove_networks(k, label, d);
	container_list_free(&l);
	buf_free(&text);
	return rc;
}
