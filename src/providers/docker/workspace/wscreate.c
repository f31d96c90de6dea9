/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of a workspace (protocol 10.5, 10.6, 10.8): an image, an image with the checkout mounted, or
 * a dev container. It is created and not started.
 */
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "providers/devcontainer/dclife.h"
#include "providers/docker/engine/archive.h"
#include "providers/docker/engine/remote.h"
#include "providers/docker/workspace/dchelper.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

#define API_KEY "DAYTONA_SERVER_API_KEY"

struct making {
	struct docker *docker;
	const struct workspace_job *w;
	struct wsdir *dir;
	struct spec s;
	char *owner;     /* who works in the checkout; NULL: the container's user */
	char *upload_to; /* where the checkout goes when the engine cannot see it; NULL: it can */
	bool compose;    /* the dev container CLI made the container */
	struct kv identity; /* labels that say whose it is */
	char *host_dir;     /* the checkout as the engine's host has it; NULL: none is mounted */
};

static void fill_common(struct making *making)
{
	const struct workspace *ws = making->w->ws;
	struct spec *s = &making->s;
	struct buf why = { 0 };

	s->hostname = mem_dup(ws->id);
	spec_apply_options(s, &making->docker->opt);
	kv_merge(&s->env, making->w->env);
	(void)kv_del(&s->env, API_KEY); /* only the agent's exec has it (protocol 12.43) */
	kv_set(&making->identity, LABEL_TARGET, ws->target_id);
	kv_set(&making->identity, LABEL_WORKSPACE, ws->id);
	kv_set(&making->identity, LABEL_REPOSITORY, ws->repo.url);
	kv_set(&making->identity, LABEL_RUNNER, making->docker->env->runner_id);
	kv_set(&making->identity, LABEL_NONCE, making->dir->notes.nonce);
	s->entry = ENTRY_PROGRAM;
	if (!delivery_program(making->docker, &why)) {
		s->entry = ENTRY_SLEEP;
		provider_logf(making->docker->env, "The image's sleep is used as first process: %s",
		              buf_cstr(&why));
	}
	buf_free(&why);
}

/* Where the engine's machine has the checkout: here, or in the remote data directory, which is made. *dir stays NULL when
 * there is no such place, and a volume is filled instead. */
static int engine_side_dir(struct making *making, char **dir, struct deadline d, struct err *e)
{
	struct docker *docker = making->docker;
	const char *argv[] = { "mkdir", "-p", "--", NULL, NULL };
	struct buf b = { 0 };

	*dir = NULL;
	if (docker->engine.local) {
		*dir = mem_dup(making->dir->checkout);
		return 0;
	}
	if (!docker->engine.remote || !docker->opt.data_dir)
		return 0;
	buf_addf(&b, "%s/%s/%s", docker->opt.data_dir, making->w->ws->id, making->dir->repo);
	*dir = buf_take(&b);
	argv[3] = *dir;
	return remote_run(docker->engine.remote, argv, d, e);
}

/* Turns the mount of the checkout into what the engine can do; an engine elsewhere gets the files later. */
static void settle_mount(struct making *making, struct mount_spec *mount, const char *dir)
{
	if (making->docker->engine.local)
		return;
	making->upload_to = mem_dup(mount->target);
	if (dir)
		return;
	free(mount->type);
	free(mount->source);
	mount->type = mem_dup("volume");
	mount->source = ws_container_name(making->w->ws);
}

static int mount_checkout(struct making *making, const char *target, struct deadline d,
                          struct err *e)
{
	int rc = engine_side_dir(making, &making->host_dir, d, e);

	spec_mount(&making->s, "bind", making->host_dir ? making->host_dir : making->dir->checkout,
	           target, false);
	settle_mount(making, &making->s.mounts[making->s.n_mounts - 1], making->host_dir);
	return rc;
}

