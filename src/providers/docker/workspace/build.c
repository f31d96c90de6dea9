/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds (protocol 8.5, 10.9): the dev container of a repository as an image in the builder registry, and a
 * record here of which image a build made, since the Server keeps none (12.24).
 */
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "providers/buildname.h"
#include "providers/buildrecord.h"
#include "providers/devcontainer/dchooks.h"
#include "providers/docker/engine/progress.h"
#include "providers/docker/workspace/dchelper.h"
#include "providers/docker/workspace/dcrun.h"
#include "providers/docker/workspace/internal.h"

#include <stdlib.h>
#include <string.h>

struct building {
	struct docker *docker;
	const struct build_job *b;
	char *dir, *repo, *checkout; /* <state_dir>/builds/<id>, its repository, the checkout */
	char *path;                  /* dev container file */
	char *name;                  /* of the image */
	char *container;
	bool has_base;      /* an image of ours that only the commit needed */
	struct buf changes; /* what the commit sets back to the image's */
};

static void building_free(struct building *building)
{
	free(building->dir);
	free(building->repo);
	free(building->checkout);
	free(building->path);
	free(building->name);
	free(building->container);
	buf_free(&building->changes);
}

static int prepare(struct building *building, struct deadline d, struct err *e)
{
	const struct build *b = building->b->build;
	struct buf name = { 0 };
	int rc;

	if (!build_id_ok(b->id))
		return err_set(e, ERR_PARSE, 0, "build id \"%.100s\" is no id", b->id);
	if (!b->has_build_config)
		return err_set(e, ERR_CONFIG, 0, "build config is not set");
	buf_addf(&name, "%s/builds/%s", building->docker->env->state_dir, b->id);
	building->dir = buf_take(&name);
	building->repo = git_dir_name(&b->repo);
	building->checkout = path_join(building->dir, building->repo);
	rc = checkout_clone(building->docker, &b->repo, building->b->git,
	                    building->b->builder_image, building->b->registries, building->dir,
	                    building->repo, b->id, d, e);
	if (rc < 0)
		return -1;
	building->path = dc_detect(building->checkout, b->devcontainer_path, e);
	if (!building->path)
		return err_set(e, ERR_NOT_FOUND, 0, "failed to detect devcontainer config: %s",
		               b->devcontainer_path ? e->msg : "the repository has none");
	build_image_name(b, building->path, building->b->registry_host, building->b->namespace_,
	                 &name);
	building->name = buf_take(&name);
	return 0;
}

/* The container that commands run in; what of it may be is up to the policy. */
static struct admitted *admit(struct building *building, const struct devcontainer *dc,
                              struct spec *s)
{
	struct docker *docker = building->docker;
	struct kv identity = { 0 };
	struct policy policy = docker_policy(docker, POLICY_BUILD, building->b->build->id,
	                                     &identity);
	struct admitted *a;
	struct buf why = { 0 };

	kv_set(&identity, LABEL_BUILD, building->b->build->id);
	kv_set(&identity, LABEL_RUNNER, docker->env->runner_id);
	if (docker->engine.local) { /* what another host has there is not what this one looks at */
		policy.from.checkout = building->checkout;
		policy.from.host_dir = building->checkout;
	}
	spec_apply_options(s, &docker->opt);
	s->entry = delivery_program(docker, &why) ? ENTRY_PROGRAM : ENTRY_SLEEP;
	dc_fill_spec(dc, &policy.from, s);
	if (s->entry == ENTRY_IMAGE)
		s->entry = ENTRY_SLEEP;
	kv_merge(&s->env, &building->b->build->env);
	a = policy_admit(&policy, s);
	buf_free(&why);
	kv_free(&identity);
	return a;
}

/* What an earlier attempt left. */
static int drop_containers(const struct building *building, struct deadline d, struct err *e)
{
	return identity_remove_all(building->docker, LABEL_BUILD, building->b->build->id, d, e);
}

