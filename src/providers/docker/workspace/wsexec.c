/* SPDX-License-Identifier: Apache-2.0 */
/* A program in a workspace's container for somebody on this host, and what the container uses of it. */
#include "providers/docker/workspace/wsexec.h"

#include "base/file.h"
#include "base/mem.h"
#include "sandbox/disk.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_MAX 65536
#define DISK_MS 10000
#define PID_WAIT_MS 3000
#define PID_LOOK_MS 50

static int find_running(struct docker *docker, const struct workspace *ws, struct wsdir *dir,
                        struct container *c, struct deadline d, struct err *e)
{
	*c = (struct container){ 0 };
	if (wsdir_open(dir, docker->env, ws, e) < 0)
		return -1;
	if (ws_find(docker, ws, dir, c, d, e) < 0)
		return -1;
	if (c->state != CS_RUNNING)
		return err_set(e, ERR_NOT_FOUND, 0, "workspace %s does not run (%s)", ws->id,
		               c->state_text);
	return 0;
}

/* The engine's word for it counts only if the process is of that container: another host's engine has other processes. */
struct place {
	struct docker *docker;
	const char *exec, *container;
	struct deadline d;
};

/* The engine learns of it after the program has begun. */
static int64_t pid_of(const struct place *p)
{
	struct deadline until = deadline_min(p->d, deadline_in_ms(PID_WAIT_MS));
	struct buf path = { 0 };
	struct err ignored;
	bool runs = true;
	int64_t pid = 0;

	buf_addf(&path, "/exec/%s/json", p->exec);
	while (!pid && runs) {
		struct json_doc *doc = NULL;

		if (engine_call(&p->docker->engine, "GET", buf_cstr(&path), (struct str){ 0 }, &doc,
		                until, &ignored) < 0)
			break;
		(void)json_i64(json_get(json_root(doc), "Pid"), 2, INT32_MAX, &pid);
		runs = json_bool(json_get(json_root(doc), "Running"), false);
		json_doc_free(doc);
		if (!pid && runs &&
		    engine_sleep(&p->docker->engine, PID_LOOK_MS, until, &ignored) < 0)
			break;
	}
	buf_free(&path);
	return pid;
}

static struct proc_id process_here(void *arg)
{
	const struct place *p = arg;
	struct buf path = { 0 }, text = { 0 };
	struct err ignored;
	struct proc_id id = { 0 };
	int64_t pid = p->docker->engine.local ? pid_of(p) : 0;

	buf_addf(&path, "/proc/%lld/cgroup", (long long)pid);
	if (!pid || kill((pid_t)pid, 0) < 0 || !proc_identify((pid_t)pid, &id) ||
	    file_read(buf_cstr(&path), CGROUP_MAX, &text, &ignored) < 0 ||
	    !str_find(buf_str(&text), p->container))
		id = (struct proc_id){ 0 };
	buf_free(&text);
	buf_free(&path);
	return id;
}

/* What is asked for, or the workspace's; a relative directory is below the checkout. */
static char *directory(const struct workspace_exec *exec, const struct wsdir *dir)
{
	struct buf b = { 0 };

	if (!exec->cwd || *exec->cwd != '/')
		buf_adds(&b, dir->notes.folder);
	if (exec->cwd && *exec->cwd && b.n)
		buf_addc(&b, '/');
	if (exec->cwd)
		buf_adds(&b, exec->cwd);
	return buf_take(&b);
}

static int run(struct docker *docker, const struct workspace_exec *exec, const struct container *c,
               const struct exec_spec *s, int *status, struct deadline d, struct err *e)
{
	struct exec_side side = {
		.fd = exec->side, .next = exec->next, .arg = exec->arg, .process = process_here
	};
	struct exec run;
	int rc = exec_start(&run, &docker->engine, c->id, s, d, e);

	if (rc < 0)
		return -1;
	side.process_arg = &(struct place){ docker, run.id, c->id, d };
	if (exec->tty)
		exec_resize(&run, exec->rows, exec->cols);
	rc = exec_join(&run, &side, d, e);
	if (rc == 0 && run.status < 0)
		rc = err_set(e, ERR_OTHER, 0, "the engine does not know the exit status");
	*status = (int)run.status;
	exec_free(&run);
	return rc;
}

