/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds (protocol 8.5, 10.9): the dev container of a repository as an image in the builder registry, and a
 * record here of which image a build made, since the Server keeps none (12.24).
 */
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "providers/buildrecord.h"
#include "providers/docker/devcontainer/dchelper.h"
#include "providers/docker/devcontainer/dclife.h"
#include "providers/docker/engine/naming.h"
#include "providers/docker/engine/progress.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

struct building {
	struct docker *k;
	const struct build_job *b;
	char *dir, *repo, *checkout; /* <state_dir>/builds/<id>, its repository, the checkout */
	char *path;                  /* dev container file */
	char *name;                  /* of the image */
	char *container;
	bool has_base;      /* an image of ours that only the commit needed */
	struct buf changes; /* what the commit sets back to the image's */
};

static void building_free(struct building *x)
{
	free(x->dir);
	free(x->repo);
	free(x->checkout);
	free(x->path);
	free(x->name);
	free(x->container);
	buf_free(&x->changes);
}

static int prepare(struct building *x, struct deadline d, struct err *e)
{
	const struct build *b = x->b->build;
	struct buf name = { 0 };
	int rc;

	if (!build_id_ok(b->id))
		return err_set(e, ERR_PARSE, 0, "build id \"%.100s\" is no id", b->id);
	if (!b->has_build_config)
		return err_set(e, ERR_CONFIG, 0, "build config is not set");
	buf_addf(&name, "%s/builds/%s", x->k->env->state_dir, b->id);
	x->dir = buf_take(&name);
	x->repo = git_dir_name(&b->repo);
	x->checkout = path_join(x->dir, x->repo);
	rc = checkout_clone(x->k, &b->repo, x->b->git, x->b->builder_image, x->b->registries,
	                    x->dir, x->repo, b->id, d, e);
	if (rc < 0)
		return -1;
	x->path = dc_detect(x->checkout, b->devcontainer_path, e);
	if (!x->path)
		return err_set(e, ERR_NOT_FOUND, 0, "failed to detect devcontainer config: %s",
		               b->devcontainer_path ? e->msg : "the repository has none");
	build_image_name(b, x->path, x->b->registry_host, x->b->namespace_, &name);
	x->name = buf_take(&name);
	return 0;
}

/* The container that commands run in; what of it may be is up to the policy. */
static struct admitted *admit(struct building *x, const struct devcontainer *dc, struct spec *s)
{
	struct docker *k = x->k;
	struct kv identity = { 0 };
	struct policy policy = docker_policy(k, POLICY_BUILD, x->b->build->id, &identity);
	struct admitted *a;
	struct buf why = { 0 };

	kv_set(&identity, LABEL_BUILD, x->b->build->id);
	kv_set(&identity, LABEL_RUNNER, k->env->runner_id);
	if (k->g.local) { /* what another host has there is not what this one looks at */
		policy.checkout = x->checkout;
		policy.host_dir = x->checkout;
	}
	spec_apply_options(s, &k->opt);
	s->entry = delivery_program(k, &why) ? ENTRY_PROGRAM : ENTRY_SLEEP;
	dc_fill_spec(dc, &policy, s);
	if (s->entry == ENTRY_IMAGE)
		s->entry = ENTRY_SLEEP;
	kv_merge(&s->env, &x->b->build->env);
	a = policy_admit(&policy, s);
	buf_free(&why);
	kv_free(&identity);
	return a;
}

/* What an earlier attempt left. */
static int drop_containers(const struct building *x, struct deadline d, struct err *e)
{
	return identity_remove_all(x->k, LABEL_BUILD, x->b->build->id, d, e);
}

