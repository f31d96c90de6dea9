/* SPDX-License-Identifier: Apache-2.0 */
/* See process.h. */
#include "providers/native/process.h"

#include "agent/agent.h"
#include "base/file.h"
#include "base/mask.h"
#include "base/proc_by_env.h"
#include "base/spawn.h"
#include "providers/native/bounds.h"
#include "providers/native/native.h"
#include "sandbox/network.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define READY_MS 30000
#define LOOK_MS 10
#define STOP_LOOK_MS 100
#define END_ROUNDS 5
#define KILL_MS 5000
#define TAIL_BYTES 400
#define BOX_LAST_MS 500 /* for the agent, which has used the grace for what is below it */

void native_members(const struct native_paths *p, struct proc_list *l)
{
	struct native_agent a = native_agent_read(p);
	struct proc_id agent = a.id, *below;

	if (agent.pid && !a.boxed) {
		size_t n = proc_descendants(agent.pid, &below);

		proc_list_add(l, agent);
		for (size_t i = 0; i < n; i++)
			proc_list_add(l, below[i]);
		free(below);
	}
	proc_list_by_env(l, NATIVE_MARK, p->root);
}

/* With process 1 all others of its namespace end. */
static int end_box(const struct native_paths *p, int64_t grace_ms, size_t *n, struct deadline d,
                   struct err *e)
{
	struct native_agent a = native_agent_read(p);
	struct proc_id *below = NULL;
	int rc = 0;

	if (a.boxed && a.id.pid) {
		*n = 1 + proc_descendants(a.id.pid, &below);
		rc = sandbox_stop(a.id, grace_ms + BOX_LAST_MS, d, e);
	}
	free(below);
	network_end(a.helper);
	return rc;
}

int native_end(const struct native_paths *p, int64_t grace_ms, size_t *n, struct deadline d,
               struct err *e)
{
	int64_t grace_end = clock_mono_ms() + grace_ms;
	struct deadline last = deadline_min(d, (struct deadline){ grace_end + KILL_MS });
	int rc;

	*n = 0;
	rc = end_box(p, grace_ms, n, d, e);
	for (int round = 0; rc == 0; round++) {
		int64_t left = grace_end - clock_mono_ms();
		struct proc_list l = { 0 };
		size_t found;

		native_members(p, &l);
		found = l.n;
		if (found > 0 && round >= END_ROUNDS)
			rc = err_set(e, ERR_TIMEOUT, 0, "%zu processes of the workspace do not end",
			             found);
		else if (found > 0)
			rc = proc_end_tree(l.v, found, left > 0 ? left : 0, last, e);
		*n = found > *n ? found : *n;
		proc_list_free(&l);
		if (found == 0)
			break;
	}
	if (rc == 0)
		rc = native_bounds_end(p, last, e);
	if (rc == 0 && file_exists(p->agent))
		rc = file_remove_tree(p->agent, e);
	return rc;
}

static int end_all_in(const char *state_dir, bool builds, int64_t grace_ms, size_t *n,
                      struct deadline d, struct err *e)
{
	char *parent = path_join(state_dir, builds ? "builds" : "workspaces");
	DIR *dir = opendir(parent);
	struct dirent *ent;
	int rc = 0;

	while (dir && (ent = readdir(dir)) != NULL) {
		struct native_paths p = { 0 };
		struct err why = { 0 };
		size_t found = 0;

		if ((builds ? native_build_paths : native_paths)(&p, state_dir, ent->d_name, &why) <
		    0)
			continue; /* ".", "..", nothing of ours */
		if ((native_end(&p, grace_ms, &found, d, &why) < 0 ||
		     native_box_prepare_removal(&p, d, &why) < 0) &&
		    rc == 0) {
			*e = why;
			rc = err_wrap(e, "workspace %s", ent->d_name);
		}
		*n += found;
		native_paths_free(&p);
	}
	if (dir)
		closedir(dir);
	free(parent);
	return rc;
}

int native_end_all(const char *state_dir, int64_t grace_ms, size_t *n, struct deadline d,
                   struct err *e)
{
	*n = 0;
	if (end_all_in(state_dir, false, grace_ms, n, d, e) < 0)
		return -1;
	return end_all_in(state_dir, true, grace_ms, n, d, e);
}

/* The agent's output since the start: to the job's log, its end kept for an error, the marker
 * looked for. */
struct output {
	int fd;
	int word; /* see await_news; -1: there is none */
	int grown,
		end; /* they tell that there may be more, and that the agent has ended; -1: nothing does */
	struct mask_tail tail;
	struct buf window; /* the last bytes as they came: the marker may lie across two pieces */
	bool ready;
};

static void look_for_marker(struct output *o, struct str s)
{
	size_t keep = sizeof(AGENT_READY_TEXT) - 2;

	buf_add_str(&o->window, s);
	o->ready = o->ready || str_find(buf_str(&o->window), AGENT_READY_TEXT);
	if (o->window.n > keep)
		buf_drop(&o->window, o->window.n - keep);
}

static void take_output(const struct native_launch *l, struct output *o)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(o->fd, chunk, sizeof(chunk))) > 0) {
		struct str s = { chunk, (size_t)n };

		if (l->env->log)
			l->env->log(l->env->log_arg, s);
		mask_tail_add(&o->tail, s);
		look_for_marker(o, s);
	}
}

