/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workspace's agent (design 6): put into the container through the archive endpoint, so the image needs no
 * shell, curl, sudo or package manager, and started by exec with the key in that exec's environment alone.
 */
#include "agent/agent.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/url.h"
#include "providers/docker/engine/archive.h"
#include "providers/docker/engine/follow.h"
#include "providers/docker/workspace/internal.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAYTONA_PATH "/usr/local/bin/daytona"
#define SERVER_CA_PATH "/.daytona/server-ca.pem"
#define GIT_CA_PATH "/.daytona/git-ca.pem"
#define API_URL "DAYTONA_SERVER_API_URL"
#define API_KEY "DAYTONA_SERVER_API_KEY"
#define AGENT_PROXY "DAYTONA_AGENT_PROXY"
#define CA_MAX_BYTES (1u << 20)

static const char *machine_arch(unsigned machine)
{
	switch (machine) {
	case EM_X86_64:
		return "amd64";
	case EM_AARCH64:
		return "arm64";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return "riscv64";
	default:
		return "another machine";
	}
}

/* Both ELF classes have the machine at 18 and name the interpreter by a program header of type 3. */
static const char *inspect_elf(const unsigned char *p, size_t n, bool *is_static)
{
	bool wide = n > 64 && p[EI_CLASS] == ELFCLASS64;
	size_t at, size, count;

	if (n < 64 || memcmp(p, ELFMAG, SELFMAG) != 0 || p[EI_DATA] != ELFDATA2LSB)
		return NULL;
	at = wide ? p[32] | (size_t)p[33] << 8 : p[28] | (size_t)p[29] << 8;
	size = wide ? p[54] : p[42];
	count = wide ? p[56] : p[44];
	*is_static = true;
	for (size_t i = 0; i < count && at + i * size + 4 <= n; i++)
		if (p[at + i * size] == PT_INTERP && !p[at + i * size + 1])
			*is_static = false;
	return machine_arch(p[18] | (unsigned)p[19] << 8);
}

static const char *program_file(const struct docker *docker)
{
	return docker->opt.agent_binary ? docker->opt.agent_binary : docker->env->self_exe;
}

const char *delivery_program(const struct docker *docker, struct buf *why)
{
	const char *file = program_file(docker);
	unsigned char head[4096];
	const char *arch;
	bool is_static = false;
	ssize_t n;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, head, sizeof(head));
	fd_close(&fd);
	arch = n > 0 ? inspect_elf(head, (size_t)n, &is_static) : NULL;
	if (!arch)
		buf_addf(why, "%s cannot be read as a program", file);
	else if (!is_static)
		buf_addf(why, "%s is not static (use a release build, or set agent_binary)", file);
	else if (*docker->engine.arch && strcmp(arch, docker->engine.arch) != 0)
		buf_addf(why, "%s is for %s, the engine's machine is %s (set agent_binary)", file,
		         arch, docker->engine.arch);
	else
		return file;
	return NULL;
}

/* What is at its place, a link or a directory of another owner as well, makes way. */
int delivery_put_program(struct docker *docker, const char *container, struct str first,
                         struct deadline d, struct err *e)
{
	struct buf why = { 0 }, before = { 0 };
	const char *file = delivery_program(docker, &why);
	int rc;

	buf_add_str(&before, first);
	tar_header(&before, &(struct tar_entry){ .name = &PROGRAM_DIR[1],
	                                         .type = '5',
	                                         .mode = 0755,
	                                         .mtime = clock_wall_ms() / 1000 });
	if (file)
		rc = archive_put_program(&docker->engine, container, PROGRAM_PATH, file,
		                         buf_str(&before), d, e);
	else
		rc = err_set(e, ERR_UNSUPPORTED, 0, "%s", buf_cstr(&why));
	buf_free(&before);
	buf_free(&why);
	return rc;
}

static const char *job_value(const struct agent_job *a, const char *key)
{
	const char *v = kv_get(a->w->env, key);

	return v ? v : "";
}

static int put_daytona(struct docker *docker, const struct agent_job *a, struct deadline d,
                       struct err *e)
{
	const char *version = job_value(a, "DAYTONA_SERVER_VERSION"), *arch = docker->engine.arch;
	struct stat cached;
	char *file = NULL;
	int rc;

