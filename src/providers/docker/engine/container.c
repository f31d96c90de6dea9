/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of the engine, see container.h. */
#include "providers/docker/engine/container.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MOUNTINFO_MAX (1u << 20)
#define POLL_MS 50
#define STOP_TIMEOUT_S 10
#define START_WAIT_MS 60000
#define REMOVE_WAIT_MS 45000
#define REMOVE_AGAIN_MS 1000

enum container_state container_state_of(const char *text)
{
	static const struct {
		const char *text;
		enum container_state state;
	} table[] = {
		{ "created", CS_CREATED },     { "initialized", CS_CREATED },
		{ "configured", CS_CREATED },  { "running", CS_RUNNING },
		{ "paused", CS_PAUSED },       { "restarting", CS_RESTARTING },
		{ "stopping", CS_RESTARTING }, /* of Podman: neither has ended nor runs */
		{ "exited", CS_EXITED },       { "stopped", CS_EXITED },
		{ "dead", CS_EXITED },         { "removing", CS_REMOVING },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcasecmp(table[i].text, text) == 0)
			return table[i].state;
	return CS_UNKNOWN;
}

void container_free(struct container *c)
{
	free(c->id);
	free(c->name);
	free(c->image);
	free(c->image_id);
	free(c->user);
	free(c->entry);
	free(c->state_text);
	free(c->started_at);
	kv_free(&c->labels);
	kv_free(&c->env);
	for (size_t i = 0; i < c->n_mounts; i++) {
		free(c->mounts[i].type);
		free(c->mounts[i].source);
		free(c->mounts[i].target);
	}
	free(c->mounts);
	for (size_t i = 0; i < c->n_execs; i++)
		free(c->execs[i]);
	free(c->execs);
	*c = (struct container){ 0 };
}

static void read_env(struct container *c, struct json list)
{
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member)) {
		char *text = json_dup_or_empty(member);
		char *eq = strchr(text, '=');

		if (eq) {
			*eq = '\0';
			kv_set(&c->env, text, eq + 1);
		}
		mem_free_secret(text);
	}
}

static void read_mounts(struct container *c, struct json list)
{
	c->mounts = mem_array(json_len(list), sizeof(*c->mounts));
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		c->mounts[c->n_mounts++] = (struct mount){
			.type = json_dup_or_empty(json_get(member, "Type")),
			.source = json_dup_or_empty(json_get(member, "Source")),
			.target = json_dup_or_empty(json_get(member, "Destination")),
		};
}

static void read_execs(struct container *c, struct json list)
{
	c->execs = mem_array(json_len(list), sizeof(*c->execs));
	for (struct json member = json_first(list); json_present(member);
	     member = json_next(member))
		c->execs[c->n_execs++] = json_dup_or_empty(member);
}

static void read_container(struct container *c, struct json v)
{
	struct json state = json_get(v, "State"), config = json_get(v, "Config");

	*c = (struct container){
		.id = json_dup_or_empty(json_get(v, "Id")),
		.name = json_dup_or_empty(json_get(v, "Name")),
		.image = json_dup_or_empty(json_get(config, "Image")),
		.image_id = json_dup_or_empty(json_get(v, "Image")),
		.user = json_dup_or_empty(json_get(config, "User")),
		.entry = json_dup_or_empty(json_first(json_get(config, "Entrypoint"))),
		.state_text = json_dup_or_empty(json_get(state, "Status")),
		.started_at = json_dup_or_empty(json_get(state, "StartedAt")),
		.tty = json_bool(json_get(config, "Tty"), false),
		.out_of_memory = json_bool(json_get(state, "OOMKilled"), false),
		.stop_timeout_s = STOP_TIMEOUT_S,
	};
	if (*c->name == '/')
		memmove(c->name, c->name + 1, strlen(c->name));
	c->state = container_state_of(c->state_text);
	if (c->state == CS_UNKNOWN && json_bool(json_get(state, "Running"), false))
		c->state = CS_RUNNING;
	(void)json_i64(json_get(state, "ExitCode"), -65536, 65536, &c->exit_code);
	(void)json_i64(json_get(config, "StopTimeout"), 0, 86400, &c->stop_timeout_s);
	kv_from_json(&c->labels, json_get(config, "Labels"));
	read_env(c, json_get(config, "Env"));
	read_mounts(c, json_get(v, "Mounts"));
	read_execs(c, json_get(v, "ExecIDs"));
}

