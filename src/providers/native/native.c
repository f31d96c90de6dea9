/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native-provider: processes of this host in their own session, found and ended as a whole; in namespaces of their own
 * where the target asks for that (box.h), else the log and the metadata say so. Every step may be cut off and repeated.
 */
#include "providers/native/native.h"

#include "agent/agent.h"
#include "base/file.h"
#include "base/jsonw.h"
#include "base/mem.h"
#include "git/clone.h"
#include "git/run.h"
#include "git/url.h"
#include "providers/native/box.h"
#include "providers/native/box_ask.h"
#include "providers/native/box_dev.h"
#include "providers/native/build.h"
#include "providers/native/inside.h"
#include "providers/native/process.h"
#include "providers/native/target.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* An image that somebody chose: every workspace has one, so the Server's default says nothing. */
static void take_workspace_image(struct native_call *c)
{
	const struct server_config *server = c->env->server;
	const char *image = c->ws->image;

	if (!c->options.of_workspace || !c->options.best_effort || c->options.root[0] || !server ||
	    !image || !*image || c->ws->has_build_config ||
	    (server->default_image && strcmp(image, server->default_image) == 0))
		return;
	free(c->options.image);
	c->options.image = mem_dup(image);
}

static int call_open(struct native_call *c, void *self, const struct workspace_job *w,
                     struct err *e)
{
	c->env = self;
	c->w = w;
	c->ws = w->ws;
	if (native_paths(&c->paths, c->env->state_dir, c->ws->id, e) < 0)
		return -1;
	if (native_options_parse(&c->options, c->ws->target.config.options, c->env->options, e) < 0)
		return -1;
	take_workspace_image(c);
	return 0;
}

static void call_close(struct native_call *c)
{
	native_paths_free(&c->paths);
	native_options_free(&c->options);
	native_state_free(&c->state);
}

static int native_open(void **self, const struct provider_env *env, struct err *e)
{
	union {
		const struct provider_env *from;
		void *to;
	} borrowed = { env };

	(void)e;
	*self = borrowed.to; /* all that there is to know; read only */
	return 0;
}

static void git_version(void *arg, struct str bytes)
{
	buf_add_str(arg, bytes);
}

static int check_git(struct buf *report, struct deadline d, struct err *e)
{
	static const char *const argv[] = { "git", "--version", NULL };
	struct buf version = { 0 };
	struct kv env = { 0 };
	struct git_run run = { .argv = argv, .env = &env, .output = git_version, .arg = &version };
	struct str line;
	int status = 0, rc;

	git_env(&env, "/nonexistent");
	rc = git_run(&run, d, &status, e);
	if (rc == 0 && status != 0)
		rc = err_set(e, ERR_OTHER, status, "git --version ends with exit status %d",
		             status);
	line = str_trim(buf_str(&version));
	if (rc == 0)
		buf_addf(report, "ok: %.*s\n", STR_ARG(line));
	else
		buf_addf(report, "missing: %s\n", e->msg);
	buf_free(&version);
	kv_free(&env);
	return rc;
}

static int native_check(const struct provider_env *env, struct buf *report, struct deadline d,
                        struct err *e)
{
	struct err first = { 0 }, next = { 0 };
	struct native_options o;

	check_git(report, d, &first);
	if (access(env->self_exe, X_OK) == 0)
		buf_addf(report, "ok: agent %s\n", env->self_exe);
	else if (err_sys(&next, errno, "agent %s", env->self_exe) < 0)
		buf_addf(report, "missing: %s; install the program again\n", next.msg);
	if (first.kind == ERR_NONE)
		first = next;
	err_clear(&next);
	if (!file_exists("/proc/self/stat")) {
		err_set(&next, ERR_UNSUPPORTED, 0, "/proc is not mounted; mount it");
		buf_addf(report, "missing: %s\n", next.msg);
	}
	if (first.kind == ERR_NONE)
		first = next;
	err_clear(&next);
	if (native_options_parse(&o, NULL, env->options, &next) < 0)
		buf_addf(report, "missing: %s\n", next.msg);
	else
		native_box_check(env, &o, report, d, &next);
	native_options_free(&o);
	if (first.kind == ERR_NONE)
		first = next;
	if (first.kind == ERR_NONE)
		return 0;
	*e = first;
	return -1;
}