	if (!*version)
		return err_set(e, ERR_UNSUPPORTED, 0, "the Server's version is not known");
	if (!*arch)
		arch = agent_host_arch();
	/* 90 MB: reading and copying them takes longer than all else of a start. */
	if (agent_cached(docker->env->state_dir, version, arch, &cached) &&
	    archive_has_program(&docker->engine, a->c->id, DAYTONA_PATH, &cached, d))
		return 0;
	rc = agent_fetch(docker->env->api, docker->env->state_dir, version, arch, &file, &d, e);
	if (rc == 0)
		rc = archive_put_program(&docker->engine, a->c->id, DAYTONA_PATH, file,
		                         (struct str){ 0 }, d, e);
	free(file);
	return rc;
}

/* Daytona's agent, if it is wanted and can be had; *program stays NULL where it is not. */
static int deliver_daytona(struct docker *docker, const struct agent_job *a, const char **program,
                           struct deadline d, struct err *e)
{
	*program = NULL;
	if (docker->opt.agent == AGENT_BUILTIN)
		return 0;
	if (put_daytona(docker, a, d, e) == 0) {
		*program = DAYTONA_PATH;
		return 0;
	}
	if (docker->opt.agent == AGENT_DAYTONA || e->kind == ERR_CANCELED)
		return err_wrap(e, "Daytona's agent");
	provider_logf(docker->env, "Daytona's agent is not available (%s); using the built-in one",
	              e->msg);
	err_clear(e);
	return 0;
}

/* The CA file of our configuration beside the agent. */
static int put_ca(struct docker *docker, const char *container, const char *file, const char *path,
                  struct deadline d, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	if (!file)
		return 0;
	rc = file_read(file, CA_MAX_BYTES, &text, e);
	if (rc == 0)
		rc = archive_put_text(&docker->engine, container, path, buf_str(&text),
		                      &(struct tar_entry){ .mode = 0644 }, d, e);
	buf_free(&text);
	return rc;
}

/* there: the program is, as the container's first process. */
static int deliver_builtin(struct docker *docker, const struct agent_job *a, bool there,
                           struct deadline d, struct err *e)
{
	if ((!there && delivery_put_program(docker, a->c->id, (struct str){ 0 }, d, e) < 0) ||
	    put_ca(docker, a->c->id, docker->env->server_ca_file, SERVER_CA_PATH, d, e) < 0 ||
	    put_ca(docker, a->c->id, docker->opt.git_ca_file, GIT_CA_PATH, d, e) < 0)
		return err_wrap(e, "built-in agent");
	return 0;
}

/* The container's first process. Where Daytona's agent gets the key, which is not read either, size and time will do. */
static int put_first_process(struct docker *docker, const struct agent_job *a, bool unread,
                             struct str first, struct deadline d, struct err *e)
{
	const char *file = program_file(docker);
	struct buf tar = { 0 };
	struct stat st;
	int rc = 0;

	if (strcmp(a->c->entry, PROGRAM_PATH) == 0 &&
	    !(unread && stat(file, &st) == 0 &&
	      archive_has_program(&docker->engine, a->c->id, PROGRAM_PATH, &st, d)))
		return delivery_put_program(docker, a->c->id, first, d, e);
	if (first.n) {
		buf_add_str(&tar, first);
		tar_finish(&tar);
		rc = archive_put_tar(&docker->engine, a->c->id, buf_str(&tar), d, e);
	}
	buf_free(&tar);
	return rc;
}

int delivery_before_start(struct docker *docker, const struct agent_job *a, struct str first,
                          const char **program, struct deadline d, struct err *e)
{
	*program = NULL;
	if ((docker->opt.agent != AGENT_NONE && deliver_daytona(docker, a, program, d, e) < 0) ||
	    put_first_process(docker, a, *program != NULL, first, d, e) < 0)
		return -1;
	if (*program || docker->opt.agent == AGENT_NONE)
		return 0;
	*program = PROGRAM_PATH;
	return deliver_builtin(docker, a, strcmp(a->c->entry, PROGRAM_PATH) == 0, d, e);
}