static int run_in_container(struct building *x, struct devcontainer *dc, const char *image,
                            const struct image *info, struct deadline d, struct err *e)
{
	static const char *const hooks[] = { "onCreateCommand", "updateContentCommand" };
	struct docker *k = x->k;
	struct spec s = { .image = mem_dup(image) };
	struct container c = { 0 };
	struct admitted *a = admit(x, dc, &s);
	struct kv env = { 0 };
	char *user = dc_remote_user(dc, info->user);
	int rc;

	/* [""] is how the engine is told that there is none. */
	buf_addf(&x->changes, "ENTRYPOINT %s",
	         strcmp(info->entrypoint, "[]") == 0 ? "[\"\"]" : info->entrypoint);
	if (strcmp(info->cmd, "[]") != 0)
		buf_addf(&x->changes, "\nCMD %s", info->cmd);
	rc = container_create(&k->g, x->b->build->id, a, &x->container, d, e);
	if (rc == 0 && s.entry == ENTRY_PROGRAM)
		rc = delivery_put_program(k, x->container, (struct str){ 0 }, d, e);
	if (rc == 0)
		rc = container_start(&k->g, x->container, d, e);
	if (rc == 0)
		rc = container_inspect(&k->g, x->container, &c, d, e);
	if (rc == 0) {
		dc->container_env = &c.env;
		dc_env(dc, "remoteEnv", &env);
	}
	/* By number root needs no /etc/passwd. */
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(hooks); i++)
		rc = dc_run_hook(dc, hooks[i], &k->g, x->container,
		                 strcmp(user, "root") == 0 ? "0" : user, &env, d, e);
	dc->container_env = NULL;
	container_free(&c);
	admitted_free(a);
	spec_free(&s);
	kv_free(&env);
	free(user);
	return rc;
}

/* What the Dockerfile gives, before commands run on it. Caller frees. */
static char *base_tag(const struct building *x)
{
	return docker_image_tag("build", x->b->build->id, "latest");
}

static int make_container(struct building *x, struct devcontainer *dc, struct deadline d,
                          struct err *e)
{
	struct image info;
	char *tag = base_tag(x), *image;
	char *base = docker_image_tag("build", x->b->build->id, "base");
	const struct policy policy = docker_policy(x->k, POLICY_BUILD, x->b->build->id, NULL);
	int rc;

	dc_name_unknown(dc, &policy);
	rc = dc_plan_image(x->k, dc,
	                   &(struct dc_plan){ .id = x->b->build->id,
	                                      .tag = tag,
	                                      .base = base,
	                                      .work_dir = x->dir,
	                                      .registries = x->b->registries,
	                                      .policy = &policy },
	                   &image, &x->has_base, &info, d, e);
	if (rc == 0)
		rc = run_in_container(x, dc, image, &info, d, e);
	image_free(&info);
	free(image);
	free(tag);
	free(base);
	return rc;
}

static int make_compose(struct building *x, const struct devcontainer *dc, struct deadline d,
                        struct err *e)
{
	struct buf label = { 0 };
	const char *labels[2] = { NULL };
	char *user = NULL;
	int rc;

	buf_addf(&label, LABEL_BUILD "=%s", x->b->build->id);
	labels[0] = buf_cstr(&label);
	rc = dc_helper_up(x->k, dc,
	                  &(struct dc_up){ .builder_image = x->b->builder_image,
	                                   .registries = x->b->registries,
	                                   .resource_id = x->b->build->id,
	                                   .work_dir = x->dir,
	                                   .checkout = x->checkout,
	                                   .labels = labels,
	                                   .env = &x->b->build->env,
	                                   .prebuild = true },
	                  &x->container, &user, d, e);
	free(user);
	buf_free(&label);
	return rc;
}

static int commit(struct building *x, struct deadline d, struct err *e)
{
	const char *colon = strrchr(x->name, ':');
	struct buf path = { 0 }, body = { 0 };
	int rc;

	jw_obj(&body);
	identity_clear(&body);
	jw_obj_end(&body);
	buf_addf(&path, "/commit?container=%s&pause=0&repo=", x->container);
	buf_add_urlenc(&path, (struct str){ x->name, (size_t)(colon - x->name) });
	buf_addf(&path, "&tag=%s", colon + 1);
	if (x->changes.n) {
		buf_adds(&path, "&changes=");
		buf_add_urlenc(&path, buf_str(&x->changes));
	}
	provider_logf(x->k->env, "Committing the container as %s", x->name);
	rc = engine_call_ms(&x->k->g, "POST", buf_cstr(&path), buf_str(&body), NULL,
	                    20 * x->k->g.call_ms, d, e);
	buf_free(&path);
	buf_free(&body);
	return rc < 0 ? err_wrap(e, "commit image %s", x->name) : 0;
}

