/* SPDX-License-Identifier: Apache-2.0 */
/* The dev container CLI in a helper container, see dchelper.h. */
#include "providers/docker/workspace/dchelper.h"

#include "base/allow.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "providers/docker/engine/frames.h"

#include <stdlib.h>
#include <string.h>

#define RESULT_MAX 65536
#define ENGINE_SOCKET "/var/run/docker.sock"
#define OVERRIDE_DIR "/.daytona-override"
#define CONFIG_NAME "devcontainer.json"

/* For compose: the configuration with our environment and mount put in, without what would run on the host. */
static void write_override(const struct devcontainer *dc, const struct dc_up *u, struct buf *b)
{
	struct kv env = { 0 };
	bool compose = json_present(json_get(dc->root, "dockerComposeFile"));
	struct buf key = { 0 };

	dc_env(dc, "containerEnv", &env);
	kv_merge(&env, u->env);
	kv_set(&env, "DAYTONA_WORKSPACE_DIR", dc->folder);
	jw_obj(b);
	for (struct json member = json_first(dc->root); json_present(member);
	     member = json_next(member)) {
		buf_reset(&key);
		json_key(member, &key);
		if (strcmp(buf_cstr(&key), "initializeCommand") == 0 ||
		    strcmp(buf_cstr(&key), "containerEnv") == 0 ||
		    strcmp(buf_cstr(&key), "workspaceFolder") == 0 ||
		    strcmp(buf_cstr(&key), "workspaceMount") == 0)
			continue;
		jw_key(b, buf_cstr(&key));
		jw_raw(b, json_raw(member));
	}
	jw_key(b, "containerEnv");
	kv_to_json(&env, b);
	jw_kstr(b, "workspaceFolder", dc->folder);
	if (!compose) {
		buf_reset(&key);
		buf_addf(&key, "source=%s,target=%s,type=bind", dc->host_dir, dc->folder);
		jw_kstr(b, "workspaceMount", buf_cstr(&key));
	}
	jw_obj_end(b);
	buf_free(&key);
	kv_free(&env);
}

/* The object that ends the CLI's output, when it says success. */
static struct json_doc *read_result(struct str output, struct err *e)
{
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };
	struct json v;

	for (size_t i = output.n; !doc && i-- > 0;)
		if (output.p[i] == '{')
			doc = json_parse(str_trim((struct str){ output.p + i, output.n - i }),
			                 RESULT_MAX, &ignored);
	v = json_root(doc);
	if (doc && json_str_is(json_get(v, "outcome"), "success"))
		return doc;
	if (!doc || !json_present(json_get(v, "outcome"))) {
		err_set(e, ERR_PARSE, 0, "the dev container CLI ended without a result");
	} else {
		char *message = json_dup_or_empty(json_get(v, "message"));
		char *more = json_dup_or_empty(json_get(v, "description"));

		err_set(e, ERR_OTHER, 0, "the dev container CLI failed: %s %s", message, more);
		free(message);
		free(more);
	}
	json_doc_free(doc);
	return NULL;
}

int dc_helper_result(struct str output, char **container, char **user, struct err *e)
{
	struct json_doc *doc = read_result(output, e);
	struct json v = json_root(doc);

	*container = NULL;
	*user = NULL;
	if (!doc)
		return -1;
	*container = json_dup_or_empty(json_get(v, "containerId"));
	*user = json_dup_or_empty(json_get(v, "remoteUser"));
	json_doc_free(doc);
	return **container ? 0
	                   : err_set(e, ERR_PARSE, 0, "the dev container CLI named no container");
}

struct helper {
	struct docker *docker;
	char *id;
	struct spec s;
	struct frames frames;
	struct buf result; /* the end of standard output */
};

static void take(void *arg, int stream, struct str s)
{
	struct helper *h = arg;

	if (stream == 1) {
		buf_add(&h->result, s.p, s.n);
		if (h->result.n > RESULT_MAX)
			buf_drop(&h->result, h->result.n - RESULT_MAX / 2);
	} else {
		h->docker->env->log(h->docker->env->log_arg, s);
	}
}

static int sink(void *arg, struct str bytes, struct err *e)
{
	struct helper *h = arg;

	return frames_feed(&h->frames, bytes, take, h, e);
}

