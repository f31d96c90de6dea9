/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workspaces: finding their container by label, so that those of other runners and of the reference are
 * taken over (protocol 8.8), creating and starting. Each step may be repeated after a crash at any point.
 */
#include "base/file.h"
#include "base/mem.h"
#include "providers/docker/dchelper.h"
#include "providers/docker/dclife.h"
#include "providers/docker/follow.h"
#include "providers/docker/internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *ws_container_name(const struct workspace *ws)
{
	struct buf b = { 0 };

	buf_addf(&b, "%s-%s", ws->target_id, ws->id);
	return buf_take(&b);
}

/* Of several with our labels, which earlier failures can leave: the running one, else the newest. */
static size_t best_of(const struct container_list *l)
{
	size_t best = 0;

	for (size_t i = 1; i < l->n; i++) {
		bool runs = l->list[i].state == CS_RUNNING,
		     best_runs = l->list[best].state == CS_RUNNING;

		if (runs != best_runs ? runs : l->list[i].created > l->list[best].created)
			best = i;
	}
	return best;
}

static int find_by_name(struct docker *k, const struct workspace *ws, struct container *out,
                        struct deadline d, struct err *e)
{
	char *name = ws_container_name(ws);
	const char *label;
	int rc = container_inspect(&k->g, name, out, d, e);

	label = rc == 0 ? kv_get(&out->labels, LABEL_WORKSPACE) : NULL;
	if (rc == 0 && (!label || strcmp(label, ws->id) != 0)) {
		container_free(out);
		rc = err_set(e, ERR_NOT_FOUND, 404,
		             "container %s does not carry the workspace's label", name);
	}
	free(name);
	return rc;
}

int ws_find(struct docker *k, const struct workspace *ws, struct container *out, struct deadline d,
            struct err *e)
{
	struct buf target = { 0 }, workspace = { 0 };
	struct container_list l;
	const char *labels[2];
	size_t n = 0;
	int rc;

	*out = (struct container){ 0 };
	buf_addf(&workspace, LABEL_WORKSPACE "=%s", ws->id);
	buf_addf(&target, LABEL_TARGET "=%s", ws->target_id ? ws->target_id : "");
	if (ws->target_id && *ws->target_id)
		labels[n++] = buf_cstr(&target);
	labels[n++] = buf_cstr(&workspace);
	rc = container_list(&k->g, labels, n, &l, d, e);
	if (rc == 0 && l.n > 1)
		provider_logf(k->env, "%zu containers carry this workspace's labels; using %.12s",
		              l.n, l.list[best_of(&l)].id);
	if (rc == 0 && l.n)
		rc = container_inspect(&k->g, l.list[best_of(&l)].id, out, d, e);
	else if (rc == 0 || e->kind == ERR_HTTP)
		rc = find_by_name(k, ws, out, d, e);
	container_list_free(&l);
	buf_free(&target);
	buf_free(&workspace);
	return rc;
}

int ws_create(struct docker *k, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct wsdir dir;
	struct container c;
	char *id = NULL;
	int rc;

	if (wsdir_open(&dir, k->env, w->ws, e) < 0)
		return -1;
	rc = ws_find(k, w->ws, &c, d, e);
	if (rc < 0 && e->kind == ERR_NOT_FOUND) {
		err_clear(e);
		rc = ws_make_container(k, w, &dir, &id, d, e);
	} else if (rc == 0) {
		wsdir_about(&dir, c.id);
		if (c.state == CS_REMOVING ||
		    (!k->g.local && w->ws->has_build_config && !dir.notes.uploaded &&
		     c.state == CS_CREATED)) { /* an earlier attempt did not finish it */
			rc = container_remove(&k->g, c.id, d, e);
			if (rc == 0)
				rc = ws_make_container(k, w, &dir, &id, d, e);
		} else {
			provider_logf(k->env, "Container %s is there already (%s)", c.name,
			              c.state_text);
		}
	}
	if (rc == 0 && id)
		provider_logf(k->env, "Container %.12s created", id);
	container_free(&c);
	free(id);
	wsdir_free(&dir);
	return rc;
}