static int make_directories(const struct native_call *c, struct err *e)
{
	const struct native_paths *p = &c->paths;
	char *parent = path_join(c->env->state_dir, "workspaces");
	int rc = file_mkdirs(parent, 0700, e);

	free(parent);
	if (rc < 0 || file_mkdirs(p->root, 0700, e) < 0 ||
	    (c->options.disk_bytes && native_bounds_disk(c, e) < 0) ||
	    file_mkdirs(p->own, 0700, e) < 0)
		return -1;
	return file_mkdirs(p->home, 0700, e);
}

int native_checkout(struct native_call *c, struct deadline d, struct err *e)
{
	char *dir = path_join(c->paths.root, c->state.dir);
	struct git_clone clone = {
		.repo = &c->ws->repo,
		.creds = c->w->git,
		.dir = dir,
		.self_exe = c->env->self_exe,
		.ca_file = c->options.git_ca_file,
		.allow_file = c->options.allow_file,
		.log = c->env->log,
		.log_arg = c->env->log_arg,
		.stop = c->env->stop,
		.in_job = true,
	};
	int rc = git_clone(&clone, d, e);

	free(dir);
	return rc;
}

/* The URL to be kept and shown: as the Server has it, but without credentials. Caller frees. */
static char *public_url(const struct native_call *c, struct err *e)
{
	struct git_source s;
	char *url;

	if (git_source_parse(c->ws->repo.url, c->options.allow_file, &s, e) < 0)
		return NULL;
	url = mem_dup(s.user || s.password ? s.url : c->ws->repo.url);
	git_source_free(&s);
	return url;
}

/* A create that is repeated goes on with what is there. */
static void keep_box(struct native_call *c)
{
	struct native_state before = { 0 };
	struct err ignored = { 0 }; /* there is none */

	if (native_state_read(&before, &c->paths, &ignored) == 0) {
		c->state.box = before.box;
		before.box = (struct native_box){ 0 };
	}
	native_state_free(&before);
}

static int native_workspace_create(void *self, const struct workspace_job *w, struct deadline d,
                                   struct err *e)
{
	struct native_call c = { 0 };
	int rc = -1;

	if (call_open(&c, self, w, e) == 0 && make_directories(&c, e) == 0) {
		c.state.id = mem_dup(c.ws->id);
		c.state.target_id = mem_dup(c.ws->target_id ? c.ws->target_id : "");
		c.state.url = public_url(&c, e);
		c.state.dir = git_dir_name(&c.ws->repo);
		keep_box(&c);
		rc = c.state.url ? native_state_write(&c.state, &c.paths, e) : -1;
	}
	if (rc == 0)
		rc = native_checkout(&c, d, e);
	if (rc == 0 && native_options_boxed(&c.options))
		rc = native_box_make(&c, d, e);
	if (rc == 0) {
		c.state.complete = true;
		rc = native_state_write(&c.state, &c.paths, e);
	}
	if (rc == 0)
		provider_logf(c.env, "checkout is complete: %s/%s", c.paths.root, c.state.dir);
	call_close(&c);
	return rc;
}

static bool name_ok(const char *name)
{
	return *name && !strchr(name, '=');
}

static void set_default(struct kv *vars, const char *name, const char *value)
{
	if (value && *value && !kv_get(vars, name))
		kv_set(vars, name, value);
}

/* "(HOME)/x" in the Server's value means the workspace's home (protocol 10.6). */
static void resolve_home(struct kv *vars, const char *home)
{
	const char *path = kv_get(vars, "DAYTONA_AGENT_LOG_FILE_PATH");
	struct buf b = { 0 };

	if (!path || strncmp(path, "(HOME)", 6) != 0)
		return;
	buf_addf(&b, "%s%s", home, path + 6);
	kv_set(vars, "DAYTONA_AGENT_LOG_FILE_PATH", buf_cstr(&b));
	buf_free(&b);
}

