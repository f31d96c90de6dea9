/* SPDX-License-Identifier: Apache-2.0 */
/* See inside.h: programs beside the agent of a workspace, and what all of them use. */
#include "providers/native/inside.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proc_by_env.h"
#include "base/spawn.h"
#include "base/spawn_child.h"
#include "providers/native/bounds.h"
#include "providers/native/box.h"
#include "providers/native/options.h"
#include "providers/native/process.h"
#include "sandbox/disk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRON_MAX (2 << 20)
#define DISK_MS 10000
#define STAT_MAX 4096
#define STATUS_MAX 65536

struct place {
	struct native_paths paths;
	struct native_state state;
	struct native_options options;
	char *dir; /* the checkout */
};

static void place_free(struct place *p)
{
	native_paths_free(&p->paths);
	native_state_free(&p->state);
	native_options_free(&p->options);
	free(p->dir);
	*p = (struct place){ 0 };
}

static int place_open(struct place *p, const struct provider_env *env, const struct workspace *ws,
                      struct err *e)
{
	*p = (struct place){ 0 };
	if (native_paths(&p->paths, env->state_dir, ws->id, e) < 0 ||
	    native_state_read(&p->state, &p->paths, e) < 0 ||
	    native_options_parse(&p->options, ws->target.config.options, env->options, e) < 0)
		return -1;
	p->dir = path_join(p->paths.root, p->state.dir);
	return 0;
}

/* The agent's environment is the workspace's, but for what is the agent's own. */
static int take_environment(const struct place *p, const struct native_agent *agent,
                            struct kv *vars, struct deadline d, struct err *e)
{
	const struct userns_map plain = { .how = MAP_SINGLE };
	struct buf text = { 0 };
	struct str rest, pair;
	int rc = sandbox_environment(agent->id, agent->boxed ? &p->state.box.map : &plain,
	                             ENVIRON_MAX, &text, d, e);

	rest = buf_str(&text);
	while (rc == 0 && str_next(&rest, '\0', &pair)) {
		char *key = mem_dupn(pair.p, pair.n), *eq = strchr(key, '=');

		if (eq && strncmp(key, "DAYTONA_AGENT_", 14) != 0) {
			*eq = '\0';
			kv_set(vars, key, eq + 1);
		}
		mem_free_secret(key);
	}
	kv_set(vars, NATIVE_MARK, p->paths.root); /* it is found and ended with the others */
	buf_wipe(&text);
	return rc;
}

/* Inside a sandbox: as process 1, whose ids outside are those of the user that the root file system names. */
struct boxed {
	const struct place *place;
	struct native_agent agent;
	char **env;
	const char *user, *cwd;
};

static void user_of(pid_t pid, const struct userns_map *map, struct buf *b)
{
	static const char *const keys[] = { "\nUid:\t", "\nGid:\t" };
	struct buf path = { 0 }, text = { 0 };
	struct err ignored;

	buf_addf(&path, "/proc/%ld/status", (long)pid);
	(void)file_read(buf_cstr(&path), STATUS_MAX, &text, &ignored);
	for (int i = 0; i < 2; i++) {
		const char *at = str_find(buf_str(&text), keys[i]);
		struct str line = str_of(at ? at + strlen(keys[i]) : "0\t"), number;
		uint32_t first = i == 0 ? map->uids : map->gids,
			 n = i == 0 ? map->n_uids : map->n_gids;
		int64_t outside = 0, inside;

		(void)str_next(&line, '\t', &number);
		(void)str_to_i64(number, 0, UINT32_MAX, &outside);
		inside = outside - first + (map->how == MAP_TOOLS ? 1 : 0);
		if (map->how == MAP_SINGLE || outside < first || outside - first >= n)
			inside = 0; /* root inside is we */
		buf_addf(b, "%s%lld", i ? ":" : "", (long long)inside);
	}
	buf_free(&path);
	buf_free(&text);
}

static int admit(void *arg, pid_t pid, struct err *e)
{
	const struct boxed *boxed = arg;

	return native_bounds_join(&boxed->place->paths, &boxed->place->options, true, pid, e);
}

