/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks_internal.h: what a job's processes do, and how they say what came of it. */
#include "runner/tasks_internal.h"

#include "base/attr.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/mask.h"
#include "host/paths.h"
#include "runner/provset.h"

#include <stdlib.h>

#define FIND_MS 60000
#define ASK_MS 30000

struct work_arg {
	struct sup *s;
	const struct job *job;
	bool begun, last;
};

/* The text is masked here: only this process knows the job's secrets. */
static void add_result(struct buf *out, char kind, struct str text)
{
	buf_addc(out, kind);
	mask_text(out, text);
}

/* What no program of a job is to read or change. */
static struct jobs_env work_env(struct sup *s, const volatile int *stop)
{
	const struct config *c = s->c;
	char *const made[] = { paths_lock(c->state_dir),    paths_journal(c->state_dir),
		               paths_status(c->state_dir),  paths_providers(c->state_dir),
		               paths_refused(c->state_dir), path_join(c->state_dir, "logs/runners"),
		               paths_control(c->state_dir), paths_paused(c->state_dir) };

	confine_hide(c->file, HIDE_FROM_JOB);
	confine_hide(c->key_file, HIDE_FROM_JOB);
	confine_hide(c->client_key, HIDE_FROM_JOB);
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		confine_hide(made[i], HIDE_FROM_JOB);
		free(made[i]);
	}
	return sup_jobs_env(s, stop);
}

static void ask_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = sup_jobs_env(a->s, stop);
	struct buf name = { 0 };

	env.timeout_ms = ASK_MS;
	if (job_provider(&env, a->job, &name) && provset_unmet(a->s, buf_cstr(&name)))
		buf_addf(out, "W%s", buf_cstr(&name));
	buf_free(&name);
}

static void run_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = work_env(a->s, stop);
	struct err e = { 0 };
	bool begun = true;

	if (job_run(&env, a->job, &begun, &e) == 0)
		buf_addc(out, 'S');
	else
		add_result(out, begun ? 'E' : 'N', str_of(e.msg));
}

static void find_work(void *arg, const volatile int *stop, struct buf *out)
{
	struct work_arg *a = arg;
	struct jobs_env env = work_env(a->s, stop);
	struct job_fate fate = { .begun = a->begun, .last = a->last };
	struct err e = { 0 };

	env.timeout_ms = FIND_MS;
	if (job_reconcile(&env, a->job, &fate, &e) < 0)
		add_result(out, 'R', str_of(e.msg));
	else if (fate.state == JOB_SUCCESS)
		buf_addc(out, 'S');
	else if (fate.state == JOB_ERROR)
		add_result(out, 'E', buf_str(&fate.text));
	else
		buf_addc(out, fate.state == JOB_PENDING   ? 'P'
		              : fate.state == JOB_RUNNING ? 'C'
		                                          : 'U');
	buf_free(&fate.text);
}

int taskwork_ask(struct sup *s, struct child *c, const struct job *j, struct err *e)
{
	struct work_arg a = { s, j, false, false };

	return child_start(c, ask_work, &a, deadline_in_ms(ASK_MS), e);
}

int taskwork_run(struct sup *s, struct child *c, const struct job *j, struct err *e)
{
	struct work_arg a = { s, j, true, false };

	return child_start(c, run_work, &a, deadline_in_ms(s->c->job_timeout_ms), e);
}

int taskwork_find(struct sup *s, struct child *c, const struct job *j, bool begun, bool last,
                  struct err *e)
{
	struct work_arg a = { s, j, begun, last };

	return child_start(c, find_work, &a, deadline_in_ms(FIND_MS), e);
}