/* From the job alone: nothing of our own environment gets in (field case 28). */
static void make_environment(const struct native_call *c, const char *dir, struct kv *vars)
{
	const struct provider_env *env = c->env;
	bool boxed = c->state.box.kind != BOX_NONE;
	char number[24];

	for (size_t i = 0; c->w->env && i < c->w->env->n; i++) {
		const struct kv_pair *p = &c->w->env->pairs[i];

		if (name_ok(p->key))
			kv_set(vars, p->key, p->value);
	}
	kv_set(vars, NATIVE_MARK, boxed ? dir : c->paths.root);
	if (!boxed) { /* else as the user of the root file system has it */
		kv_set(vars, "HOME", c->paths.home);
		set_default(vars, "SHELL", "/bin/sh");
		resolve_home(vars, c->paths.home);
	}
	set_default(vars, "PATH", DEFAULT_PATH);
	set_default(vars, "LANG", "C.UTF-8");
	set_default(vars, "DAYTONA_TARGET_ID", c->state.target_id);
	set_default(vars, "DAYTONA_SERVER_API_KEY", c->ws->api_key);
	set_default(vars, "DAYTONA_WORKSPACE_REPOSITORY_URL", c->state.url);
	kv_set(vars, "DAYTONA_WORKSPACE_ID", c->ws->id);
	kv_set(vars, "DAYTONA_WORKSPACE_DIR", dir);
	if (env->api_url && env->api_url[0])
		kv_set(vars, "DAYTONA_SERVER_API_URL", env->api_url);
	kv_set(vars, "DAYTONA_AGENT_DIR", dir);
	kv_set(vars, "DAYTONA_AGENT_KEEP", "1");
	kv_del(vars, "DAYTONA_AGENT_CLONE");
	if (!c->options.agent)
		kv_set(vars, "DAYTONA_AGENT_INTERVAL_MS", "0");
	snprintf(number, sizeof(number), "%lld", (long long)c->options.grace_ms);
	kv_set(vars, "DAYTONA_AGENT_GRACE_MS", number);
	set_default(vars, "DAYTONA_AGENT_CA_FILE",
	            boxed && env->server_ca_file ? BOX_CA_FILE : env->server_ca_file);
	set_default(vars, "DAYTONA_AGENT_PIN_SHA256", env->server_pin_sha256);
	set_default(vars, "DAYTONA_AGENT_PROXY", env->server_proxy);
	set_default(vars, "DAYTONA_AGENT_NO_PROXY", env->server_no_proxy);
}

const char *native_box_level(const struct native_box *box)
{
	return box->kind == BOX_NONE ? "none" : box->strict ? "strict" : "best-effort";
}

static int launch_plain(struct native_call *c, const char *dir, struct deadline d, struct err *e)
{
	struct kv vars = { 0 };
	struct native_bounds bounds;
	struct err ignored = { 0 };
	struct native_launch l = {
		.env = c->env,
		.paths = &c->paths,
		.options = &c->options,
		.vars = &vars,
		.dir = dir,
		.bounds = &bounds,
	};
	int rc = native_bounds_open(&bounds, c, false, e);

	make_environment(c, dir, &vars);
	provider_logf(c->env, "isolation: none (process group only%s)",
	              c->options.best_effort ? ", no new privileges" : "");
	if (rc == 0)
		rc = native_agent_start(&l, d, e);
	native_bounds_close(&bounds);
	if (rc < 0) /* it may have been there before the agent was */
		(void)native_bounds_end(&c->paths, d, &ignored);
	kv_free(&vars);
	return rc;
}

static int launch_boxed(struct native_call *c, struct deadline d, struct err *e)
{
	struct kv vars = { 0 };
	struct native_boxed box;
	struct native_launch l = {
		.env = c->env,
		.paths = &c->paths,
		.options = &c->options,
		.vars = &vars,
		.box = &box,
	};
	struct native_dev dev = { 0 };
	struct native_asked asked = { 0 };
	size_t n;
	int rc = native_boxed_open(&box, c, d, e);

	for (char **env = box.rootfs.config.env; rc == 0 && env && *env; env++) {
		const char *eq = strchr(*env, '=');
		char *name = eq ? mem_dupn(*env, (size_t)(eq - *env)) : NULL;

		if (name && *name)
			kv_set(&vars, name, eq + 1);
		free(name);
	}
	if (rc == 0) {
		l.dir = box.inside;
		native_dev_open(&dev, &box);
		rc = dev.any ? native_ask(&dev.dc, &box, &asked, e) : 0;
		kv_merge(&vars, &asked.env);
		make_environment(c, box.inside, &vars);
		provider_logf(
			c->env,
			"isolation: %s (namespaces, system calls filtered, no new privileges)",
			native_box_level(&c->state.box));
		if (rc == 0)
			rc = native_agent_start(&l, d, e);
		if (rc == 0 && native_dev_commands(&dev, c, d, e) < 0) {
			struct err left = { 0 };

			rc = -1;
			if (native_end(&c->paths, c->options.grace_ms, &n, d, &left) < 0)
				provider_logf(c->env, "warning: %s", left.msg);
		}
	}
	native_asked_free(&asked);
	native_dev_close(&dev);
	native_boxed_close(&box);
	kv_free(&vars);
	return rc;
}

