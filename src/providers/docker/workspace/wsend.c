/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping and deleting workspaces: both succeed when there is nothing left to do (protocol 10.7, 12.15, 12.36). */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/workspace/helper.h"

#include <stdlib.h>
#include <string.h>

int ws_stop(struct docker *k, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct container c;
	struct wsdir dir;
	int rc;

	if (wsdir_open(&dir, k->env, w->ws, e) < 0)
		return -1;
	rc = ws_find(k, w->ws, &dir, &c, d, e);
	wsdir_free(&dir);
	if (rc < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		provider_logf(k->env, "There is no container to stop");
		return 0;
	}
	if (c.state == CS_EXITED || c.state == CS_CREATED)
		provider_logf(k->env, "Container %.12s does not run%s", c.id,
		              c.out_of_memory ? OUT_OF_MEMORY : "");
	else
		provider_logf(k->env, "Stopping container %.12s", c.id);
	rc = container_stop(&k->g, &c, d, e);
	if (rc == 0)
		rc = siblings_do(k, &c, SIBLINGS_STOP, d, e);
	container_free(&c);
	return rc;
}

struct deletion {
	struct docker *k;
	const struct workspace_job *w;
	struct wsdir dir;
	struct deadline d;
};

/* With force a failure is a line in the log; without, the end. */
static int failed(struct deletion *x, const char *what, struct err *e)
{
	if (!x->w->force || e->kind == ERR_CANCELED)
		return -1;
	provider_logf(x->k->env, "Warning: resources may remain: %s: %s", what, e->msg);
	err_clear(e);
	return 0;
}

/* The reference kept checkouts below its own directory: …/docker-provider/<id>/<repository>. */
static int remove_reference_dir(struct deletion *x, const struct container *c, struct err *e)
{
	struct buf middle = { 0 };
	int rc = 0;

	buf_addf(&middle, "/docker-provider/%s/", x->w->ws->id);
	for (size_t i = 0; x->k->g.local && i < c->n_mounts && rc == 0; i++) {
		char *source = c->mounts[i].source;
		char *at = strstr(source, buf_cstr(&middle));

		if (strcmp(c->mounts[i].type, "bind") != 0 || !at || strstr(source, "/.."))
			continue;
		at[middle.n - 1] =
			'\0'; /* the workspace's directory, with what lies beside the checkout */
		rc = checkout_remove(x->k, &x->dir, source, x->d, e);
		at[middle.n - 1] = '/';
	}
	buf_free(&middle);
	return rc;
}

static int remove_container(struct deletion *x, struct err *e)
{
	struct docker *k = x->k;
	char *name = ws_container_name(x->w->ws);
	struct container c;
	int rc = 0;

	if (ws_find(k, x->w->ws, &x->dir, &c, x->d, e) < 0) {
		bool gone = e->kind == ERR_NOT_FOUND;

		if (gone)
			err_clear(e);
		/* Looking it up must not stand in the way of removing what is recorded (field case 8). */
		else if (e->kind == ERR_HTTP && *x->dir.notes.container)
			rc = container_remove(&k->g, x->dir.notes.container, x->d, e);
		else
			rc = -1;
		if (rc == 0 && gone)
			provider_logf(k->env, "There is no container to remove");
		if (rc < 0)
			rc = failed(x, "container", e);
		goto volume;
	}
	provider_logf(k->env, "Removing container %.12s", c.id);
	if (container_remove(&k->g, c.id, x->d, e) < 0)
		rc = failed(x, c.name, e);
	if (rc == 0 && siblings_do(k, &c, SIBLINGS_REMOVE, x->d, e) < 0)
		rc = failed(x, "compose containers", e);
	if (rc == 0 && remove_reference_dir(x, &c, e) < 0)
		rc = failed(x, "directory", e);
volume:
	if (rc == 0 && (docker_remove_volume(k, name, x->d, e) < 0 ||
	                docker_remove_volumes(k, x->w->ws->id, x->d, e) < 0))
		rc = failed(x, "volume", e);
	container_free(&c);
	free(name);
	return rc;
}

int ws_delete(struct docker *k, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct deletion x = { .k = k, .w = w, .d = d };
	int rc;

	if (wsdir_open(&x.dir, k->env, w->ws, e) < 0)
		return -1;
	rc = remove_container(&x, e);
	if (rc == 0 && helper_end(k, x.dir.dir, d, e) < 0) /* of a clone that was cut off */
		rc = failed(&x, "helper container", e);
	if (rc == 0 && w->ws->has_build_config && checkout_remove_remote(k, &x.dir, d, e) < 0)
		rc = failed(&x, "remote directory", e);
	if (rc == 0 && checkout_remove(k, &x.dir, x.dir.dir, d, e) < 0)
		rc = failed(&x, x.dir.dir, e);
	if (rc == 0 && *x.dir.notes.image &&
	    image_remove(&k->g, x.dir.notes.image, true, d, e) < 0) {
		provider_logf(k->env, "Warning: image %s remains: %s", x.dir.notes.image, e->msg);
		err_clear(e);
	}
	wsdir_free(&x.dir);
	return rc;
}
