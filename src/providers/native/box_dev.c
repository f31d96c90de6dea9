/* SPDX-License-Identifier: Apache-2.0 */
/* See box_dev.h; containers.dev. */
#include "providers/native/box_dev.h"

#include "base/file.h"
#include "base/mem.h"
#include "providers/devcontainer/dchooks.h"
#include "providers/devcontainer/dclife.h"
#include "providers/native/build.h"
#include "providers/native/inside.h"

#include <stdio.h>
#include <stdlib.h>

#define CREATED "created "

static int load(struct devcontainer *dc, const struct native_call *c, struct err *e)
{
	char *checkout = path_join(c->paths.root, c->state.dir), *path;
	int rc = -1;

	*dc = (struct devcontainer){ 0 };
	path = dc_detect(checkout, c->ws->devcontainer_path, e);
	if (path) {
		rc = dc_load(dc, checkout, path, checkout, c->state.dir, c->ws->id, e);
	} else if (e->kind == ERR_NONE) {
		err_set(e, ERR_NOT_FOUND, 0,
		        "the repository has no .devcontainer/devcontainer.json, which Image=%s asks for",
		        NATIVE_DEV_IMAGE);
	}
	free(path);
	free(checkout);
	return rc;
}

static int needs_engine(const struct devcontainer *dc, const char *key, struct err *e)
{
	return err_set(
		e, ERR_UNSUPPORTED, 0,
		"%s: \"%s\" needs a container engine: use docker-provider, or name an \"image\" "
		"that has it built in",
		dc->path, key);
}

static void say(void *arg, const char *text)
{
	const struct native_call *c = arg;

	provider_logf(c->env, "%s", text);
}

static int named(struct native_call *c, const struct devcontainer *dc, struct err *e)
{
	char *image = dc_text(dc, json_get(dc->root, "image"));

	if (!image || !*image) {
		free(image);
		return err_set(e, ERR_CONFIG, 0, "%s names no image", dc->path);
	}
	free(c->options.image);
	c->options.image = image;
	return 0;
}

/* Of the image that the workspace is to have: one that is named, or made of the Dockerfile, and what the features make of
 * either. *made: it has no name. */
static int find_image(struct native_call *c, struct devcontainer *dc, const struct dc_build *b,
                      bool *made, struct digest *manifest, struct deadline d, struct err *e)
{
	struct native_box *box = &c->state.box;
	struct digest base;
	struct rootfs r = { 0 };
	int rc = *made ? native_build(c, dc->checkout, b, NULL, manifest, d, e) : named(c, dc, e);

	if (rc < 0 || !dc_has_features(dc))
		return rc;
	if (*made) {
		base = *manifest;
	} else {
		rc = native_box_pull(c, box, d, &r, e);
		base = r.manifest;
		rootfs_free(&r);
	}
	*made = true;
	return rc < 0 ? -1 : native_features(c, dc, &base, manifest, d, e);
}

static int choose_image(struct native_call *c, struct devcontainer *dc, struct deadline d,
                        struct err *e)
{
	const struct asker asker = { .say = say, .arg = c };
	struct native_box *box = &c->state.box;
	struct dc_build b = { 0 };
	struct digest manifest;
	bool has_build = false, made;
	int rc = dc_build(dc, &asker, &b, &has_build, e);

	dc_name_unknown(dc, &asker);
	made = has_build;
	if (rc == 0 && !NATIVE_BUILDER && (has_build || dc_has_features(dc)))
		rc = needs_engine(dc, has_build ? "build" : "features", e);
	if (rc == 0)
		rc = find_image(c, dc, &b, &made, &manifest, d, e);
	if (rc == 0 && made) {
		free(box->source);
		free(box->manifest);
		box->source = mem_dup(has_build ? b.dockerfile : c->options.image);
		box->manifest = mem_dup(manifest.text);
	}
	dc_build_free(&b);
	return rc;
}

int native_dev_image(struct native_call *c, struct deadline d, struct err *e)
{
	struct devcontainer dc;
	int rc;

	if (strcmp(c->options.image, NATIVE_DEV_IMAGE) != 0)
		return 0;
	rc = load(&dc, c, e);
	if (rc == 0)
		rc = dc_is_compose(&dc) ? needs_engine(&dc, "dockerComposeFile", e)
		                        : choose_image(c, &dc, d, e);
	dc_free(&dc);
	return rc;
}

void native_dev_open(struct native_dev *v, struct native_boxed *b)
{
	const struct native_call *c = b->c;
	struct err why = { 0 };

	*v = (struct native_dev){ 0 };
	if (strcmp(c->options.image, NATIVE_DEV_IMAGE) != 0)
		return;
	if (load(&v->dc, c, &why) < 0) {
		provider_logf(c->env, "warning: %s", why.msg);
		return;
	}
	v->any = true;
	free(v->dc.folder);
	v->dc.folder = mem_dup(b->inside);
	v->dc.env_allow = c->env->env_allow;
	dc_set_metadata(&v->dc, image_list_get(b->rootfs.config.labels, DC_METADATA_LABEL));
	v->user = dc_remote_user(&v->dc, b->s.user);
	dc_env(&v->dc, "containerEnv", &v->container_env);
	v->dc.container_env = &v->container_env;
	dc_env(&v->dc, "remoteEnv", &v->remote_env);
	if (v->user)
		b->s.user = v->user;
}