/* Before anything is started it is written down, and its log begun. */
static bool was_started(const struct native_paths *p)
{
	return file_exists(p->agent) || file_exists(p->log) || file_exists(p->old_log);
}

static int launch(struct native_call *c, struct deadline d, struct err *e)
{
	char *dir = path_join(c->paths.root, c->state.dir);
	size_t left = 0;
	int rc = 0;

	if (!file_is_dir(dir)) {
		rc = err_set(e, ERR_NOT_FOUND, 0,
		             "the checkout %s is gone; create the workspace again", dir);
	} else if (was_started(&c->paths)) {
		/* What an agent that was killed has left would run twice. */
		rc = native_end(&c->paths, c->options.grace_ms, &left, d, e);
		if (left > 0)
			provider_logf(c->env, "ended %zu processes of an earlier run", left);
	}
	if (rc == 0 && !c->options.agent && !c->options.command[0])
		provider_logf(c->env, "no agent and no command: nothing to start");
	else if (rc == 0 && !c->options.of_workspace &&
	         native_options_boxed(&c->options) != (c->state.box.kind != BOX_NONE))
		rc = err_set(
			e, ERR_CONFIG, 0,
			"the target's isolation has changed since the workspace was made; delete "
			"and create it again");
	else if (rc == 0)
		rc = c->state.box.kind != BOX_NONE ? launch_boxed(c, d, e)
		                                   : launch_plain(c, dir, d, e);
	free(dir);
	return rc;
}

static int native_workspace_start(void *self, const struct workspace_job *w, struct deadline d,
                                  struct err *e)
{
	struct native_call c = { 0 };
	int rc = -1;

	if (call_open(&c, self, w, e) == 0 && native_state_read(&c.state, &c.paths, e) == 0) {
		struct proc_id agent = native_agent_read(&c.paths).id;

		if (!c.state.complete)
			err_set(e, ERR_NOT_FOUND, 0,
			        "the checkout is not complete; create the workspace again");
		else if (agent.pid) {
			provider_logf(c.env, "the workspace runs already (agent: process %ld)",
			              (long)agent.pid);
			rc = 0;
		} else {
			rc = launch(&c, d, e);
		}
	}
	call_close(&c);
	return rc;
}

static int stop(struct native_call *c, struct deadline d, struct err *e)
{
	size_t n = 0;

	native_bounds_tell(c->env, &c->paths);
	if (native_end(&c->paths, c->options.grace_ms, &n, d, e) < 0)
		return -1;
	provider_logf(c->env, n ? "ended %zu processes" : "no process is running", n);
	return 0;
}

/* A target config that has become invalid must not keep anything from being stopped. */
static int call_open_lenient(struct native_call *c, void *self, const struct workspace_job *w,
                             struct err *e)
{
	const struct provider_env *env = self;
	struct err bad = { 0 };

	if (call_open(c, self, w, &bad) == 0)
		return 0;
	if (!c->paths.root || native_options_parse(&c->options, NULL, NULL, e) < 0) {
		*e = bad;
		return -1;
	}
	provider_logf(env, "warning: %s; going on with the defaults", bad.msg);
	return 0;
}

static int native_workspace_stop(void *self, const struct workspace_job *w, struct deadline d,
                                 struct err *e)
{
	struct native_call c = { 0 };
	int rc = call_open_lenient(&c, self, w, e);

	if (rc == 0)
		rc = stop(&c, d, e);
	call_close(&c);
	return rc;
}

static void read_leniently(struct native_call *c)
{
	struct err ignored = { 0 }; /* then there is no more than files */

	native_state_read(&c->state, &c->paths, &ignored);
}

static int native_workspace_delete(void *self, const struct workspace_job *w, struct deadline d,
                                   struct err *e)
{
	struct native_call c = { 0 };
	int rc = call_open_lenient(&c, self, w, e);