int container_inspect(struct engine *engine, const char *ref, struct container *out,
                      struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/json", ref);
	rc = engine_call(engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	buf_free(&path);
	*out = (struct container){ 0 };
	if (rc == 0)
		read_container(out, json_root(doc));
	for (size_t i = 0; i < out->n_mounts && engine->local; i++) {
		char *ours = host_path_in(&engine->dirs, out->mounts[i].source);

		free(out->mounts[i].source);
		out->mounts[i].source = ours;
	}
	json_doc_free(doc);
	return rc;
}

void container_find_ours(struct engine *engine, struct deadline d)
{
	const char *dir = engine->env->state_dir;
	const struct mount *best = NULL;
	char id[CONTAINER_ID_LEN + 1];
	struct buf mounts = { 0 };
	struct container c = { 0 };
	struct err none = {
		0
	}; /* another engine's container, or none: then the names are the same */
	size_t longest = 0;

	if (!engine->local || engine->dirs.ours || !dir ||
	    file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &mounts, &none) < 0 ||
	    !host_path_container(buf_str(&mounts), id) ||
	    container_inspect(engine, id, &c, d, &none) < 0) {
		buf_free(&mounts);
		return;
	}
	for (size_t i = 0; i < c.n_mounts; i++) {
		size_t n = strlen(c.mounts[i].target);

		if (strncmp(dir, c.mounts[i].target, n) == 0 && (!dir[n] || dir[n] == '/') &&
		    n > longest && *c.mounts[i].source == '/') {
			best = &c.mounts[i];
			longest = n;
		}
	}
	if (best) {
		struct buf there = { 0 };

		buf_addf(&there, "%s%s", best->source, dir + longest);
		host_path_set(&engine->dirs, dir, buf_cstr(&there));
		buf_free(&there);
	} else {
		provider_logf(
			engine->env,
			"Warning: this runner is in container %.12s, and no volume or directory of the "
			"engine's host is mounted at its state directory %s, so no checkout can be "
			"mounted into workspaces; mount one, or set host_state_dir",
			id, dir);
	}
	container_free(&c);
	buf_free(&mounts);
}

static void item_free(struct container_item *i)
{
	free(i->id);
	free(i->name);
	free(i->image_id);
	free(i->state_text);
	kv_free(&i->labels);
}

void container_list_free(struct container_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		item_free(&l->list[i]);
	free(l->list);
	*l = (struct container_list){ 0 };
}

/* The filter is the engine's job; checking again guards against one that ignores it. */
static bool has_labels(const struct kv *have, const char *const *labels, size_t n)
{
	bool all = true;

	for (size_t i = 0; i < n && all; i++) {
		const char *eq = strchr(labels[i], '=');
		char *key = mem_dupn(labels[i], eq ? (size_t)(eq - labels[i]) : strlen(labels[i]));
		const char *value = kv_get(have, key);

		all = value && (!eq || strcmp(value, eq + 1) == 0);
		free(key);
	}
	return all;
}

static void read_list(struct container_list *out, struct json root, const char *const *labels,
                      size_t n)
{
	out->list = mem_array(json_len(root), sizeof(*out->list));
	for (struct json member = json_first(root); json_present(member);
	     member = json_next(member)) {
		struct container_item *i = &out->list[out->n];

		*i = (struct container_item){
			.id = json_dup_or_empty(json_get(member, "Id")),
			.name = json_dup_or_empty(json_first(json_get(member, "Names"))),
			.image_id = json_dup_or_empty(json_get(member, "ImageID")),
			.state_text = json_dup_or_empty(json_get(member, "State")),
		};
		kv_from_json(&i->labels, json_get(member, "Labels"));
		if (!*i->id || !has_labels(&i->labels, labels, n)) {
			item_free(i);
			continue;
		}
		if (*i->name == '/')
			memmove(i->name, i->name + 1, strlen(i->name));
		i->state = container_state_of(i->state_text);
		(void)json_i64(json_get(member, "Created"), 0, INT64_MAX, &i->created);
		out->n++;
	}
}