static int run_in_container(struct building *building, struct devcontainer *dc, const char *image,
                            const struct image *info, struct deadline d, struct err *e)
{
	struct docker *docker = building->docker;
	struct spec s = { .image = mem_dup(image) };
	struct container c = { 0 };
	struct admitted *a = admit(building, dc, &s);
	struct kv env = { 0 };
	char *user = dc_remote_user(dc, info->user);
	int rc;

	/* [""] is how the engine is told that there is none. */
	buf_addf(&building->changes, "ENTRYPOINT %s",
	         strcmp(info->entrypoint, "[]") == 0 ? "[\"\"]" : info->entrypoint);
	if (strcmp(info->cmd, "[]") != 0)
		buf_addf(&building->changes, "\nCMD %s", info->cmd);
	rc = container_create(&docker->engine, building->b->build->id, a, &building->container, d,
	                      e);
	if (rc == 0 && s.entry == ENTRY_PROGRAM)
		rc = delivery_put_program(docker, building->container, (struct str){ 0 }, d, e);
	if (rc == 0)
		rc = container_start(&docker->engine, building->container, d, e);
	if (rc == 0)
		rc = container_inspect(&docker->engine, building->container, &c, d, e);
	if (rc == 0) {
		dc->container_env = &c.env;
		dc_env(dc, "remoteEnv", &env);
	}
	/* By number root needs no /etc/passwd. */
	for (size_t i = 0; rc == 0 && i < DC_HOOKS_OF_CONTENT; i++)
		rc = dc_run_hook(dc, dc_hooks[i], &docker->engine, building->container,
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
static char *base_tag(const struct building *building)
{
	return docker_image_tag("build", building->b->build->id, "latest");
}

static int make_container(struct building *building, struct devcontainer *dc, struct deadline d,
                          struct err *e)
{
	struct image info;
	char *tag = base_tag(building), *image;
	char *base = docker_image_tag("build", building->b->build->id, "base");
	const struct policy policy = docker_policy(building->docker, POLICY_BUILD,
	                                           building->b->build->id, NULL);
	int rc;

	dc_name_unknown(dc, &policy.from);
	rc = dc_plan_image(building->docker, dc,
	                   &(struct dc_plan){ .id = building->b->build->id,
	                                      .tag = tag,
	                                      .base = base,
	                                      .work_dir = building->dir,
	                                      .registries = building->b->registries,
	                                      .from = &policy.from },
	                   &image, &building->has_base, &info, d, e);
	if (rc == 0)
		rc = run_in_container(building, dc, image, &info, d, e);
	image_free(&info);
	free(image);
	free(tag);
	free(base);
	return rc;
}

static int make_compose(struct building *building, const struct devcontainer *dc, struct deadline d,
                        struct err *e)
{
	struct buf label = { 0 };
	const char *labels[2] = { NULL };
	char *user = NULL;
	int rc;

	buf_addf(&label, LABEL_BUILD "=%s", building->b->build->id);
	labels[0] = buf_cstr(&label);
	rc = dc_helper_up(building->docker, dc,
	                  &(struct dc_up){ .builder_image = building->b->builder_image,
	                                   .registries = building->b->registries,
	                                   .resource_id = building->b->build->id,
	                                   .work_dir = building->dir,
	                                   .checkout = building->checkout,
	                                   .labels = labels,
	                                   .env = &building->b->build->env,
	                                   .prebuild = true },
	                  &building->container, &user, d, e);
	free(user);
	buf_free(&label);
	return rc;
}

static int commit(struct building *building, struct deadline d, struct err *e)
{
	const char *colon = strrchr(building->name, ':');
	struct buf path = { 0 }, body = { 0 };
	int rc;

	jw_obj(&body);
	identity_clear(&body);
	jw_obj_end(&body);
	buf_addf(&path, "/commit?container=%s&pause=0&repo=", building->container);
	buf_add_urlenc(&path, (struct str){ building->name, (size_t)(colon - building->name) });
	buf_addf(&path, "&tag=%s", colon + 1);
	if (building->changes.n) {
		buf_adds(&path, "&changes=");
		buf_add_urlenc(&path, buf_str(&building->changes));
	}
	provider_logf(building->docker->env, "Committing the container as %s", building->name);
	rc = engine_call_ms(&building->docker->engine, "POST", buf_cstr(&path), buf_str(&body),
	                    NULL, 20 * building->docker->engine.call_ms, d, e);
	buf_free(&path);
	buf_free(&body);
	return rc < 0 ? err_wrap(e, "commit image %s", building->name) : 0;
}

/* The committed image keeps its layers. */
static int drop_base(const struct building *building, struct deadline d, struct err *e)
{
	char *tag = base_tag(building);
	int rc = image_remove(&building->docker->engine, tag, false, d, e);

	free(tag);
	return rc;
}

static int build(struct building *building, struct deadline d, struct err *e)
{
	struct devcontainer dc;
	struct err ignored = { 0 };
	int rc;

	if (drop_containers(building, d, e) < 0 ||
	    dc_load(&dc, building->checkout, building->path, building->checkout, building->repo,
	            building->b->build->id, e) < 0)
		return -1;
	dc.env_allow = building->docker->env->env_allow;
	rc = dc_is_compose(&dc) ? make_compose(building, &dc, d, e)
	                        : make_container(building, &dc, d, e);
	if (rc == 0)
		rc = commit(building, d, e);
	if (building->container)
		(void)drop_containers(building, d, &ignored);
	if (building->has_base)
		(void)drop_base(building, d, &ignored);
	(void)docker_remove_volumes(building->docker, building->b->build->id, d, &ignored);
	dc_free(&dc);
	return rc;
}

int build_run(struct docker *docker, const struct build_job *b, struct deadline d, struct err *e)
{
	struct building building = { .docker = docker, .b = b };
	struct err ignored = { 0 };
	int rc = prepare(&building, d, e);

	if (rc == 0 && image_inspect(&docker->engine, building.name, NULL, d, e) == 0) {
		provider_logf(docker->env, "Image %s is there already", building.name);
		rc = build_record_write(docker->env->state_dir, b->build->id, building.name, e);
	} else if (rc == 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = build_record_write(
			docker->env->state_dir, b->build->id, building.name,
			e); /* before there is an image, so that none is forgotten */
		if (rc == 0)
			rc = build(&building, d, e);
		if (rc == 0 && b->registry_host && *b->registry_host)
			rc = image_push(&docker->engine, &docker->opt, building.name,
			                b->registry_auth, d, e);
	} else if (rc == 0) {
		rc = -1;
	}
	if (building.dir)
		(void)file_remove_tree(building.dir, &ignored);
	building_free(&building);
	return rc;
}

int build_delete(struct docker *docker, const struct build_job *b, bool force, struct deadline d,
                 struct err *e)
{
	const char *id = b->build->id;
	const struct building left = { .docker = docker, .b = b }; /* by a build that was cut off */
	char *image;
	struct buf dir = { 0 };
	int rc = 0;

	if (!build_id_ok(id))
		return err_set(e, ERR_PARSE, 0, "build id \"%.100s\" is no id", id);
	image = b->build->image && *b->build->image
	                ? mem_dup(b->build->image)
	                : build_record_image(docker->env->state_dir, id);
	if (!image) {
		provider_logf(docker->env, "No image of this build is known here");
	} else if (build_record_shared(docker->env->state_dir, id, image)) {
		provider_logf(docker->env, "Image %s stays: another build has it too", image);
	} else {
		provider_logf(docker->env, "Removing image %s", image);
		rc = image_remove(&docker->engine, image, true, d, e);
	}
	if (rc == 0 && (drop_containers(&left, d, e) < 0 || drop_base(&left, d, e) < 0 ||
	                docker_remove_volumes(docker, id, d, e) < 0))
		rc = -1;
	if (rc < 0 && force && e->kind != ERR_CANCELED) {
		provider_logf(docker->env, "Warning: resources may remain: %s", e->msg);
		err_clear(e);
		rc = 0;
	}
	buf_addf(&dir, "%s/builds/%s", docker->env->state_dir, id);
	if (rc == 0)
		rc = file_remove_tree(buf_cstr(&dir), e);
	if (rc == 0)
		rc = build_record_remove(docker->env->state_dir, id, e);
	buf_free(&dir);
	free(image);
	return rc;
}
