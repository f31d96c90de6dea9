/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping and deleting workspaces: both succeed when there is nothing left to do (protocol 10.7, 12.15, 12.36). */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/workspace/helper.h"

#include <stdlib.h>
#include <string.h>

int ws_stop(struct docker *docker, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct container c;
	struct wsdir dir;
	int rc;

	if (wsdir_open(&dir, docker->env, w->ws, e) < 0)
		return -1;
	rc = ws_find(docker, w->ws, &dir, &c, d, e);
	wsdir_free(&dir);
	if (rc < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		provider_logf(docker->env, "There is no container to stop");
		return 0;
	}
	if (c.state == CS_EXITED || c.state == CS_CREATED)
		provider_logf(docker->env, "Container %.12s does not run%s", c.id,
		              c.out_of_memory ? OUT_OF_MEMORY : "");
	else
		provider_logf(docker->env, "Stopping container %.12s", c.id);
	rc = container_stop(&docker->engine, &c, d, e);
	if (rc == 0)
		rc = siblings_do(docker, &c, SIBLINGS_STOP, d, e);
	container_free(&c);
	return rc;
}

struct deletion {
	struct docker *docker;
	const struct workspace_job *w;
	struct wsdir dir;
	struct deadline d;
};

/* With force a failure is a line in the log; without, the end. */
static int failed(struct deletion *deletion, const char *what, struct err *e)
{
	if (!deletion->w->force || e->kind == ERR_CANCELED)
		return -1;
	provider_logf(deletion->docker->env, "Warning: resources may remain: %s: %s", what, e->msg);
	err_clear(e);
	return 0;
}

/* The reference kept checkouts below its own directory: …/docker-provider/<id>/<repository>. */
static int remove_reference_dir(struct deletion *deletion, const struct container *c, struct err *e)
{
	struct buf middle = { 0 };
	int rc = 0;

	buf_addf(&middle, "/docker-provider/%s/", deletion->w->ws->id);
	for (size_t i = 0; deletion->docker->engine.local && i < c->n_mounts && rc == 0; i++) {
		char *source = c->mounts[i].source;
		char *at = strstr(source, buf_cstr(&middle));

		if (strcmp(c->mounts[i].type, "bind") != 0 || !at || strstr(source, "/.."))
			continue;
		at[middle.n - 1] =
			'\0'; /* the workspace's directory, with what lies beside the checkout */
		rc = checkout_remove(deletion->docker, &deletion->dir, source, deletion->d, e);
		at[middle.n - 1] = '/';
	}
	buf_free(&middle);
	return rc;
}

static int remove_container(struct deletion *deletion, struct err *e)
{
	struct docker *docker = deletion->docker;
	char *name = ws_container_name(deletion->w->ws);
	struct container c;
	int rc = 0;

	if (ws_find(docker, deletion->w->ws, &deletion->dir, &c, deletion->d, e) < 0) {
		bool gone = e->kind == ERR_NOT_FOUND;

		if (gone)
			err_clear(e);
		/* Looking it up must not stand in the way of removing what is recorded (field case 8). */
		else if (e->kind == ERR_HTTP && *deletion->dir.notes.container)
			rc = container_remove(&docker->engine, deletion->dir.notes.container,
			                      deletion->d, e);
		else
			rc = -1;
		if (rc == 0 && gone)
			provider_logf(docker->env, "There is no container to remove");
		if (rc < 0)
			rc = failed(deletion, "container", e);
		goto volume;
	}
	provider_logf(docker->env, "Removing container %.12s", c.id);
	if (container_remove(&docker->engine, c.id, deletion->d, e) < 0)
		rc = failed(deletion, c.name, e);
	if (rc == 0 && siblings_do(docker, &c, SIBLINGS_REMOVE, deletion->d, e) < 0)
		rc = failed(deletion, "compose containers", e);
	if (rc == 0 && remove_reference_dir(deletion, &c, e) < 0)
		rc = failed(deletion, "directory", e);
volume:
	if (rc == 0 && (docker_remove_volume(docker, name, deletion->d, e) < 0 ||
	                docker_remove_volumes(docker, deletion->w->ws->id, deletion->d, e) < 0))
		rc = failed(deletion, "volume", e);
	container_free(&c);
	free(name);
	return rc;
}

int ws_delete(struct docker *docker, const struct workspace_job *w, struct deadline d,
              struct err *e)
{
	struct deletion deletion = { .docker = docker, .w = w, .d = d };
	int rc;

	if (wsdir_open(&deletion.dir, docker->env, w->ws, e) < 0)
		return -1;
	rc = remove_container(&deletion, e);
	if (rc == 0 &&
	    helper_end(docker, deletion.dir.dir, d, e) < 0) /* of a clone that was cut off */
		rc = failed(&deletion, "helper container", e);
	if (rc == 0 && w->ws->has_build_config &&
	    checkout_remove_remote(docker, &deletion.dir, d, e) < 0)
		rc = failed(&deletion, "remote directory", e);
	if (rc == 0 && checkout_remove(docker, &deletion.dir, deletion.dir.dir, d, e) < 0)
		rc = failed(&deletion, deletion.dir.dir, e);
	if (rc == 0 && *deletion.dir.notes.image &&
	    image_remove(&docker->engine, deletion.dir.notes.image, true, d, e) < 0) {
		provider_logf(docker->env, "Warning: image %s remains: %s",
		              deletion.dir.notes.image, e->msg);
		err_clear(e);
	}
	wsdir_free(&deletion.dir);
	return rc;
}