int container_list(struct engine *engine, const char *const *labels, size_t n,
                   struct container_list *out, struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	int rc;

	*out = (struct container_list){ 0 };
	buf_adds(&path, "/containers/json?all=1&");
	engine_add_filter(&path, "label", labels, n);
	rc = engine_call(engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc, d, e);
	buf_free(&path);
	if (rc == 0 && doc && !json_is_array(json_root(doc)) && !json_is_null(json_root(doc)))
		rc = err_set(e, ERR_PARSE, 0, "GET /containers/json: the answer is no list");
	if (rc == 0)
		read_list(out, json_root(doc), labels, n);
	json_doc_free(doc);
	return rc;
}

static bool is_there(struct engine *engine, const char *ref, struct deadline d)
{
	struct container c;
	struct err e = { 0 };
	int rc = container_inspect(engine, ref, &c, d, &e);

	container_free(&c);
	return rc == 0 || e.kind != ERR_NOT_FOUND;
}

int container_create(struct engine *engine, const char *name, const struct admitted *a, char **id,
                     struct deadline d, struct err *e)
{
	struct deadline until = deadline_min(d, deadline_in_ms(engine->call_ms));
	struct json_doc *doc = NULL;
	struct buf path = { 0 };
	struct str body;
	int rc;

	*id = NULL;
	buf_adds(&path, "/containers/create?name=");
	buf_add_urlenc(&path, str_of(name));
	for (;;) {
		rc = admitted_body(a, &body, e);
		if (rc < 0)
			break;
		rc = engine_call_ms(engine, "POST", buf_cstr(&path), body, &doc,
		                    4 * engine->call_ms, d, e);
		/* The engine may still be at a call of a job that was killed, and holds its name. */
		if (rc == 0 || e->code != 409 || is_there(engine, name, d) ||
		    deadline_passed(until))
			break;
		if (engine_sleep(engine, POLL_MS, d, e) < 0)
			break;
		err_clear(e);
	}
	buf_free(&path);
	if (rc < 0)
		return -1;
	*id = json_dup(json_get(json_root(doc), "Id"));
	for (struct json member = json_first(json_get(json_root(doc), "Warnings"));
	     json_present(member); member = json_next(member)) {
		char *text = json_dup_or_empty(member);

		provider_logf(engine->env, "Warning from the engine: %s", text);
		free(text);
	}
	json_doc_free(doc);
	if (!*id)
		return err_set(e, ERR_PARSE, 0, "POST /containers/create: the answer has no Id");
	return 0;
}

static int post(struct engine *engine, const char *id, const char *verb, int64_t ms,
                struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/%s", id, verb);
	rc = engine_call_ms(engine, "POST", buf_cstr(&path), (struct str){ 0 }, NULL, ms, d, e);
	buf_free(&path);
	return rc;
}

static int wait_running(struct engine *engine, const char *id, struct deadline d, struct err *e)
{
	struct deadline until = deadline_min(d, deadline_in_ms(START_WAIT_MS));
	struct container c;

	for (;;) {
		int rc = container_inspect(engine, id, &c, d, e);
		enum container_state state = c.state;
		int64_t status = c.exit_code;

		if (rc < 0)
			return -1;
		if (state == CS_EXITED)
			err_set(e, ERR_OTHER, (int)status,
			        "container %.12s ended at once with exit status %lld%s", id,
			        (long long)status,
			        c.out_of_memory ? ", for want of memory (option Memory)" : "");
		else if (deadline_passed(until))
			err_set(e, ERR_TIMEOUT, 0,
			        "container %.12s does not run after %d s, it is \"%s\"", id,
			        START_WAIT_MS / 1000, c.state_text);
		container_free(&c);
		if (state == CS_RUNNING)
			return 0;
		if (state == CS_EXITED || deadline_passed(until))
			return -1;
		if (engine_sleep(engine, POLL_MS, d, e) < 0)
			return -1;
	}
}

