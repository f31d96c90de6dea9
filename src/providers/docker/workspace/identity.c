/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a container is, see identity.h. */
#include "providers/docker/workspace/identity.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

int identity_read(struct docker *docker, const struct kv *labels, const char *image_id,
                  struct identity *out, struct deadline d, struct err *e)
{
	struct image image = { 0 };
	int rc = *image_id ? image_inspect(&docker->engine, image_id, &image, d, e)
	                   : err_set(e, ERR_NOT_FOUND, 0, "the engine names no image");

	*out = (struct identity){ .labels = labels, .known = rc == 0 };
	if (rc == 0)
		kv_merge(&out->of_image, &image.labels);
	image_free(&image);
	if (rc < 0 && e->kind != ERR_NOT_FOUND)
		return err_wrap(e, "compare the labels of a container with its image's");
	err_clear(e);
	return 0;
}

void identity_free(struct identity *i)
{
	kv_free(&i->of_image);
	*i = (struct identity){ 0 };
}

const char *identity_label(const struct identity *i, const char *key)
{
	const char *value = kv_get(i->labels, key), *image = kv_get(&i->of_image, key);

	if (!i->known || !value || !*value || (image && strcmp(image, value) == 0))
		return NULL;
	return value;
}

int identity_is(struct docker *docker, const struct kv *labels, const char *image_id,
                const char *key, const char *value, bool *is, struct deadline d, struct err *e)
{
	const char *claimed = kv_get(labels, key), *given;
	struct identity i;

	*is = false;
	if (!claimed || strcmp(claimed, value) != 0)
		return 0; /* spares the look at the image */
	if (identity_read(docker, labels, image_id, &i, d, e) < 0)
		return -1;
	given = identity_label(&i, key);
	*is = given && strcmp(given, value) == 0;
	identity_free(&i);
	return 0;
}

static void say_inherited(struct docker *docker, const char *name, const char *id, const char *key,
                          const char *value)
{
	provider_logf(docker->env,
	              "Container %s (%.12s) is left alone: its label %s=%s comes from its image, "
	              "which says nothing about whose it is",
	              name, id, key, value);
}

int identity_remove_all(struct docker *docker, const char *key, const char *value,
                        struct deadline d, struct err *e)
{
	struct buf label = { 0 };
	const char *labels[1];
	struct container_list l;
	int rc;

	buf_addf(&label, "%s=%s", key, value);
	labels[0] = buf_cstr(&label);
	rc = container_list(&docker->engine, labels, 1, &l, d, e);
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		const struct container_item *c = &l.list[i];
		bool is;

		rc = identity_is(docker, &c->labels, c->image_id, key, value, &is, d, e);
		if (rc == 0 && is)
			rc = container_remove(&docker->engine, c->id, d, e);
		else if (rc == 0)
			say_inherited(docker, c->name, c->id, key, value);
	}
	container_list_free(&l);
	buf_free(&label);
	return rc;
}

bool identity_recorded(const struct docker *docker, const char *id, const char *container)
{
	struct workspace ws = { .id = mem_dup(id) };
	struct err ignored = { 0 };
	struct wsdir dir;
	bool is = wsdir_open(&dir, docker->env, &ws, &ignored) == 0 && *container &&
	          strcmp(dir.notes.container, container) == 0;

	wsdir_free(&dir);
	free(ws.id);
	return is;
}

void identity_clear(struct buf *json)
{
	jw_key(json, "Labels");
	jw_obj(json);
	for (size_t i = 0; i < identity_labels_n; i++)
		jw_kstr(json, identity_labels[i], "");
	jw_obj_end(json);
}