static int start_boxed(void *arg, const struct workspace_exec *exec, const int std[3],
                       bool terminal, struct deadline d, struct spawned *p, struct err *e)
{
	struct boxed *boxed = arg;

	return sandbox_enter(&(struct sandbox_command){ .init = boxed->agent.id,
	                                                .map = &boxed->place->state.box.map,
	                                                .user = boxed->user,
	                                                .argv = exec->argv,
	                                                .env = (const char *const *)boxed->env,
	                                                .cwd = boxed->cwd,
	                                                .std = { std[0], std[1], std[2] },
	                                                .terminal = terminal,
	                                                .admit = admit,
	                                                .arg = boxed },
	                     d, p, e);
}

struct program {
	const struct place *place;
	const struct kv *vars;
	const char *cwd;
};

static int admit_plain(void *arg, pid_t pid, struct err *e)
{
	const struct program *program = arg;

	return native_bounds_join(&program->place->paths, &program->place->options, false, pid, e);
}

static int start(void *arg, const struct workspace_exec *exec, const int std[3], bool terminal,
                 struct deadline d, struct spawned *p, struct err *e)
{
	struct program *program = arg;
	char **vars = kv_to_env(program->vars);
	int rc = native_gate(
		&(struct spawn){ .argv = exec->argv,
	                         .env = (const char *const *)vars,
	                         .cwd = program->cwd,
	                         .std = { std[0], std[1], std[2] },
	                         .lead = SPAWN_SESSION, /* /dev/tty must not be that of who asked */
	                         .terminal = terminal,
	                         .confine = program->place->options.best_effort ? SPAWN_WORKSPACE
	                                                                        : SPAWN_FREE,
	                         .death_signal = SIGHUP,
	                         .umask = 022 },
		admit_plain, program, d, p, e);

	kv_env_free(vars);
	return rc;
}

/* Whoever else asks, root above all, would run what belongs to the workspace with more rights than it has. */
static int check_user(const struct place *place, struct err *e)
{
	struct stat st;

	if (stat(place->paths.root, &st) < 0)
		return err_sys(e, errno, "%s", place->paths.root);
	if (st.st_uid != geteuid())
		return err_set(
			e, ERR_DENIED, 0,
			"its programs run as the runner's user (id %u); call this as that user",
			st.st_uid);
	return 0;
}

/* That of process 1, as far as it is this user's. */
static int boxed_environment(const struct place *place, const struct native_agent *agent,
                             const char *dir, const struct workspace_exec *exec, struct kv *vars,
                             struct deadline d, struct err *e)
{
	if (take_environment(place, agent, vars, d, e) < 0)
		return -1;
	kv_set(vars, NATIVE_MARK, dir);
	if (exec->user && *exec->user) { /* these are of another one */
		kv_del(vars, "HOME");
		kv_del(vars, "USER");
		kv_del(vars, "SHELL");
	}
	if (exec->env)
		kv_merge(vars, exec->env);
	return 0;
}

static int exec_boxed(const struct place *place, struct native_agent agent,
                      const struct workspace_exec *exec, int *status, struct deadline d,
                      struct err *e)
{
	struct buf dir = { 0 }, cwd = { 0 }, user = { 0 };
	struct kv vars = { 0 };
	struct boxed boxed = { .place = place, .agent = agent };
	int rc;

	buf_addf(&dir, BOX_DIR "/%s", place->state.dir);
	if (!exec->cwd || *exec->cwd != '/')
		buf_addf(&cwd, "%s/", buf_cstr(&dir));
	buf_adds(&cwd, exec->cwd ? exec->cwd : "");
	if (exec->user && *exec->user)
		buf_adds(&user, exec->user);
	else
		user_of(agent.id.pid, &place->state.box.map, &user);
	rc = boxed_environment(place, &agent, buf_cstr(&dir), exec, &vars, d, e);
	boxed.env = kv_to_env(&vars);
	boxed.user = buf_cstr(&user);
	boxed.cwd = buf_cstr(&cwd);
	if (rc == 0)
		rc = native_join(start_boxed, &boxed, boxed.agent.id, exec, status, d, e);
	kv_env_free(boxed.env);
	kv_free(&vars);
	buf_free(&dir);
	buf_free(&cwd);
	buf_free(&user);
	return rc;
}

static int exec_in(const struct place *place, const struct workspace_exec *exec, int *status,
                   struct deadline d, struct err *e)
{
	struct native_agent agent = native_agent_read(&place->paths);
	struct kv vars = { 0 };
	char *cwd;
	int rc;

