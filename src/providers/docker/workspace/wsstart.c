/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a workspace (protocol 10.7): its container, what belongs to it, the ids of its user, the commands of a
 * dev container, the agent. What runs already is left alone.
 */
#include "providers/docker/workspace/wsstart.h"
#include "base/mem.h"
#include "providers/docker/engine/archive.h"
#include "providers/docker/engine/follow.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void starting_free(struct starting *s)
{
	wsdir_free(&s->dir);
	container_free(&s->c);
	account_free(&s->account);
	dc_free(&s->dc);
	free(s->user);
	kv_free(&s->env);
}

/* Programs that features of the image want beside the main one (protocol 10.7). */
static void run_entrypoints(struct starting *s, struct deadline d)
{
	const char *label = kv_get(&s->c.labels, "devcontainer.metadata");
	struct err problem = { 0 };
	struct json_doc *doc = label ? json_parse(str_of(label), 1u << 20, &problem) : NULL;
	struct json root = json_root(doc);

	for (struct json member = json_first(root); json_is_array(root) && json_present(member);
	     member = json_next(member)) {
		char *command = json_dup_or_empty(json_get(member, "entrypoint"));
		const char *const argv[] = { "/bin/sh", "-c", command, NULL };

		if (*command && exec_detached(&s->docker->engine, s->c.id,
		                              &(struct exec_spec){ .argv = argv }, d, &problem) < 0)
			provider_logf(s->docker->env, "Warning: entrypoint of the image: %s",
			              problem.msg);
		free(command);
	}
	json_doc_free(doc);
}

int starting_reinspect(struct starting *s, const char *id, struct deadline d, struct err *e)
{
	struct container c;

	if (container_inspect(&s->docker->engine, id, &c, d, e) < 0)
		return err_wrap(e, "look at container %.12s", id);
	container_free(&s->c);
	s->c = c;
	return 0;
}

static int start_failed(struct starting *s, struct err *e)
{
	struct buf tail = { 0 };

	if (e->kind == ERR_OTHER) {
		follow_tail(&s->docker->engine, &s->c, &tail);
		if (tail.n)
			err_set(e, ERR_OTHER, e->code,
			        "container %.12s ended at once with exit status %d: %s", s->c.id,
			        e->code, buf_cstr(&tail));
	}
	buf_free(&tail);
	return -1;
}

/* The checkout belongs to the runner's user, who is not root: the workspace's user takes that uid (protocol 10.5). True
 * when it has changed. */
static bool match_ids(struct starting *s, struct deadline d)
{
	unsigned uid = (unsigned)geteuid(), gid = (unsigned)getegid();
	struct err problem = { 0 };

	if (!s->docker->engine.local || !s->w->ws->has_build_config || uid == 0 ||
	    !s->account.known || s->account.uid == 0 || s->account.uid == uid ||
	    (s->dc.doc && !dc_updates_uid(&s->dc)))
		return false;
	if (account_renumber(&s->docker->engine, s->c.id, &s->account, uid, gid, d, &problem) == 0)
		return true;
	provider_logf(s->docker->env,
	              "Warning: user %s keeps uid %u, the checkout belongs to %u: %s",
	              s->account.name, s->account.uid, uid, problem.msg);
	return false;
}

static void own_home(struct starting *s, struct deadline d)
{
	const char *argv[] = { "chown", "-R", NULL, s->account.home, NULL };
	struct buf owner = { 0 };
	struct err problem = { 0 };
	int64_t status = 0;

	buf_addf(&owner, "%u:%u", s->account.uid, s->account.gid);
	argv[2] = buf_cstr(&owner);
	if (exec_run(&s->docker->engine, s->c.id,
	             &(struct exec_spec){ .argv = argv, .user = "0:0", .quiet = true }, &status, d,
	             &problem) < 0 ||
	    status != 0)
		provider_logf(s->docker->env,
		              "Warning: the home of user %s could not be given to uid %u: %s",
		              s->account.name, s->account.uid,
		              *problem.msg ? problem.msg : "chown failed");
	buf_free(&owner);
}

/* What the container's start needs, and accounts for an image that has none, into it. */
static int prepare(struct starting *s, struct deadline d, struct err *e)
{
	struct buf accounts = { 0 };
	int rc;

	if (s->account.no_passwd)
		account_provide(*s->user ? s->user : s->c.user, &s->account, &accounts);
	rc = delivery_before_start(s->docker,
	                           &(struct agent_job){ .w = s->w, .c = &s->c, .at = &s->dir },
	                           buf_str(&accounts), &s->delivered, d, e);
	buf_free(&accounts);
	return rc;
}

/* The engine takes a process and a mount of its own to read a file, which most starts find as the last one left it. */
static int find_account(struct starting *s, struct deadline d, struct err *e)
{
	struct engine *engine = &s->docker->engine;
	struct buf mark = { 0 };
	int rc = 0;

	(void)archive_mark(engine, s->c.id, "/etc/passwd", &mark, d);
	if (!wsdir_account(&s->dir, s->c.id, s->user, buf_str(&mark), &s->account)) {
		rc = account_find(engine, s->c.id, s->user, &s->account, d, e);
		if (rc == 0)
			wsdir_note_account(&s->dir, s->c.id, s->user, buf_str(&mark), &s->account);
	}
	buf_free(&mark);
	return rc;
}

