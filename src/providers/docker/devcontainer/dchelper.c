/* SPDX-License-Identifier: Apache-2.0 */
/* The dev container CLI in a helper container, see dchelper.h. */
#include "providers/docker/devcontainer/dchelper.h"

#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "providers/docker/engine/frames.h"

#include <stdlib.h>
#include <string.h>

#define RESULT_MAX 65536
#define ENGINE_SOCKET "/var/run/docker.sock"
#define OVERRIDE_DIR "/.daytona-override"

/* The override file: the configuration with our environment and mount put in, without what would run on the host. */
static void write_override(const struct devcontainer *dc, const struct dc_up *u, struct buf *b)
{
	struct kv env = { 0 };
	bool compose = json_present(json_get(dc->root, "dockerComposeFile"));
	struct buf key = { 0 };

	dc_env(dc, "containerEnv", &env);
	kv_merge(&env, u->env);
	kv_set(&env, "DAYTONA_WORKSPACE_DIR", dc->folder);
	jw_obj(b);
	for (struct json m = json_first(dc->root); json_present(m); m = json_next(m)) {
		buf_reset(&key);
		json_key(m, &key);
		if (strcmp(buf_cstr(&key), "initializeCommand") == 0 ||
		    strcmp(buf_cstr(&key), "containerEnv") == 0 ||
		    strcmp(buf_cstr(&key), "workspaceFolder") == 0 ||
		    strcmp(buf_cstr(&key), "workspaceMount") == 0)
			continue;
		jw_key(b, buf_cstr(&key));
		jw_raw(b, json_raw(m));
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

int dc_helper_result(struct str output, char **container, char **user, struct err *e)
{
	struct json_doc *doc = NULL;
	struct err ignored = { 0 };
	struct json v;
	int rc = 0;

	*container = NULL;
	*user = NULL;
	for (size_t i = output.n; !doc && i-- > 0;)
		if (output.p[i] == '{')
			doc = json_parse(str_trim((struct str){ output.p + i, output.n - i }),
			                 RESULT_MAX, &ignored);
	v = json_root(doc);
	if (!doc || !json_present(json_get(v, "outcome"))) {
		rc = err_set(e, ERR_PARSE, 0, "the dev container CLI ended without a result");
	} else if (!json_str_is(json_get(v, "outcome"), "success")) {
		char *message = json_dup_or_empty(json_get(v, "message"));
		char *more = json_dup_or_empty(json_get(v, "description"));

		rc = err_set(e, ERR_OTHER, 0, "the dev container CLI failed: %s %s", message, more);
		free(message);
		free(more);
	} else {
		*container = json_dup_or_empty(json_get(v, "containerId"));
		*user = json_dup_or_empty(json_get(v, "remoteUser"));
		if (!**container)
			rc = err_set(e, ERR_PARSE, 0, "the dev container CLI named no container");
	}
	json_doc_free(doc);
	return rc;
}

struct helper {
	struct docker *k;
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
		h->k->env->log(h->k->env->log_arg, s);
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
	rc = engine_send(&h->k->g, &r, &reply, d, e);
	if (rc == 0 && reply.status != 200)
		rc = engine_refused(&r, &reply, e);
	http_reply_free(&reply);
	buf_free(&path);
	return rc;
}

static void add_args(struct helper *h, const struct devcontainer *dc, const struct dc_up *u)
{
	struct strlist *c = &h->s.command;
	struct buf config = { 0 };

	buf_addf(&config, "%s/%s", dc->host_dir, dc->path);
	strlist_add(c, "devcontainer");
	strlist_add(c, "up");
	strlist_add(c, "--workspace-folder");
	strlist_add(c, dc->host_dir);
	strlist_add(c, "--config");
	strlist_add(c, buf_cstr(&config));
	strlist_add(c, "--override-config");
	strlist_add(c, OVERRIDE_DIR "/devcontainer.json");
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

static void fill(struct helper *h, const struct devcontainer *dc, const struct dc_up *u,
                 const char *override_dir)
{
	struct spec *s = &h->s;

	s->image = mem_dup(u->builder_image);
	s->user = mem_dup("root");
	s->workdir = mem_dup(dc->host_dir);
	s->entry = ENTRY_GIVEN;
	kv_set(&s->env, "DOCKER_HOST", "unix://" ENGINE_SOCKET);
	kv_set(&s->labels, LABEL_HELPER, u->resource_id);
	kv_set(&s->labels, LABEL_RUNNER, h->k->env->runner_id);
	spec_mount(s, "bind", h->k->g.url.path, ENGINE_SOCKET, false);
	spec_mount(s, "bind", dc->host_dir, dc->host_dir, false);
	spec_mount(s, "bind", override_dir, OVERRIDE_DIR, true);
	add_args(h, dc, u);
}

/* A leftover has our label: the name is free again after its removal. */
static int make(struct helper *h, const char *name, struct deadline d, struct err *e)
{
	struct container old;
	struct err none = { 0 };
	struct buf body = { 0 };
	bool is = false;
	int rc;

	if (container_inspect(&h->k->g, name, &old, d, &none) == 0 &&
	    identity_is(h->k, &old.labels, old.image_id, LABEL_HELPER,
	                kv_get(&h->s.labels, LABEL_HELPER), &is, d, &none) == 0 &&
	    is)
		(void)container_remove(&h->k->g, old.id, d, &none);
	container_free(&old);
	spec_write(&h->s, &body);
	rc = container_create(&h->k->g, name, buf_str(&body), &h->id, d, e);
	buf_wipe(&body);
	return rc;
}

static int run(struct helper *h, const char *key, struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/start", h->id);
	rc = engine_call_ms(&h->k->g, "POST", buf_cstr(&path), (struct str){ 0 }, NULL,
	                    2 * h->k->g.call_ms, d, e);
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

int dc_helper_up(struct docker *k, const struct devcontainer *dc, const struct dc_up *u,
                 char **container, char **user, struct deadline d, struct err *e)
{
	struct helper h = { .k = k };
	const char *key = dc_foreign_key(dc);
	char *dir = path_join(u->work_dir, ".override"),
	     *file = path_join(dir, "devcontainer.json");
	struct buf text = { 0 }, name = { 0 };
	struct err ignored = { 0 };
	int rc;

	*container = NULL;
	*user = NULL;
	if (!k->g.local || strcmp(k->g.url.scheme, "unix") != 0 || !u->builder_image ||
	    !*u->builder_image)
		rc = err_set(
			e, ERR_UNSUPPORTED, 0,
			"%s: \"%s\" needs an engine on the runner's host and a builder image with "
			"the dev container CLI",
			dc->path, key);
	else if ((rc = image_ensure(&k->g, &k->opt, u->builder_image, u->registries, NULL, d, e)) <
	         0)
		err_wrap(e, "\"%s\" needs the dev container CLI of the Server's builder image",
		         key);
	write_override(dc, u, &text);
	if (rc == 0)
		rc = file_mkdirs(dir, 0700, e);
	if (rc == 0)
		rc = file_replace(file, 0600, buf_str(&text), e);
	if (rc == 0) {
		fill(&h, dc, u, dir);
		buf_addf(&name, "daytona-devcontainer-%s", u->resource_id);
		rc = make(&h, buf_cstr(&name), d, e);
	}
	if (rc == 0)
		rc = run(&h, key, d, e);
	if (rc == 0)
		rc = dc_helper_result(buf_str(&h.result), container, user, e);
	if (h.id)
		(void)container_remove(&k->g, h.id, d, &ignored);
	(void)file_remove_tree(dir, &ignored); /* it holds the workspace's variables */
	spec_free(&h.s);
	buf_free(&h.result);
	buf_wipe(&text);
	buf_free(&name);
	free(h.id);
	free(dir);
	free(file);
	return rc < 0 ? err_wrap(e, "dev container %s", dc->path) : 0;
}
