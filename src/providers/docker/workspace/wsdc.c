/* SPDX-License-Identifier: Apache-2.0 */
/* Dev containers in the start of a workspace (protocol 10.8), see wsstart.h. */
#include "base/file.h"
#include "base/mem.h"
#include "providers/devcontainer/dchooks.h"
#include "providers/docker/workspace/dchelper.h"
#include "providers/docker/workspace/dcrun.h"
#include "providers/docker/workspace/wsstart.h"

#include <stdlib.h>
#include <string.h>

int starting_load(struct starting *s, struct deadline d, struct err *e)
{
	const struct workspace *ws = s->w->ws;
	struct image image = { 0 };
	char *path;

	if (!ws->has_build_config || !file_is_dir(s->dir.checkout))
		return 0;
	path = dc_detect(s->dir.checkout, ws->devcontainer_path, e);
	if (!path && ws->devcontainer_path) {
		provider_logf(s->docker->env, "Warning: %s; starting without it", e->msg);
		err_clear(e);
	}
	if (!path)
		return 0;
	if (dc_load(&s->dc, s->dir.checkout, path, s->dir.checkout, s->dir.repo, ws->id, e) < 0) {
		provider_logf(s->docker->env, "Warning: %s; starting without it", e->msg);
		err_clear(e);
		free(path);
		return 0;
	}
	free(path);
	s->dc.env_allow = s->docker->env->env_allow;
	if (dc_is_compose(&s->dc))
		return 0;
	if (image_inspect(&s->docker->engine, s->c.image_id, &image, d, e) == 0)
		dc_set_metadata(&s->dc, image.metadata);
	else
		err_clear(e); /* the image was removed meanwhile: its metadata is lost, no more */
	image_free(&image);
	return 0;
}

void starting_label_user(struct starting *s)
{
	const char *label = kv_get(&s->c.labels, "devcontainer.metadata");
	struct err ignored = { 0 };
	struct json_doc *doc;
	struct json root;

	if (s->dc.doc || !s->w->ws->has_build_config || !label)
		return;
	doc = json_parse(str_of(label), DC_FILE_MAX, &ignored);
	root = json_root(doc);
	for (struct json member = json_first(root); json_is_array(root) && json_present(member);
	     member = json_next(member)) {
		char *user = json_dup(json_get(member, "remoteUser"));

		if (user && *user) {
			free(s->user);
			s->user = mem_dup(user);
		}
		free(user);
	}
	json_doc_free(doc);
}

struct running {
	struct starting *s;
	struct deadline d;
};

static int run_hook(void *arg, const char *hook, struct err *e)
{
	const struct running *r = arg;
	struct starting *s = r->s;

	return dc_run_hook(&s->dc, hook, &s->docker->engine, s->c.id, s->user, &s->env, r->d, e);
}

static int save_hooks(void *arg, struct err *e)
{
	const struct running *r = arg;

	return wsdir_save(&r->s->dir, e);
}

int starting_hooks(struct starting *s, struct deadline d, struct err *e)
{
	struct running running = { s, d };

	wsdir_about(&s->dir, s->c.id);
	return dc_hooks_run(&(struct dc_hooks_run){ s->docker->env, &s->dir.notes.hooks,
	                                            s->was_running, run_hook, save_hooks,
	                                            &running },
	                    e);
}

int starting_compose(struct starting *s, struct deadline d, struct err *e)
{
	struct buf target = { 0 }, workspace = { 0 }, nonce = { 0 };
	const char *labels[4] = { NULL };
	struct kv env = { 0 };
	char *id = NULL, *user = NULL;
	bool owns = false;
	int rc;

	buf_addf(&target, LABEL_TARGET "=%s", s->w->ws->target_id);
	buf_addf(&workspace, LABEL_WORKSPACE "=%s", s->w->ws->id);
	labels[0] = buf_cstr(&target);
	labels[1] = buf_cstr(&workspace);
	buf_addf(&nonce, LABEL_NONCE "=%s", s->dir.notes.nonce);
	if (*s->dir.notes.nonce)
		labels[2] = buf_cstr(&nonce);
	kv_merge(&env, s->w->env);
	(void)kv_del(&env, "DAYTONA_SERVER_API_KEY");
	rc = dc_helper_up(s->docker, &s->dc,
	                  &(struct dc_up){ .builder_image = s->w->builder_image,
	                                   .registries = s->w->registries,
	                                   .resource_id = s->w->ws->id,
	                                   .work_dir = s->dir.dir,
	                                   .checkout = s->dir.checkout,
	                                   .labels = labels,
	                                   .env = &env },
	                  &id, &user, d, e);
	if (rc == 0)
		rc = starting_reinspect(s, id, d, e);
	if (rc == 0)
		rc = ws_owns(s->docker, s->w->ws, &s->dir, &s->c, &owns, d, e);
	if (rc == 0 && !owns)
		rc = err_set(e, ERR_EXISTS, 0,
		             "the dev container CLI chose container %.12s, which is not this "
		             "workspace's",
		             s->c.id);
	if (rc == 0) {
		wsdir_about(&s->dir, s->c.id);
		rc = wsdir_save(&s->dir, e);
	}
	if (rc == 0 && user && *user) {
		free(s->user);
		s->user = mem_dup(user);
	}
	if (rc == 0)
		rc = account_find(&s->docker->engine, s->c.id, s->user, &s->account, d, e);
	free(id);
	free(user);
	kv_free(&env);
	buf_free(&target);
	buf_free(&workspace);
	buf_free(&nonce);
	return rc;
}