static int plan_image(struct making *making, bool mounted, struct deadline d, struct err *e)
{
	const struct workspace *ws = making->w->ws;
	struct buf target = { 0 };
	int rc = 0;

	making->s.image = mem_dup(ws->image);
	making->s.user = mem_dup(ws->user);
	if (image_ensure(&making->docker->engine, &making->docker->opt, ws->image,
	                 making->w->registries, NULL, d, e) < 0)
		return -1;
	if (mounted) {
		buf_addf(&target, "/home/%s/%s", *ws->user ? ws->user : "root", making->dir->repo);
		rc = mount_checkout(making, buf_cstr(&target), d, e);
		buf_free(&target);
	}
	return rc;
}

/* The label that clients read editor settings from: what the image says, then this configuration. */
static void set_metadata_label(const struct devcontainer *dc, const char *image_label,
                               struct spec *s)
{
	static const char *const keys[] = { "customizations",  "forwardPorts",
		                            "portsAttributes", "otherPortsAttributes",
		                            "remoteUser",      "remoteEnv" };
	struct buf b = { 0 };
	struct str old = str_trim(str_of(image_label));

	jw_arr(&b);
	if (dc->metadata && old.n > 2 && old.p[0] == '[')
		buf_add(&b, old.p + 1, old.n - 2);
	else if (dc->metadata && old.n > 2)
		jw_raw(&b, old);
	jw_obj(&b);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct json v = json_get(dc->root, keys[i]);

		if (json_is_null(v))
			continue;
		jw_key(&b, keys[i]);
		jw_raw(&b, json_raw(v));
	}
	jw_obj_end(&b);
	jw_arr_end(&b);
	kv_set(&s->labels, "devcontainer.metadata", buf_cstr(&b));
	buf_free(&b);
}

static bool has_gpus(struct making *making, struct deadline d)
{
	struct engine *engine = &making->docker->engine;
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };
	bool has = engine_call(engine, "GET", "/info", (struct str){ 0 }, &doc, d, &ignored) == 0 &&
	           json_present(json_get(json_get(json_root(doc), "Runtimes"), "nvidia"));

	json_doc_free(doc);
	return has;
}

static struct policy workspace_policy(struct making *making)
{
	struct policy p = docker_policy(making->docker, POLICY_WORKSPACE, making->w->ws->id,
	                                &making->identity);

	if (making->host_dir) {
		p.from.checkout = making->dir->checkout;
		p.from.host_dir = making->host_dir;
	}
	return p;
}

static int fill_from_config(struct making *making, struct devcontainer *dc, struct deadline d,
                            struct err *e)
{
	const struct workspace *ws = making->w->ws;
	struct image image;
	struct kv job = { 0 };
	char *tag = docker_image_tag("workspace", ws->id, "latest");
	char *base = docker_image_tag("workspace", ws->id, "base");
	const struct policy policy = workspace_policy(making);
	bool made;
	int rc;

	dc_name_unknown(dc, &policy.from);
	rc = dc_plan_image(making->docker, dc,
	                   &(struct dc_plan){ .id = ws->id,
	                                      .tag = tag,
	                                      .base = base,
	                                      .work_dir = making->dir->dir,
	                                      .cached_image = ws->cached_image,
	                                      .registries = making->w->registries,
	                                      .from = &policy.from },
	                   &making->s.image, &made, &image, d, e);
	if (rc == 0 && made) {
		free(making->dir->notes.image);
		making->dir->notes.image = mem_dup(making->s.image);
		rc = wsdir_save(making->dir, e);
	}
	if (rc == 0) {
		making->owner = dc_remote_user(dc, image.user);
		/* The workspace's own variables win over the configuration's. */
		kv_merge(&job, &making->s.env);
		dc_fill_spec(dc, &policy.from, &making->s);
		kv_merge(&making->s.env, &job);
		kv_set(&making->s.env, "DAYTONA_WORKSPACE_DIR", dc->folder);
		set_metadata_label(dc, image.metadata, &making->s);
		kv_free(&job);
	}
	image_free(&image);
	free(tag);
	free(base);
	return rc;
}