/* Into a container that runs without an agent; one that could exchange its mounts meanwhile has what its start gave it. */
static int deliver_to_running(struct docker *docker, const struct agent_job *a,
                              const char **program, struct deadline d, struct err *e)
{
	if (docker->engine.local && policy_can_exchange(a->c, a->at->checkout)) {
		*program = docker->opt.agent != AGENT_BUILTIN &&
		                           archive_exists(&docker->engine, a->c->id, DAYTONA_PATH,
		                                          d)
		                   ? DAYTONA_PATH
		                   : PROGRAM_PATH;
		return 0;
	}
	if (deliver_daytona(docker, a, program, d, e) < 0)
		return -1;
	if (*program)
		return 0;
	*program = PROGRAM_PATH;
	return deliver_builtin(docker, a, false, d, e);
}

/* What is on this machine's loopback is not on the container's. True if the URL was changed. */
static bool fix_loopback(const struct docker *docker, struct kv *env, const char *key)
{
	struct url u;
	struct err ignored = { 0 };
	struct buf b = { 0 };
	bool host_net = docker->opt.network && strcmp(docker->opt.network, "host") == 0, fixed;

	if (!docker->engine.local || host_net ||
	    url_parse(str_of(kv_get(env, key)), &u, &ignored) < 0)
		return false;
	fixed = url_is_loopback(&u) && !url_is_tls(&u);
	if (fixed) {
		buf_addf(&b, "%s://host.docker.internal:%u%s", u.scheme, u.port, u.path);
		kv_set(env, key, buf_cstr(&b));
	}
	buf_free(&b);
	url_free(&u);
	return fixed;
}

static void set_default(struct kv *env, const char *key, const char *value)
{
	if (value && *value && !kv_get(env, key))
		kv_set(env, key, value);
}

/* How the built-in agent reaches the Server: as we do. A proxy is only passed on when it is our configuration's. */
static void fill_link(const struct docker *docker, bool near, struct kv *env)
{
	const struct provider_env *p = docker->env;

	set_default(env, "DAYTONA_AGENT_PIN_SHA256", p->server_pin_sha256);
	if (near) {
		kv_set(env, "DAYTONA_AGENT_NO_PROXY", "host.docker.internal");
	} else {
		set_default(env, AGENT_PROXY, p->server_proxy);
		set_default(env, "DAYTONA_AGENT_NO_PROXY", p->server_no_proxy);
		(void)fix_loopback(docker, env, AGENT_PROXY);
	}
	if (p->server_ca_file)
		set_default(env, "DAYTONA_AGENT_CA_FILE", SERVER_CA_PATH);
	if (docker->opt.git_ca_file)
		set_default(env, "DAYTONA_AGENT_GIT_CA_FILE", GIT_CA_PATH);
}

static void fill_env(const struct docker *docker, const struct agent_job *a, bool builtin,
                     bool clone, struct kv *env)
{
	const struct workspace *ws = a->w->ws;
	bool near;

	kv_merge(env, a->w->env);
	if (a->extra)
		kv_merge(env, a->extra);
	if (ws->api_key && *ws->api_key)
		kv_set(env, API_KEY, ws->api_key);
	if (!kv_get(env, API_URL) || !*kv_get(env, API_URL))
		kv_set(env, API_URL, docker->env->api_url);
	near = fix_loopback(docker, env, API_URL);
	if (!kv_get(env, "DAYTONA_WORKSPACE_ID"))
		kv_set(env, "DAYTONA_WORKSPACE_ID", ws->id);
	if (!kv_get(env, "DAYTONA_WORKSPACE_REPOSITORY_URL"))
		kv_set(env, "DAYTONA_WORKSPACE_REPOSITORY_URL", ws->repo.url);
	kv_set(env, "DAYTONA_AGENT_DIR", a->dir);
	if (clone) {
		kv_set(env, "DAYTONA_AGENT_CLONE", "1");
		kv_set(env, "DAYTONA_AGENT_BRANCH", ws->repo.branch);
		if (ws->repo.clone_commit)
			kv_set(env, "DAYTONA_AGENT_SHA", ws->repo.sha);
	}
	if (builtin)
		fill_link(docker, near, env);
}

static int failed(struct exec *exec, int64_t ms, struct err *e)
{
	struct buf b = { 0 };

	exec_describe(exec, &b);
	if (exec->ended)
		err_set(e, ERR_OTHER, (int)exec->status,
		        "the workspace agent ended before it was ready: %s", buf_cstr(&b));
	else
		err_set(e, ERR_TIMEOUT, 0, "the workspace agent was not ready after %lld s: %s",
		        (long long)(ms / 1000), buf_cstr(&b));
	buf_free(&b);
	return -1;
}

