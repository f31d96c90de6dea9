/* SPDX-License-Identifier: Apache-2.0 */
/* See tasks.h: what an operator on this host asks about jobs, and has ended. */
#include "runner/tasks_internal.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>

#define CANCEL_GRACE_MS 10000

void task_fail_canceled(struct sup *s, struct task *t)
{
	struct buf text = { 0 };

	task_canceled_text(t, &text);
	task_fail(s, t, buf_cstr(&text));
	buf_free(&text);
}

void task_canceled_text(const struct task *t, struct buf *text)
{
	buf_addf(text, "canceled by %s", t->canceled);
}

enum tasks_cancel tasks_cancel(struct sup *s, const char *id, const char *by)
{
	struct task *t = tasks_find(s, id);

	if (!t)
		return journal_past(s->journal, id) ? CANCEL_OVER : CANCEL_UNKNOWN;
	if (t->stage == TASK_REPORT || t->stage == TASK_REPORTING)
		return CANCEL_OVER;
	if (!t->canceled) {
		t->canceled = mem_dup(by);
		task_log(t, "canceled", by);
	}
	switch (t->stage) {
	case TASK_RUNNING:
		child_tell(&t->child, CANCEL_GRACE_MS);
		break;
	case TASK_ASK:
		if (!t->child.id.pid)
			task_claim(s, t);
		break;
	case TASK_HELD:
		task_fail_canceled(s, t);
		break;
	default: /* that it is ours, or what became of it, comes first */
		break;
	}
	return CANCEL_DONE;
}

bool tasks_job(struct sup *s, const char *id, struct buf *b)
{
	const struct task *t = tasks_find(s, id);
	const struct journal_past *past = t ? NULL : journal_past(s->journal, id);
	enum job_state result = t ? t->result : past ? past->result : JOB_PENDING;
	bool over = past || (t && (t->stage == TASK_REPORT || t->stage == TASK_REPORTING));

	if (!t && !past)
		return false;
	jw_obj(b);
	jw_kstr(b, "stage", t ? task_stage_name(t->stage) : "over");
	if (over) {
		jw_kstr(b, "result", result == JOB_SUCCESS ? "success" : "error");
		jw_kstr(b, "error", t ? t->text : past->text);
	}
	jw_obj_end(b);
	return true;
}