static int make_compose(struct making *making, const struct devcontainer *dc, char **id,
                        struct deadline d, struct err *e)
{
	struct buf target = { 0 }, workspace = { 0 }, nonce = { 0 };
	const char *labels[4] = { NULL };
	char *user = NULL;
	int rc;

	buf_addf(&target, LABEL_TARGET "=%s", making->w->ws->target_id);
	buf_addf(&workspace, LABEL_WORKSPACE "=%s", making->w->ws->id);
	buf_addf(&nonce, LABEL_NONCE "=%s", making->dir->notes.nonce);
	labels[0] = buf_cstr(&target);
	labels[1] = buf_cstr(&workspace);
	labels[2] = buf_cstr(&nonce); /* what the CLI looks for an existing one by */
	making->compose = true;
	rc = dc_helper_up(making->docker, dc,
	                  &(struct dc_up){ .builder_image = making->w->builder_image,
	                                   .registries = making->w->registries,
	                                   .resource_id = making->w->ws->id,
	                                   .work_dir = making->dir->dir,
	                                   .checkout = making->dir->checkout,
	                                   .labels = labels,
	                                   .env = &making->s.env,
	                                   .cache_from = making->w->ws->cached_image,
	                                   .prebuild = true },
	                  id, &user, d, e);
	free(user);
	buf_free(&target);
	buf_free(&workspace);
	buf_free(&nonce);
	return rc;
}

static int plan_devcontainer(struct making *making, const char *path, char **id, struct deadline d,
                             struct err *e)
{
	struct docker *docker = making->docker;
	struct devcontainer dc;
	int rc = -1;

	if (engine_side_dir(making, &making->host_dir, d, e) < 0 ||
	    dc_load(&dc, making->dir->checkout, path,
	            making->host_dir ? making->host_dir : making->dir->checkout, making->dir->repo,
	            making->w->ws->id, e) < 0)
		return -1;
	dc.env_allow = docker->env->env_allow;
	if (json_present(json_get(dc.root, "initializeCommand"))) {
		if (!docker->opt.initialize)
			provider_logf(docker->env,
			              "initializeCommand is not run: it would run on the "
			              "runner's host (allow_initialize_command)");
		else if (dc_run_initialize(&dc, making->dir->checkout, docker->env, d, e) < 0)
			goto out;
	}
	if (dc_is_compose(&dc)) {
		rc = make_compose(making, &dc, id, d, e);
		goto out;
	}
	rc = fill_from_config(making, &dc, d, e);
	if (rc == 0)
		settle_mount(making, &making->s.mounts[0],
		             making->host_dir); /* dc_fill_spec puts the checkout first */
out:
	dc_free(&dc);
	return rc;
}

static int plan(struct making *making, char **id, struct deadline d, struct err *e)
{
	const struct workspace *ws = making->w->ws;
	char *path;
	int rc;

	fill_common(making);
	if (!ws->has_build_config)
		return plan_image(making, false, d, e);
	if (checkout_make(making->docker, making->w, making->dir, d, e) < 0)
		return -1;
	path = dc_detect(making->dir->checkout, ws->devcontainer_path, e);
	if (!path && ws->devcontainer_path)
		return -1;
	if (!path)
		return plan_image(making, true, d, e);
	provider_logf(making->docker->env, "Dev container %s", path);
	rc = plan_devcontainer(making, path, id, d, e);
	free(path);
	return rc;
}