static int wait_ready(struct docker *docker, struct deadline d, struct err *e)
{
	struct deadline limit = deadline_min(d, deadline_in_ms(docker->opt.agent_ms));
	struct exec *exec = &docker->agent;

	for (;;) {
		if (exec_step(exec, e) < 0)
			return -1;
		follow_step(docker->logs);
		if (exec->seen && !(exec->ended && exec->status != 0))
			return 0;
		if (exec->ended || deadline_passed(limit))
			return failed(exec, docker->opt.agent_ms, e);
		if (exec_wait(exec, 1, 200, DEADLINE_NEVER, e) < 0)
			return -1;
	}
}

int delivery_agent_stays(struct docker *docker, struct err *e)
{
	struct exec *exec = &docker->agent;
	struct buf b = { 0 };

	if (!exec->id || !exec->seen)
		return 0;
	if (exec_step(exec, e) < 0)
		return -1;
	if (!exec->ended ||
	    exec->status <= 0) /* one that put itself into the background has ended well */
		return 0;
	exec_describe(exec, &b);
	err_set(e, ERR_OTHER, (int)exec->status,
	        "the workspace agent ended just after it was ready: %s", buf_cstr(&b));
	buf_free(&b);
	return -1;
}

int delivery_agent_runs(struct docker *docker, const struct container *c, bool *runs,
                        struct deadline d, struct err *e)
{
	static const char *const known[] = { PROGRAM_PATH, DAYTONA_PATH, "daytona agent", NULL };
	int rc = exec_find(&docker->engine, c->execs, c->n_execs, known, runs, e);

	if (rc == 0 && !*runs)
		*runs = exec_find_process(&docker->engine, c->id, known, d);
	return rc;
}

static bool has_git(struct docker *docker, const char *container, struct deadline d)
{
	static const char *const places[] = { "/usr/bin/git", "/usr/local/bin/git", "/bin/git" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (archive_exists(&docker->engine, container, places[i], d))
			return true;
	return false;
}

/* The container does not see it. */
static bool is_of_this_host(const char *url)
{
	return *url == '/' || strncmp(url, "file://", 7) == 0;
}

static int run_agent(struct docker *docker, const struct agent_job *a, const char *const *argv,
                     const struct kv *env, struct deadline d, struct err *e)
{
	const struct exec_spec spec = {
		.argv = argv, .user = a->user, .env = env, .watch = AGENT_READY_TEXT
	};

	err_clear(e);
	exec_free(&docker->agent);
	if (exec_start(&docker->agent, &docker->engine, a->c->id, &spec, d, e) < 0)
		return err_wrap(e, "start the workspace agent");
	return wait_ready(docker, d, e);
}

int delivery_start_agent(struct docker *docker, const struct agent_job *a, struct deadline d,
                         struct err *e)
{
	const char *argv[] = { NULL, "agent", NULL };
	struct kv env = { 0 };
	unsigned tries = 0;
	bool runs = false, clone = a->clone && *a->w->ws->repo.url, builtin;
	int rc;

	if (docker->opt.agent == AGENT_NONE) {
		provider_logf(docker->env, "No agent is started (option \"Agent\" is none)");
		return 0;
	}
	if (!a->fresh && delivery_agent_runs(docker, a->c, &runs, d, e) < 0)
		return err_wrap(e, "look for a running agent");
	if (runs) {
		provider_logf(docker->env, "The workspace agent runs already");
		return 0;
	}
	argv[0] = a->delivered;
	if (!argv[0] && deliver_to_running(docker, a, &argv[0], d, e) < 0)
		return -1;
	builtin = strcmp(argv[0], PROGRAM_PATH) == 0;
	if (clone && builtin &&
	    (is_of_this_host(a->w->ws->repo.url) || !has_git(docker, a->c->id, d))) {
		clone = checkout_put(docker, a->w, a->at, a->c, a->account, a->dir, d, e) < 0;
		if (clone && (e->kind == ERR_CANCELED || deadline_passed(d)))
			return -1;
		if (clone)
			provider_logf(
				docker->env,
				"The runner could not make the checkout (%s); the agent tries",
				e->msg);
		err_clear(e);
	}
	fill_env(docker, a, builtin, clone, &env);
	do
		rc = run_agent(docker, a, argv, &env, d, e);
	while (rc < 0 && account_overlooked(&docker->engine, a->account, &tries, d, e));
	kv_free(&env);
	return rc;
}