int container_start(struct engine *engine, const char *id, struct deadline d, struct err *e)
{
	struct container c;
	enum container_state state;

	if (container_inspect(engine, id, &c, d, e) < 0)
		return -1;
	state = c.state;
	container_free(&c);
	if (state == CS_PAUSED && post(engine, id, "unpause", engine->call_ms, d, e) < 0)
		return err_wrap(e, "resume container %.12s", id);
	if (state != CS_RUNNING && state != CS_PAUSED &&
	    post(engine, id, "start", 2 * engine->call_ms, d, e) < 0)
		return err_wrap(e, "start container %.12s", id);
	return wait_running(engine, id, d, e);
}

/* 0 it has ended or is gone, 1 it still runs, -1 failed. */
static int has_ended(struct engine *engine, const char *id, struct deadline d, struct err *e)
{
	struct container c;
	enum container_state state;

	if (container_inspect(engine, id, &c, d, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		return 0;
	}
	state = c.state;
	container_free(&c);
	return state == CS_RUNNING || state == CS_PAUSED || state == CS_RESTARTING;
}

int container_stop(struct engine *engine, const struct container *c, struct deadline d,
                   struct err *e)
{
	/* Podman says 0 when nothing was asked for, and would kill at once. */
	int64_t grace_s = c->stop_timeout_s > 0 ? c->stop_timeout_s : STOP_TIMEOUT_S;
	int64_t ms = grace_s * 1000 + engine->call_ms;
	struct deadline until = deadline_min(d, deadline_in_ms(ms + engine->call_ms));
	int running;

	if (c->state == CS_CREATED || c->state == CS_EXITED)
		return 0;
	if (post(engine, c->id, c->stop_timeout_s > 0 ? "stop" : "stop?t=10", ms, d, e) < 0 &&
	    e->kind != ERR_NOT_FOUND)
		return err_wrap(e, "stop container %.12s", c->id);
	err_clear(e);
	while ((running = has_ended(engine, c->id, d, e)) > 0) {
		if (deadline_passed(until))
			return err_set(
				e, ERR_TIMEOUT, 0,
				"stop container %.12s: the engine said yes, but it still runs "
				"after %lld s",
				c->id, (long long)(ms / 1000));
		if (engine_sleep(engine, POLL_MS, d, e) < 0)
			return -1;
	}
	return running;
}

/* One DELETE; a refusal is looked at later, by whether the container is still there. */
static int try_remove(struct engine *engine, const char *ref, bool *gone, struct deadline d,
                      struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s?force=1&v=1", ref);
	rc = engine_call_ms(engine, "DELETE", buf_cstr(&path), (struct str){ 0 }, NULL,
	                    2 * engine->call_ms, d, e);
	buf_free(&path);
	*gone = rc == 0 || e->kind == ERR_NOT_FOUND;
	/* Without an HTTP status the engine itself is away. */
	return *gone || e->kind == ERR_HTTP ? 0 : -1;
}

int container_remove(struct engine *engine, const char *ref, struct deadline d, struct err *e)
{
	struct deadline until = deadline_min(d, deadline_in_ms(REMOVE_WAIT_MS));
	bool gone = false;
	struct err last;

	for (;;) {
		struct deadline again = deadline_in_ms(REMOVE_AGAIN_MS);

		if (try_remove(engine, ref, &gone, d, e) < 0)
			return err_wrap(e, "remove container %.64s", ref);
		if (gone)
			break;
		last = *e;
		if (strstr(last.msg, "is running")) { /* an engine that does not force */
			struct container c;

			if (container_inspect(engine, ref, &c, d, e) == 0)
				(void)container_stop(engine, &c, until, e);
			container_free(&c);
		}
		while (!gone && !deadline_passed(again) && !deadline_passed(until)) {
			gone = !is_there(engine, ref, d);
			if (!gone && engine_sleep(engine, POLL_MS, d, e) < 0)
				return -1;
		}
		if (gone)
			break;
		if (deadline_passed(until)) {
			*e = last;
			return err_wrap(e, "remove container %.64s", ref);
		}
	}
	err_clear(e);
	return 0;
}