/* status: NULL is not known. */
static void describe_end(struct output *o, const int *status, struct err *e)
{
	struct str tail = mask_tail_text(&o->tail);
	struct buf how = { 0 }, lines = { 0 };

	if (status)
		proc_describe_status(*status, &how);
	else
		buf_adds(&how, "in its sandbox");
	for (size_t i = 0; i < tail.n; i++) {
		if (tail.p[i] == '\n')
			buf_adds(&lines, " | ");
		else
			buf_addc(&lines, tail.p[i]);
	}
	err_set(e, ERR_OTHER, 0, "the agent ended before it was ready (%s): %s", buf_cstr(&how),
	        lines.n ? buf_cstr(&lines) : "it said nothing");
	buf_free(&how);
	buf_free(&lines);
}

/* The agent closes its end when it is ready, and with its own end; one that is none of ours may do so before. */
static void await_news(struct output *o)
{
	struct pollfd p = { .fd = o->word, .events = POLLIN };

	if (poll(&p, 1, o->word >= 0 ? STOP_LOOK_MS : LOOK_MS) > 0)
		fd_close(&o->word);
}

static int await_ready(const struct native_launch *l, struct spawned p, struct output *o,
                       struct deadline d, struct err *e)
{
	int status;

	for (;;) {
		bool ended = l->box ? !sandbox_alive(l->box->agent.id)
		                    : spawn_look(&p) != SPAWN_RUNS;

		take_output(l, o);
		if (ended) {
			bool known = !l->box && spawn_collect(&p, &status);

			describe_end(o, known ? &status : NULL, e);
			return -1;
		}
		if (o->ready)
			return 0;
		if (l->env->stop && *l->env->stop)
			return err_set(e, ERR_CANCELED, 0,
			               "stopped because the runner was told to end");
		if (deadline_passed(d))
			return err_set(e, ERR_TIMEOUT, 0, "the agent was not ready in time; see %s",
			               l->paths->log);
		await_news(o);
	}
}

/* The record of one that is gone before anything runs is harmless. */
static int admit(void *arg, pid_t pid, struct err *e)
{
	const struct native_launch *l = arg;
	struct native_agent a = { 0 };

	if (!proc_identify(pid, &a.id))
		return err_set(e, ERR_OTHER, 0, "the agent ended before it began");
	if (native_agent_write(l->paths, &a, e) < 0)
		return -1;
	return native_bounds_admit(l->bounds, a.id, e);
}

/* With a pipe whose other end the agent has. */
static int launch(struct native_launch *l, struct spawned *p, int log_fd, int word[2],
                  struct deadline d, struct err *e)
{
	const char *const with_command[] = { "daytona-runner",    "agent", "--", "/bin/sh", "-c",
		                             l->options->command, NULL };
	const char *const alone[] = { "daytona-runner", "agent", NULL };
	const char *const *argv = l->options->command[0] ? with_command : alone;
	char **vars, number[16];
	int rc;

	if (pipe2(word, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	snprintf(number, sizeof(number), "%d", word[1]);
	kv_set(l->vars, AGENT_READY_FD, number);
	if (l->box) {
		l->box->s.word = word[1];
		return native_boxed_start(l->box, argv, l->vars, log_fd, d, e);
	}
	vars = kv_to_env(l->vars);
	rc = native_gate(
		&(struct spawn){ .argv = argv,
	                         .program = l->env->self_exe,
	                         .env = (const char *const *)vars,
	                         .cwd = l->dir,
	                         .std = { SPAWN_NULL, log_fd, log_fd },
	                         .keep = &word[1],
	                         .n_keep = 1,
	                         .lead = SPAWN_SESSION,
	                         .confine = l->options->best_effort ? SPAWN_WORKSPACE : SPAWN_FREE,
	                         .umask = 022 },
		admit, l, d, p, e);

	kv_env_free(vars);
	return rc;
}

int native_agent_start(struct native_launch *l, struct deadline d, struct err *e)
{
	struct output o = { .fd = -1, .word = -1, .tail = { .max = TAIL_BYTES } };
	struct deadline ready = deadline_min(d, deadline_in_ms(READY_MS));
	struct err left = { 0 };
	struct spawned p = { 0 };
	int log_fd, word[2] = { -1, -1 }, rc = -1;
	size_t n;

	if (rename(l->paths->log, l->paths->old_log) < 0 && errno != ENOENT)
		return err_sys(e, errno, "rename %s", l->paths->log);
	log_fd = open(l->paths->log, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	o.fd = open(l->paths->log, O_RDONLY | O_CLOEXEC);
	if (log_fd < 0 || o.fd < 0)
		err_sys(e, errno, "open %s", l->paths->log);
	else
		rc = launch(l, &p, log_fd, word, ready, e);
	o.word = word[0];
	fd_close(&word[1]);
	if (rc == 0)
		rc = await_ready(l, p, &o, ready, e);
	if (rc < 0)
		native_bounds_tell(l->env, l->paths);
	if (rc < 0 && (p.pid || l->box) &&
	    native_end(l->paths, 0, &n, deadline_in_ms(KILL_MS), &left) < 0)
		provider_logf(l->env, "warning: %s", left.msg);
	spawn_forget(&p);
	mask_tail_free(&o.tail);
	buf_wipe(&o.window);
	fd_close(&log_fd);
	fd_close(&o.fd);
	fd_close(&o.word);
	return rc;
}
