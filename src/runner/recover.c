/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks.h: what the journal says of jobs of an earlier process, and what is left of their processes. */
#include "runner/child.h"
#include "runner/tasks.h"

#include "base/log.h"
#include "base/mem.h"
#include "host/paths.h"

#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIFE_SLACK_MS 30000

/* When the earlier process lived for sure, in ticks since boot and with some allowance: each accepted heartbeat leaves
 * its time on the status file. */
static uint64_t last_sign_of_life(const struct sup *s)
{
	char *path = paths_status(s->c->state_dir);
	struct stat st;
	int64_t at = 0;

	if (stat(path, &st) == 0)
		at = clock_mono_ms() + s->suspend_ms + LIFE_SLACK_MS -
		     (clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000);
	free(path);
	return at > 0 ? (uint64_t)(at / 1000) * getauxval(AT_CLKTCK) : 0;
}

/* Processes of a job whose supervisor was killed. What began later has its session's number by chance. */
static void kill_leftovers(const struct journal_entry *en, uint64_t latest)
{
	size_t n;

	if (!en->process.pid || en->process.pid == getpid())
		return;
	n = child_kill_session(en->process, latest);
	if (n)
		log_info("ended %zu processes left over from job %s", n, en->job.id);
}

static void copy_job(const struct job *from, struct job *to)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct json_doc *doc;

	job_write(from, &b);
	doc = json_parse(buf_str(&b), b.n, &e);
	if (job_parse(json_root(doc), to, &e) < 0)
		log_error("journal: %s", e.msg);
	json_doc_free(doc);
	buf_free(&b);
}

void tasks_replay(struct sup *s)
{
	size_t n;
	const struct journal_entry *list = journal_entries(s->journal, &n);
	uint64_t latest = last_sign_of_life(s);

	for (size_t i = 0; i < n; i++) {
		struct job j = { 0 };

		kill_leftovers(&list[i], latest);
		copy_job(&list[i].job, &j);
		if (j.id)
			tasks_restore(s, &j, &list[i]);
	}
}