	if (rc == 0) {
		rc = stop(&c, d, e);
		if (rc < 0 && w->force && e->kind != ERR_CANCELED) {
			provider_logf(c.env, "warning: left behind: %s", e->msg);
			rc = 0;
		}
	}
	if (rc == 0) {
		read_leniently(&c);
		native_bounds_free_disk(&c.paths);
		rc = native_box_remove(&c.paths, &c.state, d, e);
		if (rc < 0 && w->force) {
			provider_logf(c.env, "warning: left behind: %s", e->msg);
			rc = 0;
		} else if (rc == 0) {
			provider_logf(c.env, "removed %s", c.paths.root);
		}
	}
	call_close(&c);
	return rc;
}

static int native_workspace_info(void *self, const struct workspace_job *w, struct buf *b,
                                 struct deadline d, struct err *e)
{
	struct native_call c = { 0 };
	int rc = -1;

	(void)d;
	if (call_open(&c, self, w, e) == 0 && native_state_read(&c.state, &c.paths, e) == 0) {
		struct proc_id agent = native_agent_read(&c.paths).id;
		struct cgroup_usage use;
		char pid[24];
		char *dir = path_join(c.paths.root, c.state.dir);

		snprintf(pid, sizeof(pid), "%ld", (long)agent.pid);
		jw_obj(b);
		jw_kstr(b, "daytona.target.id", c.state.target_id);
		jw_kstr(b, "daytona.workspace.id", c.ws->id);
		jw_kstr(b, "daytona.workspace.repository.url", c.state.url);
		jw_kstr(b, "provider", native_provider.name);
		jw_kstr(b, "isolation", native_box_level(&c.state.box));
		if (c.state.box.kind == BOX_IMAGE)
			jw_kstr(b, "image", c.state.box.source);
		jw_kstr(b, "directory", dir);
		jw_kstr(b, "agent", c.options.agent ? "builtin" : "none");
		if (agent.pid)
			jw_kstr(b, "agent.pid", pid);
		if (native_bounds_usage(&c.paths, &use) && use.oom_kills > 0)
			jw_kstr(b, "outOfMemory", "true");
		jw_obj_end(b);
		free(dir);
		rc = 0;
	}
	call_close(&c);
	return rc;
}

static int native_workspace_condition(void *self, const struct workspace *ws,
                                      enum resource_condition *out, struct deadline d,
                                      struct err *e)
{
	const struct provider_env *env = self;
	struct native_paths p;
	struct native_state s = { 0 };
	char *dir = NULL;

	(void)d;
	*out = COND_UNKNOWN;
	if (native_paths(&p, env->state_dir, ws->id, e) < 0)
		return -1;
	if (!file_exists(p.root)) {
		*out = COND_MISSING;
	} else if (native_state_read(&s, &p, e) < 0) {
		*out = e->kind == ERR_NOT_FOUND ? COND_INCOMPLETE : COND_UNKNOWN;
	} else {
		dir = path_join(p.root, s.dir);
		*out = !s.complete || !file_is_dir(dir) ? COND_INCOMPLETE
		       : native_agent_read(&p).id.pid   ? COND_RUNNING
		                                        : COND_STOPPED;
	}
	free(dir);
	native_state_free(&s);
	native_paths_free(&p);
	if (*out == COND_UNKNOWN)
		return -1;
	err_clear(e);
	return 0;
}

const struct provider native_provider = {
	.name = "native-provider",
	.label = "Native",
	.agentless = true,
	.manifest = native_manifest,
	.preset_name = "native",
	.preset_options = "{\"Image\":\"" NATIVE_WORKSPACE_IMAGE "\"}",
	.asks_defaults = true,
	.syscalls = SYSCALLS_MACHINE, /* its workspaces, see process.c */
	.check = native_check,
	.open = native_open,
	.agent_ended = native_agent_ended,
	.target_create = native_target_create,
	.target_start = native_target_rest,
	.target_stop = native_target_rest,
	.target_delete = native_target_delete,
	.workspace_create = native_workspace_create,
	.workspace_start = native_workspace_start,
	.workspace_stop = native_workspace_stop,
	.workspace_delete = native_workspace_delete,
	.workspace_info = native_workspace_info,
	.workspace_exec = native_exec,
	.workspace_usage = native_usage,
	.builds_last = true, /* features and compose files need an engine */
	.build_run = NATIVE_BUILDER ? native_build_run : NULL,
	.build_delete = NATIVE_BUILDER ? native_build_delete : NULL,
	.workspace_condition = native_workspace_condition,
};