	if (!agent.id.pid)
		return err_set(e, ERR_NOT_FOUND, 0, "workspace %s does not run", exec->ws->id);
	if (agent.boxed)
		return exec_boxed(place, agent, exec, status, d, e);
	if (exec->user && *exec->user)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"a workspace without isolation has no other users; leave --user out");
	if (check_user(place, e) < 0)
		return -1;
	cwd = exec->cwd && *exec->cwd == '/' ? mem_dup(exec->cwd)
	      : exec->cwd && *exec->cwd      ? path_join(place->dir, exec->cwd)
	                                     : mem_dup(place->dir);
	rc = take_environment(place, &agent, &vars, d, e);
	if (rc == 0 && exec->env)
		kv_merge(&vars, exec->env);
	if (rc == 0)
		rc = native_join(start, &(struct program){ place, &vars, cwd },
		                 (struct proc_id){ 0 }, exec, status, d, e);
	kv_free(&vars);
	free(cwd);
	return rc;
}

int native_exec(void *self, const struct workspace_exec *exec, int *status, struct deadline d,
                struct err *e)
{
	struct place place;
	int rc = place_open(&place, self, exec->ws, e);

	if (rc == 0)
		rc = exec_in(&place, exec, status, d, e);
	place_free(&place);
	return rc;
}

/* ---- use ---- */

/* Fields of /proc/PID/stat behind the name: user and system time, resident pages (proc_pid_stat(5)). */
static void add_process(pid_t pid, struct provider_usage *u)
{
	struct buf path = { 0 }, text = { 0 };
	struct err ignored;
	struct str rest, field;
	const char *end;
	int64_t ticks = 0, pages = 0, v;

	buf_addf(&path, "/proc/%ld/stat", (long)pid);
	if (file_read(buf_cstr(&path), STAT_MAX, &text, &ignored) == 0 &&
	    (end = strrchr(buf_cstr(&text), ')')) != NULL) {
		rest = str_of(end + 1);
		for (int i = 2; str_next(&rest, ' ', &field); i++) {
			if ((i == 14 || i == 15) && str_to_i64(field, 0, INT64_MAX, &v))
				ticks += v;
			if (i == 24)
				(void)str_to_i64(field, 0, INT64_MAX, &pages);
		}
		u->memory_bytes += pages * sysconf(_SC_PAGESIZE);
		u->cpu_us += ticks * (1000000 / sysconf(_SC_CLK_TCK));
		u->processes++;
	}
	buf_free(&path);
	buf_free(&text);
}

static void members(const struct place *p, struct proc_list *l)
{
	struct native_agent a = native_agent_read(&p->paths);
	struct proc_id *below = NULL;
	size_t n = a.boxed && a.id.pid ? proc_descendants(a.id.pid, &below) : 0;

	native_members(&p->paths, l);
	if (a.boxed && a.id.pid)
		proc_list_add(l, a.id);
	for (size_t i = 0; i < n; i++)
		proc_list_add(l, below[i]);
	free(below);
}

int native_usage(void *self, const struct workspace *ws, struct provider_usage *u,
                 struct deadline d, struct err *e)
{
	struct place place;
	struct proc_list l = { 0 };
	struct cgroup_usage usage;
	bool whole;
	int rc = place_open(&place, self, ws, e);

	if (rc == 0) {
		members(&place, &l);
		*u = (struct provider_usage){ .isolation = native_box_level(&place.state.box),
			                      .disk_bytes = -1 };
		for (size_t i = 0; i < l.n; i++)
			add_process(l.v[i].pid, u);
		proc_list_free(&l);
		if (native_bounds_usage(&place.paths, &usage)) { /* what has ended counts there */
			u->memory_bytes = usage.memory_bytes >= 0 ? usage.memory_bytes
			                                          : u->memory_bytes;
			u->cpu_us = usage.cpu_us >= 0 ? usage.cpu_us : u->cpu_us;
			u->processes = usage.pids >= 0 ? usage.pids : u->processes;
		}
		rc = disk_usage(place.paths.root, INT64_MAX,
		                deadline_min(d, deadline_in_ms(DISK_MS)), &u->disk_bytes, &whole,
		                e);
	}
	place_free(&place);
	return rc;
}