struct starting {
	struct docker *k;
	const struct workspace_job *w;
	struct wsdir dir;
	struct container c;
	struct account account;
	struct devcontainer dc; /* doc NULL: no dev container */
	char *user;             /* the agent's and the commands' */
	struct kv env;          /* remoteEnv and the like, for both */
	bool was_running;
};

static void starting_free(struct starting *s)
{
	wsdir_free(&s->dir);
	container_free(&s->c);
	account_free(&s->account);
	dc_free(&s->dc);
	free(s->user);
	kv_free(&s->env);
}

/* The container can change what it has mounted, links included: each source must still be what it was. */
static int check_mounts(const struct starting *s, struct err *e)
{
	size_t n = strlen(s->dir.dir);
	char root[PATH_MAX], real[PATH_MAX];

	if (!s->k->g.local || !realpath(s->dir.dir, root))
		return 0;
	for (size_t i = 0; i < s->c.n_mounts; i++) {
		const char *source = s->c.mounts[i].source;

		if (strncmp(source, s->dir.dir, n) != 0 || source[n] != '/')
			continue;
		if (!realpath(source, real))
			return err_set(e, ERR_NOT_FOUND, 0,
			               "%s, which the container mounts, is missing on the runner",
			               source);
		if (strncmp(real, root, strlen(root)) != 0 ||
		    strcmp(real + strlen(root), source + n) != 0)
			return err_set(e, ERR_OTHER, 0,
			               "%s has become a link to %s; it is not mounted", source,
			               real);
	}
	return 0;
}

static int load_devcontainer(struct starting *s, struct deadline d, struct err *e)
{
	const struct workspace *ws = s->w->ws;
	struct image image = { 0 };
	char *path;

	if (!ws->has_build_config || !file_is_dir(s->dir.checkout))
		return 0;
	path = dc_detect(s->dir.checkout, ws->devcontainer_path, e);
	if (!path && ws->devcontainer_path) {
		provider_logf(s->k->env, "Warning: %s; starting without it", e->msg);
		err_clear(e);
	}
	if (!path)
		return 0;
	if (dc_load(&s->dc, s->dir.checkout, path, s->dir.checkout, s->dir.repo, ws->id, e) < 0) {
		provider_logf(s->k->env, "Warning: %s; starting without it", e->msg);
		err_clear(e);
		free(path);
		return 0;
	}
	free(path);
	s->dc.env_allow = s->k->env->env_allow;
	if (dc_foreign_key(&s->dc))
		return 0;
	if (image_inspect(&s->k->g, s->c.image_id, &image, d, e) == 0)
		dc_set_metadata(&s->dc, image.metadata);
	else
		err_clear(
			e); /* an image that was removed meanwhile: its metadata is lost, no more */
	image_free(&image);
	return 0;
}

/* Programs that features of the image want beside the main one (protocol 10.7). */
static void run_entrypoints(struct starting *s, struct deadline d)
{
	const char *label = kv_get(&s->c.labels, "devcontainer.metadata");
	struct err problem = { 0 };
	struct json_doc *doc = label ? json_parse(str_of(label), 1u << 20, &problem) : NULL;
	struct json root = json_root(doc);

	for (struct json m = json_first(root); json_is_array(root) && json_present(m);
	     m = json_next(m)) {
		char *command = json_dup_or_empty(json_get(m, "entrypoint"));
		const char *const argv[] = { "/bin/sh", "-c", command, NULL };

		if (*command && exec_detached(&s->k->g, s->c.id,
		                              &(struct exec_spec){ .argv = argv }, d, &problem) < 0)
			provider_logf(s->k->env, "Warning: entrypoint of the image: %s",
			              problem.msg);
		free(command);
	}
	json_doc_free(doc);
}

static int reinspect(struct starting *s, const char *id, struct deadline d, struct err *e)
{
	struct container c;

	if (container_inspect(&s->k->g, id, &c, d, e) < 0)
		return err_wrap(e, "look at container %.12s", id);
	container_free(&s->c);
	s->c = c;
	return 0;
}