/* The log stream ends when the container does. */
static int read_output(struct helper *h, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	struct http_reply reply = { 0 };
	struct engine_request r = { .method = "GET", .sink = sink, .sink_arg = h };
	int rc;

	buf_addf(&path, "/containers/%s/logs?follow=1&stdout=1&stderr=1", h->id);
	r.path = buf_cstr(&path);
	rc = engine_send(&h->docker->engine, &r, &reply, d, e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

/* The CLI is root and has the engine's socket: it is handed nothing of the repository's but what the caller writes. */
static void fill(struct helper *h, const struct devcontainer *dc, const char *builder_image)
{
	struct spec *s = &h->s;

	s->image = mem_dup(builder_image);
	s->user = mem_dup("root");
	s->workdir = mem_dup(dc->host_dir);
	s->entry = ENTRY_GIVEN;
	kv_set(&s->env, "DOCKER_HOST", "unix://" ENGINE_SOCKET);
	spec_mount(s, "bind", h->docker->engine.url.path, ENGINE_SOCKET, false);
}

static void add_up(struct helper *h, const struct devcontainer *dc, const struct dc_up *u,
                   const char *dir)
{
	struct strlist *c = &h->s.command;
	struct buf config = { 0 };

	fill(h, dc, u->builder_image);
	spec_mount(&h->s, "bind", dc->host_dir, dc->host_dir, false);
	spec_mount(&h->s, "bind", dir, OVERRIDE_DIR, true);
	buf_addf(&config, "%s/%s", dc->host_dir, dc->path);
	strlist_add(c, "devcontainer");
	strlist_add(c, "up");
	strlist_add(c, "--workspace-folder");
	strlist_add(c, dc->host_dir);
	strlist_add(c, "--config");
	strlist_add(c, buf_cstr(&config));
	strlist_add(c, "--override-config");
	strlist_add(c, OVERRIDE_DIR "/" CONFIG_NAME);
	for (size_t i = 0; u->labels[i]; i++) {
		strlist_add(c, "--id-label");
		strlist_add(c, u->labels[i]);
	}
	if (u->cache_from && *u->cache_from) {
		strlist_add(c, "--cache-from");
		strlist_add(c, u->cache_from);
	}
	strlist_add(c, u->prebuild ? "--prebuild" : "--skip-non-blocking-commands");
	buf_free(&config);
}

/* A leftover has our label: the name is free again after its removal. */
static int make(struct helper *h, const char *resource, struct deadline d, struct err *e)
{
	struct container old;
	struct err none = { 0 };
	struct buf name = { 0 };
	struct admitted *a = docker_admit_helper(h->docker, resource, &h->s);
	bool is = false;
	int rc;

	buf_addf(&name, "daytona-devcontainer-%s", resource);
	if (container_inspect(&h->docker->engine, buf_cstr(&name), &old, d, &none) == 0 &&
	    identity_is(h->docker, &old.labels, old.image_id, LABEL_HELPER, resource, &is, d,
	                &none) == 0 &&
	    is)
		(void)container_remove(&h->docker->engine, old.id, d, &none);
	container_free(&old);
	rc = container_create(&h->docker->engine, buf_cstr(&name), a, &h->id, d, e);
	admitted_free(a);
	buf_free(&name);
	return rc;
}

static int run(struct helper *h, const char *key, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/start", h->id);
	rc = engine_call_ms(&h->docker->engine, "POST", buf_cstr(&path), (struct str){ 0 }, NULL,
	                    2 * h->docker->engine.call_ms, d, e);
	buf_free(&path);
	if (rc < 0 && e->kind != ERR_CANCELED && e->code >= 400)
		return err_set(
			e, ERR_UNSUPPORTED, e->code,
			"\"%s\" needs the dev container CLI, and the builder image %s has none "
			"(no program \"devcontainer\"); set a builder image that has it",
			key, h->s.image);
	if (rc == 0)
		rc = read_output(h, d, e);
	return rc;
}

static int check(struct docker *docker, const struct devcontainer *dc, const char *key,
                 const char *image, const struct registries *regs, struct deadline d, struct err *e)
{
	if (!docker->engine.local || strcmp(docker->engine.url.scheme, "unix") != 0 || !image ||
	    !*image)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"%s: \"%s\" needs an engine on the runner's host and a builder image with "
			"the dev container CLI",
			dc->path, key);
	if (allow_limits(ALLOW_IMAGES) || allow_limits(ALLOW_REGISTRIES))
		return err_set(
			e, ERR_DENIED, 0,
			"%s: \"%s\" is left to the dev container CLI, which takes images by itself, and this runner "
			"allows certain images only",
			dc->path, key);
	if (image_ensure(&docker->engine, &docker->opt, image, regs, NULL, d, e) < 0)
		return err_wrap(
			e, "\"%s\" needs the dev container CLI of the Server's builder image", key);
	return 0;
}

/* text is the configuration that the CLI gets, in dir. */
static int run_cli(struct helper *h, const char *resource, const char *key, const char *dir,
                   const struct buf *text, struct deadline d, struct err *e)
{
	char *file = path_join(dir, CONFIG_NAME);
	struct err ignored = { 0 };
	int rc = file_mkdirs(dir, 0700, e);

	if (rc == 0)
		rc = file_replace(file, 0600, buf_str(text), e);
	if (rc == 0)
		rc = make(h, resource, d, e);
	if (rc == 0)
		rc = run(h, key, d, e);
	if (h->id)
		(void)container_remove(&h->docker->engine, h->id, d, &ignored);
	(void)file_remove_tree(dir, &ignored); /* it may hold the workspace's variables */
	free(file);
	return rc;
}

static void helper_free(struct helper *h)
{
	spec_free(&h->s);
	buf_free(&h->result);
	free(h->id);
}

int dc_helper_up(struct docker *docker, const struct devcontainer *dc, const struct dc_up *u,
                 char **container, char **user, struct deadline d, struct err *e)
{
	static const char key[] = "dockerComposeFile";
	struct helper h = { .docker = docker };
	char *dir = path_join(u->work_dir, ".override");
	struct buf text = { 0 };
	int rc;

	*container = NULL;
	*user = NULL;
	if (docker->opt.privileged)
		rc = check(docker, dc, key, u->builder_image, u->registries, d, e);
	else
		rc = err_set(
			e, ERR_UNSUPPORTED, 0,
			"\"%s\" can ask for anything on the engine's host, so it needs a target with the option "
			"Privileged",
			key);
	if (rc == 0) {
		write_override(dc, u, &text);
		add_up(&h, dc, u, dir);
		rc = run_cli(&h, u->resource_id, key, dir, &text, d, e);
	}
	if (rc == 0)
		rc = dc_helper_result(buf_str(&h.result), container, user, e);
	helper_free(&h);
	buf_wipe(&text);
	free(dir);
	return rc < 0 ? err_wrap(e, "dev container %s", dc->path) : 0;
}
