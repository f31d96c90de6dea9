/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other containers (and networks) of the compose project that a workspace's container belongs to,
 * by the label that Docker Compose really sets (protocol 12.25).
 */
#include "base/mem.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

/* A compose project has the name that its files give it, which those of another workspace may give as well; the directory
 * that the files lie in is the workspace's own. */
struct project {
	const char *name,
		*dir; /* borrowed from the container; dir NULL: an old compose does not say */
};

static bool equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether who created the container with these labels put it into the project. */
static int is_member(struct docker *docker, const struct kv *labels, const char *image_id,
                     const struct project *p, bool *is, struct deadline d, struct err *e)
{
	struct identity i;

	if (identity_read(docker, labels, image_id, &i, d, e) < 0)
		return -1;
	*is = equal(identity_label(&i, LABEL_COMPOSE_PROJECT), p->name) &&
	      equal(identity_label(&i, LABEL_COMPOSE_DIR), p->dir);
	identity_free(&i);
	return 0;
}

/* What says that a container of the project is another resource's. */
static bool is_claimed(const struct container_item *c, const struct container *own)
{
	static const char *const keys[] = { LABEL_WORKSPACE, LABEL_BUILD, LABEL_HELPER };

	for (size_t n = 0; n < ARRAY_LEN(keys); n++) {
		const char *theirs = kv_get(&c->labels, keys[n]);

		if (theirs && *theirs && !equal(theirs, kv_get(&own->labels, keys[n])))
			return true;
	}
	return false;
}

static int act(struct docker *docker, const char *id, enum sibling_action a, struct deadline d,
               struct err *e)
{
	struct container c;
	int rc;

	if (a == SIBLINGS_START)
		return container_start(&docker->engine, id, d, e);
	if (a == SIBLINGS_REMOVE)
		return container_remove(&docker->engine, id, d, e);
	rc = container_inspect(&docker->engine, id, &c, d, e);
	if (rc == 0)
		rc = container_stop(&docker->engine, &c, d, e);
	container_free(&c);
	return rc;
}

static void remove_networks(struct docker *docker, const char *label, struct deadline d)
{
	struct buf path = { 0 };
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };

	buf_adds(&path, "/networks?");
	engine_add_filter(&path, "label", &label, 1);
	if (engine_call(&docker->engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d,
	                &ignored) == 0)
		for (struct json member = json_first(json_root(doc)); json_present(member);
		     member = json_next(member)) {
			char *id = json_dup_or_empty(json_get(member, "Id"));
			struct buf one = { 0 };

			buf_addf(&one, "/networks/%s", id);
			if (*id && engine_call(&docker->engine, "DELETE", buf_cstr(&one),
			                       (struct str){ 0 }, NULL, d, &ignored) < 0)
				provider_logf(docker->env, "Warning: network %.12s remains: %s", id,
				              ignored.msg);
			buf_free(&one);
			free(id);
		}
	json_doc_free(doc);
	buf_free(&path);
}

/* One container that carries the project's name. *foreign: it is of another project of that name. */
static int act_on(struct docker *docker, const struct container *own,
                  const struct container_item *c, const struct project *p, enum sibling_action a,
                  bool *foreign, struct deadline d, struct err *e)
{
	static const char *const verbs[] = { "start", "stop", "remove" };
	bool is;
	int rc;

	if (strcmp(c->id, own->id) == 0)
		return 0;
	if (is_member(docker, &c->labels, c->image_id, p, &is, d, e) < 0)
		return -1;
	if (!is || is_claimed(c, own)) {
		provider_logf(docker->env,
		              "Container %s (%.12s) is left alone: it is not of this workspace's "
		              "compose project, which has the same name (%s)",
		              c->name, c->id, p->name);
		*foreign = true;
		return 0;
	}
	rc = act(docker, c->id, a, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = 0;
	}
	return rc < 0 ? err_wrap(e, "%s compose container %s", verbs[a], c->name) : 0;
}

int siblings_do(struct docker *docker, const struct container *c, enum sibling_action a,
                struct deadline d, struct err *e)
{
	struct project p = { kv_get(&c->labels, LABEL_COMPOSE_PROJECT),
		             kv_get(&c->labels, LABEL_COMPOSE_DIR) };
	struct container_list l;
	struct buf text = { 0 };
	const char *label;
	bool is = false, foreign = false;
	int rc;

	if (!p.name || !*p.name)
		return 0;
	if (is_member(docker, &c->labels, c->image_id, &p, &is, d, e) < 0)
		return -1;
	if (!is) /* the label is the image's: a committed compose container */
		return 0;
	buf_addf(&text, LABEL_COMPOSE_PROJECT "=%s", p.name);
	label = buf_cstr(&text);
	rc = container_list(&docker->engine, &label, 1, &l, d, e);
	for (size_t i = 0; rc == 0 && i < l.n; i++)
		rc = act_on(docker, c, &l.list[i], &p, a, &foreign, d, e);
	/* Networks carry no more than the project's name. */
	if (rc == 0 && a == SIBLINGS_REMOVE && !foreign)
		remove_networks(docker, label, d);
	container_list_free(&l);
	buf_free(&text);
	return rc;
}