int ws_exec(struct docker *docker, const struct workspace_exec *exec, int *status,
            struct deadline d, struct err *e)
{
	struct container c;
	struct wsdir dir = { 0 };
	int rc = find_running(docker, exec->ws, &dir, &c, d, e);

	if (rc == 0) {
		char *cwd = directory(exec, &dir);
		const char *user = dir.notes.user;

		if (exec->user && *exec->user)
			user = exec->user;
		else if (!*user && exec->ws->user)
			user = exec->ws->user;
		rc = run(docker, exec, &c,
		         &(struct exec_spec){ .argv = exec->argv,
		                              .user = user,
		                              .cwd = cwd,
		                              .env = exec->env,
		                              .std = exec->std,
		                              .tty = exec->tty },
		         status, d, e);
		free(cwd);
	}
	container_free(&c);
	wsdir_free(&dir);
	return rc;
}

static void take_number(struct json v, int64_t *out)
{
	(void)json_i64(v, 0, INT64_MAX, out);
}

static void read_stats(struct json root, struct provider_usage *u)
{
	struct json memory = json_get(root, "memory_stats"), stats = json_get(memory, "stats");
	int64_t cache = 0, ns = -1;

	take_number(json_get(memory, "usage"), &u->memory_bytes);
	take_number(json_get(stats, "total_inactive_file"), &cache);
	take_number(json_get(stats, "inactive_file"), &cache);
	if (cache < u->memory_bytes)
		u->memory_bytes -= cache;
	take_number(json_get(json_get(json_get(root, "cpu_stats"), "cpu_usage"), "total_usage"),
	            &ns);
	u->cpu_us = ns < 0 ? -1 : ns / 1000;
	take_number(json_get(json_get(root, "pids_stats"), "current"), &u->processes);
}

static int ask(struct docker *docker, const char *id, const char *what, struct json_doc **doc,
               struct deadline d, struct err *e)
{
	struct buf path = { 0 };
	int rc;

	buf_addf(&path, "/containers/%s/%s", id, what);
	rc = engine_call(&docker->engine, "GET", buf_cstr(&path), (struct str){ 0 }, doc, d, e);
	buf_free(&path);
	return rc;
}

/* What the container wrote, and the checkout where it is on this host. */
static void read_disk(struct docker *docker, const struct wsdir *dir, struct json root,
                      struct provider_usage *u, struct deadline d)
{
	int64_t checkout = 0;
	struct err ignored;
	bool whole;

	take_number(json_get(root, "SizeRw"), &u->disk_bytes);
	d = deadline_min(d, deadline_in_ms(DISK_MS));
	if (u->disk_bytes >= 0 && docker->engine.local &&
	    disk_usage(dir->dir, INT64_MAX, d, &checkout, &whole, &ignored) == 0)
		u->disk_bytes += checkout;
}

int ws_usage(struct docker *docker, const struct workspace *ws, struct provider_usage *u,
             struct deadline d, struct err *e)
{
	struct json_doc *doc = NULL;
	struct wsdir dir = { 0 };
	struct container c = { 0 };
	int rc = wsdir_open(&dir, docker->env, ws, e);

	if (rc == 0)
		rc = ws_find(docker, ws, &dir, &c, d, e);
	u->isolation = "container";
	if (rc == 0)
		rc = ask(docker, c.id, "json?size=true", &doc, d, e);
	if (rc == 0)
		read_disk(docker, &dir, json_root(doc), u, d);
	json_doc_free(doc);
	doc = NULL;
	if (rc == 0 && c.state == CS_RUNNING)
		rc = ask(docker, c.id, "stats?stream=false&one-shot=true", &doc, d, e);
	if (doc)
		read_stats(json_root(doc), u);
	json_doc_free(doc);
	container_free(&c);
	wsdir_free(&dir);
	return rc;
}