void native_dev_close(struct native_dev *v)
{
	dc_free(&v->dc);
	free(v->user);
	kv_free(&v->container_env);
	kv_free(&v->remote_env);
	*v = (struct native_dev){ 0 };
}

typedef int run_fn(const struct native_dev *v, void *arg, const char *const *argv, const char *name,
                   struct deadline d, struct err *e);

/* In the workspace that runs. */
static int run_there(const struct native_dev *v, void *arg, const char *const *argv,
                     const char *name, struct deadline d, struct err *e)
{
	const struct native_call *c = arg;
	union {
		const struct provider_env *from;
		void *to;
	} self = { c->env };
	struct workspace_exec exec = { .ws = c->ws, .env = &v->remote_env, .user = v->user };

	return native_logged(c->env, argv, &exec, native_exec, self.to, name, d, e);
}

static int run(const struct native_dev *v, const struct native_call *c, run_fn *how, void *arg,
               const char *name, struct json command, struct deadline d, struct err *e)
{
	struct strlist argv;
	const char **list;
	int rc;

	if (!dc_command(&v->dc, command, &argv))
		return 0;
	list = mem_array(argv.n + 1, sizeof(*list));
	for (size_t i = 0; i < argv.n; i++)
		list[i] = argv.p[i];
	provider_logf(c->env, "running %s", name);
	rc = how(v, arg, list, name, d, e);
	free(list);
	strlist_free(&argv);
	return rc;
}

/* Of each layer; members of an object one after the other. */
static int run_hook(const struct native_dev *v, struct native_call *c, run_fn *how, void *arg,
                    const char *hook, struct deadline d, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < v->dc.n_layers; i++) {
		struct json command = json_get(v->dc.layers[i], hook);

		if (!json_is_object(command))
			rc = run(v, c, how, arg, hook, command, d, e);
		for (struct json member = json_first(command);
		     rc == 0 && json_is_object(command) && json_present(member);
		     member = json_next(member)) {
			struct buf name = { 0 };

			buf_addf(&name, "%s.", hook);
			json_key(member, &name);
			rc = run(v, c, how, arg, buf_cstr(&name), member, d, e);
			buf_free(&name);
		}
	}
	return rc;
}

struct due {
	const struct native_dev *v;
	struct native_call *c;
	struct deadline d;
	char *path; /* says how many commands of creation were run */
	int64_t done;
};

static int run_due(void *arg, const char *hook, struct err *e)
{
	const struct due *due = arg;

	return run_hook(due->v, due->c, run_there, due->c, hook, due->d, e);
}

static int save_due(void *arg, struct err *e)
{
	const struct due *due = arg;
	char text[32];

	snprintf(text, sizeof(text), CREATED "%lld\n", (long long)due->done);
	return file_replace(due->path, 0600, str_of(text), e);
}

/* A file of before says nothing, and is there when all were run. */
static int64_t read_due(const char *path)
{
	struct buf text = { 0 };
	struct err none = { 0 };
	struct str rest;
	int64_t done = DC_HOOKS_OF_CREATION;

	if (file_read(path, 32, &text, &none) < 0)
		done = 0;
	if (str_starts(buf_str(&text), CREATED)) {
		rest = (struct str){ text.p + sizeof(CREATED) - 1, text.n - (sizeof(CREATED) - 1) };
		(void)str_to_i64(str_trim(rest), 0, DC_HOOKS_OF_CREATION, &done);
	}
	buf_free(&text);
	return done;
}

int native_dev_commands(const struct native_dev *v, struct native_call *c, struct deadline d,
                        struct err *e)
{
	struct due due = { v, c, d, path_join(c->paths.box, "created"), 0 };
	int rc = 0;

	due.done = read_due(due.path);
	if (v->any)
		rc = dc_hooks_run(
			&(struct dc_hooks_run){ c->env, &due.done, false, run_due, save_due, &due },
			e);
	free(due.path);
	return rc;
}

/* ---- in a build ---- */

struct prebuild {
	struct native_call *c;
	const struct native_dev *v;
	struct deadline d;
};

static int run_in_build(const struct native_dev *v, void *arg, const char *const *argv,
                        const char *name, struct deadline d, struct err *e)
{
	(void)v, (void)d;
	return native_build_step(arg, argv, e) < 0 ? err_wrap(e, "%s", name) : 0;
}

static int steps(void *arg, struct building *building, struct err *e)
{
	const struct prebuild *p = arg;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < DC_HOOKS_OF_CONTENT; i++)
		rc = run_hook(p->v, p->c, run_in_build, building, dc_hooks[i], p->d, e);
	return rc;
}

int native_dev_prebuild(struct native_call *c, struct digest *manifest, struct deadline d,
                        struct err *e)
{
	struct native_boxed b;
	struct native_dev v = { 0 };
	struct kv env = { 0 };
	struct prebuild p = { c, &v, d };
	int rc = native_boxed_open(&b, c, d, e);

	if (rc == 0) {
		native_dev_open(&v, &b);
		kv_merge(&env, c->w->env);
		kv_merge(&env, &v.container_env);
		kv_merge(&env, &v.remote_env);
		rc = native_build_more(
			c, &(struct native_more){ manifest, v.user, &env, steps, &p }, d, e);
	}
	kv_free(&env);
	native_dev_close(&v);
	native_boxed_close(&b);
	return rc;
}