static int start_failed(struct starting *s, struct err *e)
{
	struct buf tail = { 0 };

	if (e->kind == ERR_OTHER) {
		follow_tail(&s->k->g, &s->c, &tail);
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

	if (!s->k->g.local || !s->w->ws->has_build_config || uid == 0 || !s->account.known ||
	    s->account.uid == 0 || s->account.uid == uid)
		return false;
	if (account_renumber(&s->k->g, s->c.id, &s->account, uid, gid, d, &problem) == 0)
		return true;
	provider_logf(s->k->env, "Warning: user %s keeps uid %u, the checkout belongs to %u: %s",
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
	if (exec_run(&s->k->g, s->c.id,
	             &(struct exec_spec){ .argv = argv, .user = "0:0", .quiet = true }, &status, d,
	             &problem) < 0 ||
	    status != 0)
		provider_logf(s->k->env,
		              "Warning: the home of user %s could not be given to uid %u: %s",
		              s->account.name, s->account.uid,
		              *problem.msg ? problem.msg : "chown failed");
	buf_free(&owner);
}

static int bring_up(struct starting *s, struct deadline d, struct err *e)
{
	struct docker *k = s->k;
	bool changed;

	if (siblings_do(k, &s->c, SIBLINGS_START, d, e) < 0)
		return -1;
	s->was_running = s->c.state == CS_RUNNING;
	if (account_find(&k->g, s->c.id, s->user, &s->account, d, e) < 0)
		return -1;
	if (s->was_running) {
		if (match_ids(s, d))
			own_home(s, d);
		return 0;
	}
	if (s->account.no_passwd) {
		account_provide(&k->g, s->c.id, *s->user ? s->user : s->c.user, d);
		account_free(&s->account);
		if (account_find(&k->g, s->c.id, s->user, &s->account, d, e) < 0)
			return -1;
	}
	if (check_mounts(s, e) < 0 || checkout_own(k, &s->dir, &s->account, e) < 0)
		return -1;
	if (strcmp(s->c.entry, PROGRAM_PATH) == 0 && delivery_put_program(k, s->c.id, d, e) < 0)
		return -1;
	changed = match_ids(s, d);
	if (container_start(&k->g, s->c.id, d, e) < 0)
		return start_failed(s, e);
	if (changed)
		own_home(s, d);
	if (reinspect(s, s->c.id, d, e) < 0)
		return -1;
	provider_logf(k->env, "Container %.12s started", s->c.id);
	return 0;
}

/* Those of creation run once for a container and must succeed; the others are only reported. */
static int run_hooks(struct starting *s, struct deadline d, struct err *e)
{
	static const struct {
		const char *name;
		bool once, must;
	} hooks[] = {
		{ "onCreateCommand", true, true },     { "updateContentCommand", true, true },
		{ "postCreateCommand", true, false },  { "postStartCommand", false, false },
		{ "postAttachCommand", false, false },
	};

	wsdir_about(&s->dir, s->c.id);
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		int rc;

		if (hooks[i].once && (int64_t)i < s->dir.notes.hooks)
			continue;
		if (!hooks[i].once && s->was_running)
			continue;
		rc = dc_run_hook(&s->dc, hooks[i].name, &s->k->g, s->c.id, s->user, &s->env, d, e);
		if (rc < 0 && (hooks[i].must || e->kind == ERR_CANCELED || e->kind == ERR_TIMEOUT))
			return -1;
		if (rc < 0) {
			provider_logf(s->k->env, "Warning: %s", e->msg);
			err_clear(e);
		}
		if (hooks[i].once) {
			s->dir.notes.hooks = (int64_t)i + 1;
			if (wsdir_save(&s->dir, e) < 0)
				return -1;
		}
	}
	return 0;
}

/* Features and compose: the CLI starts what it made, and runs the commands. */
static int bring_up_foreign(struct starting *s, struct deadline d, struct err *e)
{
	struct buf target = { 0 }, workspace = { 0 };
	const char *labels[3] = { NULL };
	struct kv env = { 0 };
	char *id = NULL, *user = NULL;
	int rc;

	buf_addf(&target, LABEL_TARGET "=%s", s->w->ws->target_id);
	buf_addf(&workspace, LABEL_WORKSPACE "=%s", s->w->ws->id);
	labels[0] = buf_cstr(&target);
	labels[1] = buf_cstr(&workspace);
	kv_merge(&env, s->w->env);
	(void)kv_del(&env, "DAYTONA_SERVER_API_KEY");
	rc = dc_helper_up(s->k, &s->dc,
	                  &(struct dc_up){ .builder_image = s->w->builder_image,
	                                   .registries = s->w->registries,
	                                   .resource_id = s->w->ws->id,
	                                   .work_dir = s->dir.dir,
	                                   .checkout = s->dir.checkout,
	                                   .labels = labels,
	                                   .env = &env },
	                  &id, &user, d, e);
	if (rc == 0)
		rc = reinspect(s, id, d, e);
	if (rc == 0 && user && *user) {
		free(s->user);
		s->user = mem_dup(user);
	}
	if (rc == 0)
		rc = account_find(&s->k->g, s->c.id, s->user, &s->account, d, e);
	free(id);
	free(user);
	kv_free(&env);
	buf_free(&target);
	buf_free(&workspace);
	return rc;
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
		const struct mount *m = &s->c.mounts[i];
		const char *last = strrchr(m->target, '/');

		if (strncmp(m->source, s->dir.dir, n) == 0 ||
		    (last && strcmp(last + 1, s->dir.repo) == 0))
			return mem_dup(m->target);
	}
	buf_addf(&b, "%s/%s", strcmp(home, "/") == 0 ? "" : home, s->dir.repo);
	return buf_take(&b);
}

