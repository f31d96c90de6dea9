/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs that the Server itself ends: canceled by a client, swept aside by a forced deletion, orphaned by
 * the deletion of their runner. The protocol cannot tell a runner to stop, so a job that a living
 * runner works on is left to it.
 */
#include "server/srv.h"

#include "base/jsonw.h"
#include "base/mem.h"

/* A heartbeat that comes after the claim and counts no job is believed after this long. */
#define SETTLED_MS 30000

/* The runner that has a job, or is to have it; "" for none. */
static const char *holder(const struct rec *job)
{
	const char *owner = rec_text(job, "runnerId");

	return owner[0] ? owner : rec_text(job, "claimedBy");
}

/* Does the runner say that it runs nothing, long after it claimed the job? */
static bool is_idle(const struct rec *runner, const struct rec *job)
{
	int64_t claimed, beat;

	return rec_int(runner, "mdJobs") == 0 &&
	       time_parse_rfc3339(rec_text(job, "updatedAt"), &claimed) &&
	       time_parse_rfc3339(rec_text(runner, "mdUpdated"), &beat) &&
	       beat > claimed + SETTLED_MS;
}

bool job_can_cancel(const struct srv *s, const struct rec *job, struct buf *why)
{
	const struct rec *runner = store_find(&s->store, K_RUNNER, "id", holder(job));
	const char *state = rec_text(job, "state");
	struct state st;

	if (strcmp(state, "pending") == 0)
		return true;
	if (strcmp(state, "running") != 0) {
		buf_addf(why, "it has ended already: %s", state);
		return false;
	}
	if (!runner && holder(job)[0])
		return true; /* deleted: it can report nothing any more */
	if (runner)
		state_of_runner(runner, &st);
	/* Heartbeats do not outlive a crash of this server, but that there was one does: give the
	 * runners time to be heard. */
	if (runner && strcmp(st.name, "started") != 0 && rec_has(runner, "mdProviders") &&
	    !deadline_passed(s->settled))
		buf_addf(why,
		         "this server has just started and has not heard of runner %s yet; try "
		         "again in %lld s",
		         rec_text(runner, "name"),
		         (long long)deadline_left_ms(s->settled) / 1000 + 1);
	else if (runner && (strcmp(st.name, "started") != 0 || is_idle(runner, job)))
		return true;
	else
		buf_addf(why,
		         "runner %s works on it and cannot be told to stop; wait for its end, or "
		         "stop that runner",
		         runner ? rec_text(runner, "name") : "(unknown)");
	return false;
}

void job_end(struct srv *s, struct change *ch, const struct rec *job, const char *error)
{
	struct rec *draft = change_edit(ch, job);
	char now[STAMP_SIZE];

	stamp_now(now);
	rec_set(draft, "state", error ? "error" : "success");
	rec_set(draft, "error", error);
	rec_set(draft, "updatedAt", now);
	rec_set_bool(draft, "canceled", true);
	rec_set_int(draft, "linked", store_next_number(&s->store));
}

int jobs_sweep(struct srv *s, struct change *ch, const char *type, const char *resource_id,
               struct err *e)
{
	const struct rec *j = store_find(&s->store, K_JOB, "resourceId", resource_id);
	struct buf why = { 0 };
	int rc = 0;

	for (; rc == 0 && j; j = store_find_next(&s->store, j, "resourceId")) {
		if (!rec_is(j, "resourceType", type) || !job_is_open(j))
			continue;
		if (job_can_cancel(s, j, &why))
			job_end(s, ch, j, "canceled by a forced deletion");
		else
			rc = err_set(e, ERR_BUSY, 0, "another job is in progress: %s",
			             buf_cstr(&why));
	}
	buf_free(&why);
	return rc;
}

void jobs_orphan(struct srv *s, struct change *ch, const struct rec *runner)
{
	static const enum queue queues[] = { Q_PENDING, Q_RUNNING };
	struct buf text = { 0 };

	buf_addf(&text, "runner %s was deleted", rec_text(runner, "name"));
	for (size_t i = 0; i < ARRAY_LEN(queues); i++) {
		const struct rec *j = store_queue(&s->store, queues[i], rec_text(runner, "id"));

		/* What was to be forgotten in any case is. */
		for (; j; j = store_queue_next(j))
			job_end(s, ch, j,
			        rec_is(j, "action", "force-delete") ? NULL : buf_cstr(&text));
	}
	buf_free(&text);
}

void h_job_cancel(struct call *c)
{
	const struct rec *job = store_find(&c->s->store, K_JOB, "id", c->param[0]);
	struct buf text = { 0 }, b = { 0 };
	struct err e = { 0 };

	if (c->key_type != KEY_CLIENT) {
		reply_error(c, 403, "failed to cancel job: only a client's key may");
	} else if (!job) {
		reply_error(c, 404, "failed to cancel job: job not found");
	} else if (!job_can_cancel(c->s, job, &text)) {
		reply_error(c, 409, "failed to cancel job: %s", buf_cstr(&text));
	} else {
		struct change *ch = change_begin(&c->s->store);

		buf_addf(&text, "canceled by %s", rec_text(c->key, "name"));
		if (rec_is(job, "state", "running"))
			buf_adds(&text, "; its runner is away, what it had begun may be there");
		job_end(c->s, ch, job, buf_cstr(&text));
		if (change_commit(ch, &e) < 0) {
			reply_error(c, error_status(&e), "failed to cancel job: %s", e.msg);
		} else {
			view_job(&b, job);
			reply_json(c, 200, &b);
		}
	}
	buf_free(&text);
}