/* Somebody has the name: a leftover of ours is replaced (or used, if it runs), a stranger's stays (field case 6). */
static int resolve_conflict(struct making *making, const char *name, const struct admitted *a,
                            char **id, struct deadline d, struct err *e)
{
	struct docker *docker = making->docker;
	struct container c;
	bool owns;
	int rc = container_inspect(&docker->engine, name, &c, d, e);

	if (rc < 0)
		return e->kind == ERR_NOT_FOUND
		               ? container_create(&docker->engine, name, a, id, d, e)
		               : -1;
	rc = ws_owns(docker, making->w->ws, making->dir, &c, &owns, d, e);
	if (rc < 0) {
		container_free(&c);
		return -1;
	}
	if (!owns) {
		rc = err_set(e, ERR_EXISTS, 409,
		             "the name %s is held by foreign container %.12s; remove or rename it",
		             name, c.id);
	} else if (c.state == CS_RUNNING) {
		*id = mem_dup(c.id);
	} else {
		provider_logf(docker->env, "Removing container %.12s, left by an earlier attempt",
		              c.id);
		rc = container_remove(&docker->engine, c.id, d, e);
		if (rc == 0)
			rc = container_create(&docker->engine, name, a, id, d, e);
	}
	container_free(&c);
	return rc;
}

/* Puts the checkout into a container whose engine cannot see it. */
static int upload(struct making *making, const char *id, struct deadline d, struct err *e)
{
	struct account a;

	if (!making->upload_to)
		return 0;
	if (account_find(&making->docker->engine, id,
	                 making->owner ? making->owner : making->s.user, &a, d, e) < 0)
		return -1;
	provider_logf(making->docker->env, "Copying the checkout to %s", making->upload_to);
	if (archive_put_tree(&making->docker->engine, id, making->upload_to, making->dir->checkout,
	                     a.uid, a.gid, d, e) < 0) {
		account_free(&a);
		return -1;
	}
	account_free(&a);
	making->dir->notes.uploaded = true;
	return 0;
}

/* Few storage drivers have quotas, and each says so in words of its own. */
static int create_without_disk(struct docker *docker, const char *name, struct admitted *a,
                               char **id, struct deadline d, struct err *e)
{
	struct err with = *e;

	if (with.kind != ERR_HTTP || with.code == 409 || !admitted_drop_disk(a))
		return -1;
	err_clear(e);
	if (container_create(&docker->engine, name, a, id, d, e) < 0)
		return -1;
	provider_logf(docker->env, "The disk is not limited (option Disk): %s", with.msg);
	return 0;
}

int ws_make_container(struct docker *docker, const struct workspace_job *w, struct wsdir *dir,
                      char **id, struct deadline d, struct err *e)
{
	struct making making = { .docker = docker, .w = w, .dir = dir };
	char *name = ws_container_name(w->ws);
	struct admitted *a = NULL;
	int rc;

	*id = NULL;
	rc = wsdir_claim(dir, e);
	if (rc == 0)
		rc = plan(&making, id, d, e);
	if (rc == 0 && !making.compose) {
		struct policy policy = workspace_policy(&making);

		if (making.s.gpus_asked && policy.options->gpus &&
		    strcmp(policy.options->gpus, DOCKER_GPUS_AUTO) == 0)
			policy.has_gpus = has_gpus(&making, d);
		spec_apply_grants(&making.s, &docker->opt);
		a = policy_admit(&policy, &making.s);
		rc = container_create(&docker->engine, name, a, id, d, e);
		if (rc < 0)
			rc = create_without_disk(docker, name, a, id, d, e);
		if (rc < 0 && e->code == 409)
			rc = resolve_conflict(&making, name, a, id, d, e);
		if (rc < 0)
			err_wrap(e, "create container %s", name);
	}
	if (rc == 0) {
		wsdir_about(dir, *id);
		rc = upload(&making, *id, d, e);
	}
	if (rc == 0)
		rc = wsdir_save(dir, e);
	admitted_free(a);
	spec_free(&making.s);
	kv_free(&making.identity);
	free(making.host_dir);
	free(making.upload_to);
	free(making.owner);
	free(name);
	return rc;
}