static int start_agent(struct starting *s, struct deadline d, struct err *e)
{
	char *dir = checkout_dir(s);
	int rc = delivery_start_agent(s->k,
	                              &(struct agent_job){ .w = s->w,
	                                                   .c = &s->c,
	                                                   .account = &s->account,
	                                                   .at = &s->dir,
	                                                   .user = s->user,
	                                                   .dir = dir,
	                                                   .clone = !s->w->ws->has_build_config,
	                                                   .extra = &s->env },
	                              d, e);

	free(dir);
	return rc;
}

static int start(struct starting *s, struct deadline d, struct err *e)
{
	bool foreign;

	if (ws_find(s->k, s->w->ws, &s->c, d, e) < 0) {
		if (e->kind == ERR_NOT_FOUND)
			err_set(e, ERR_NOT_FOUND, 0,
			        "the workspace has no container on the engine at %s; it was removed "
			        "there, delete the workspace and create it again",
			        s->k->g.where);
		return -1;
	}
	s->user = mem_dup(s->w->ws->user);
	if (load_devcontainer(s, d, e) < 0)
		return -1;
	foreign = s->dc.doc && dc_foreign_key(&s->dc);
	if (s->dc.doc && !foreign) {
		free(s->user);
		s->user = dc_remote_user(&s->dc, s->c.user);
	}
	if ((foreign ? bring_up_foreign(s, d, e) : bring_up(s, d, e)) < 0)
		return -1;
	follow_free(s->k->logs);
	s->k->logs = follow_start(&s->k->g, &s->c);
	if (!s->was_running && !foreign)
		run_entrypoints(s, d);
	if (s->dc.doc) {
		s->dc.container_env = &s->c.env;
		dc_env(&s->dc, "remoteEnv", &s->env);
		kv_set(&s->env, "DAYTONA_WORKSPACE_DIR", s->dc.folder);
	}
	if (s->dc.doc && !foreign && run_hooks(s, d, e) < 0)
		return -1;
	return start_agent(s, d, e);
}

int ws_start(struct docker *k, const struct workspace_job *w, struct deadline d, struct err *e)
{
	struct starting s = { .k = k, .w = w };
	int rc = wsdir_open(&s.dir, k->env, w->ws, e);

	if (rc == 0)
		rc = start(&s, d, e);
	starting_free(&s);
	return rc;
}