/* The committed image keeps its layers. */
static int drop_base(const struct building *x, struct deadline d, struct err *e)
{
	char *tag = base_tag(x);
	int rc = image_remove(&x->k->g, tag, false, d, e);

	free(tag);
	return rc;
}

static int build(struct building *x, struct deadline d, struct err *e)
{
	struct devcontainer dc;
	struct err ignored = { 0 };
	int rc;

	if (drop_containers(x, d, e) < 0 ||
	    dc_load(&dc, x->checkout, x->path, x->checkout, x->repo, x->b->build->id, e) < 0)
		return -1;
	dc.env_allow = x->k->env->env_allow;
	rc = dc_is_compose(&dc) ? make_compose(x, &dc, d, e) : make_container(x, &dc, d, e);
	if (rc == 0)
		rc = commit(x, d, e);
	if (x->container)
		(void)drop_containers(x, d, &ignored);
	if (x->has_base)
		(void)drop_base(x, d, &ignored);
	(void)docker_remove_volumes(x->k, x->b->build->id, d, &ignored);
	dc_free(&dc);
	return rc;
}

int build_run(struct docker *k, const struct build_job *b, struct deadline d, struct err *e)
{
	struct building x = { .k = k, .b = b };
	struct err ignored = { 0 };
	int rc = prepare(&x, d, e);

	if (rc == 0 && image_inspect(&k->g, x.name, NULL, d, e) == 0) {
		provider_logf(k->env, "Image %s is there already", x.name);
		rc = build_record_write(k->env->state_dir, b->build->id, x.name, e);
	} else if (rc == 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = build_record_write(
			k->env->state_dir, b->build->id, x.name,
			e); /* before there is an image, so that none is forgotten */
		if (rc == 0)
			rc = build(&x, d, e);
		if (rc == 0 && b->registry_host && *b->registry_host)
			rc = image_push(&k->g, &k->opt, x.name, b->registry_auth, d, e);
	} else if (rc == 0) {
		rc = -1;
	}
	if (x.dir)
		(void)file_remove_tree(x.dir, &ignored);
	building_free(&x);
	return rc;
}

int build_delete(struct docker *k, const struct build_job *b, bool force, struct deadline d,
                 struct err *e)
{
	const char *id = b->build->id;
	const struct building left = { .k = k, .b = b }; /* by a build that was cut off */
	char *image;
	struct buf dir = { 0 };
	int rc = 0;

	if (!build_id_ok(id))
		return err_set(e, ERR_PARSE, 0, "build id \"%.100s\" is no id", id);
	image = b->build->image && *b->build->image ? mem_dup(b->build->image)
	                                            : build_record_image(k->env->state_dir, id);
	if (!image) {
		provider_logf(k->env, "No image of this build is known here");
	} else if (build_record_shared(k->env->state_dir, id, image)) {
		provider_logf(k->env, "Image %s stays: another build has it too", image);
	} else {
		provider_logf(k->env, "Removing image %s", image);
		rc = image_remove(&k->g, image, true, d, e);
	}
	if (rc == 0 && (drop_containers(&left, d, e) < 0 || drop_base(&left, d, e) < 0 ||
	                docker_remove_volumes(k, id, d, e) < 0))
		rc = -1;
	if (rc < 0 && force && e->kind != ERR_CANCELED) {
		provider_logf(k->env, "Warning: resources may remain: %s", e->msg);
		err_clear(e);
		rc = 0;
	}
	buf_addf(&dir, "%s/builds/%s", k->env->state_dir, id);
	if (rc == 0)
		rc = file_remove_tree(buf_cstr(&dir), e);
	if (rc == 0)
		rc = build_record_remove(k->env->state_dir, id, e);
	buf_free(&dir);
	free(image);
	return rc;
}