/* *changed: the user's ids. */
static int start_container(struct starting *s, bool *changed, struct deadline d, struct err *e)
{
	struct docker *docker = s->docker;
	unsigned tries = 0;

	while (prepare(s, d, e) == 0 && checkout_own(docker, &s->dir, &s->account, e) == 0) {
		*changed |= match_ids(s, d);
		if (container_start(&docker->engine, s->c.id, d, e) == 0)
			return 0;
		if (!account_overlooked(&docker->engine, &s->account, &tries, d, e))
			return start_failed(s, e);
		/* Where it is not there after all, it is given once more. */
		account_free(&s->account);
		err_clear(e);
		if (account_find(&docker->engine, s->c.id, s->user, &s->account, d, e) < 0)
			break;
	}
	return -1;
}

static int bring_up(struct starting *s, struct deadline d, struct err *e)
{
	struct docker *docker = s->docker;
	bool changed = false;

	if (siblings_do(docker, &s->c, SIBLINGS_START, d, e) < 0)
		return -1;
	s->was_running = s->c.state == CS_RUNNING;
	if (s->c.out_of_memory)
		provider_logf(docker->env,
		              s->was_running ? "A program of container %.12s was ended for want of "
		                               "memory (option Memory of the target)"
		                             : "Container %.12s did not run" OUT_OF_MEMORY,
		              s->c.id);
	/* Before anything else: the engine mounts all of it again, by path, for each file that it is asked for. */
	if (docker->engine.local && policy_check_mounts(&s->c, s->dir.dir, e) < 0)
		return -1;
	if (find_account(s, d, e) < 0)
		return -1;
	/* One that runs has its ids, and could exchange a mount while its files are written. */
	if (s->was_running)
		return 0;
	if (start_container(s, &changed, d, e) < 0)
		return -1;
	s->started = true;
	if (changed)
		own_home(s, d);
	if (starting_reinspect(s, s->c.id, d, e) < 0)
		return -1;
	provider_logf(docker->env, "Container %.12s started", s->c.id);
	return 0;
}

/* Where the checkout is in the container. */
static char *checkout_dir(const struct starting *s)
{
	struct buf b = { 0 };
	size_t n = strlen(s->dir.dir);
	const char *home = s->account.home;

	if (s->dc.doc)
		return mem_dup(s->dc.folder);
	for (size_t i = 0; s->w->ws->has_build_config && i < s->c.n_mounts; i++) {
		const struct mount *mount = &s->c.mounts[i];
		const char *last = strrchr(mount->target, '/');

		if (strncmp(mount->source, s->dir.dir, n) == 0 ||
		    (last && strcmp(last + 1, s->dir.repo) == 0))
			return mem_dup(mount->target);
	}
	buf_addf(&b, "%s/%s", strcmp(home, "/") == 0 ? "" : home, s->dir.repo);
	return buf_take(&b);
}

static int start_agent(struct starting *s, struct deadline d, struct err *e)
{
	char *dir = checkout_dir(s);
	int rc = wsdir_inhabit(&s->dir, s->user ? s->user : "", dir, e);

	if (rc == 0)
		rc = delivery_start_agent(
			s->docker,
			&(struct agent_job){ .w = s->w,
		                             .c = &s->c,
		                             .account = &s->account,
		                             .at = &s->dir,
		                             .user = s->user,
		                             .dir = dir,
		                             .clone = !s->w->ws->has_build_config,
		                             .fresh = s->started,
		                             .delivered = s->started ? s->delivered : NULL,
		                             .extra = &s->env },
			d, e);

	free(dir);
	return rc;
}

static int start(struct starting *s, struct deadline d, struct err *e)
{
	bool compose;

	if (ws_find(s->docker, s->w->ws, &s->dir, &s->c, d, e) < 0) {
		if (e->kind == ERR_NOT_FOUND)
			err_set(e, ERR_NOT_FOUND, 0,
			        "the workspace has no container on the engine at %s; it was removed "
			        "there, delete the workspace and create it again",
			        s->docker->engine.where);
		return -1;
	}
	if (ws_unfinished(s->docker, s->w->ws, &s->dir, &s->c)) {
		if (ws_create(s->docker, s->w, d, e) < 0)
			return -1;
		container_free(&s->c);
		wsdir_free(&s->dir);
		if (wsdir_open(&s->dir, s->docker->env, s->w->ws, e) < 0 ||
		    ws_find(s->docker, s->w->ws, &s->dir, &s->c, d, e) < 0)
			return -1;
	}
	s->user = mem_dup(s->w->ws->user);
	if (starting_load(s, d, e) < 0)
		return -1;
	starting_label_user(s);
	compose = s->dc.doc && dc_is_compose(&s->dc);
	if (s->dc.doc && !compose) {
		free(s->user);
		s->user = dc_remote_user(&s->dc, s->c.user);
	}
	if ((compose ? starting_compose(s, d, e) : bring_up(s, d, e)) < 0)
		return -1;
	follow_free(s->docker->logs);
	s->docker->logs = follow_start(&s->docker->engine, &s->c);
	if (!s->was_running && !compose)
		run_entrypoints(s, d);
	if (s->dc.doc) {
		s->dc.container_env = &s->c.env;
		dc_env(&s->dc, "remoteEnv", &s->env);
		kv_set(&s->env, "DAYTONA_WORKSPACE_DIR", s->dc.folder);
	}
	if (s->dc.doc && !compose && starting_hooks(s, d, e) < 0)
		return -1;
	return start_agent(s, d, e);
}

int ws_start(struct docker *docker, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct starting s = { .docker = docker, .w = w };
	int rc = wsdir_open(&s.dir, docker->env, w->ws, e);

	if (rc == 0)
		rc = start(&s, d, e);
	starting_free(&s);
	return rc;
}
