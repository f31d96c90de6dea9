/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: creation, state reports, what becomes of finished ones (protocol 1.1, 3.3, 3.4). Runners
 * learn of them in polls.c.
 */
#include "server/audit.h"
#include "server/builds.h"
#include "server/polls.h"
#include "server/role.h"
#include "server/tunnels.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>

/* Finished jobs that tell nothing any more are forgotten, oldest first, when there are more than
 * this, of one resource or of all, or when they are older. What is never among them: the last job of
 * a resource that is there. docs/server.md says so. */
#define PAST_KEPT 5000
#define PAST_KEPT_OF_ONE 20
#define PAST_DAYS 30
#define PRUNE_AT_ONCE 200
#define AGE_EVERY_MS (60 * 60 * 1000)
#define RUNNERS_HEARD_MS 30000 /* a heartbeat that is older counts for nothing */
#define PRUNE_AGAIN_MS 10000   /* when the disk is full */

bool job_is_open(const struct rec *job)
{
	return rec_is(job, "state", "pending") || rec_is(job, "state", "running");
}

static const struct rec *first_of(const struct srv *s, const char *resource_id)
{
	return store_find(&s->store, K_JOB, "resourceId", resource_id);
}

static const struct rec *next_of(const struct srv *s, const struct rec *job)
{
	return store_find_next(&s->store, job, "resourceId");
}

bool job_in_progress(const struct srv *s, const char *type, const char *resource_id)
{
	for (const struct rec *j = first_of(s, resource_id); j; j = next_of(s, j))
		if (rec_is(j, "resourceType", type) && job_is_open(j))
			return true;
	return false;
}

static const char *type_of(const struct rec *r)
{
	return rec_kind(r) == K_WORKSPACE ? "workspace"
	       : rec_kind(r) == K_TARGET  ? "target"
	                                  : "build";
}

/* past: also among those that are said to tell nothing any more. */
static const struct rec *last_of(const struct srv *s, const struct rec *r, bool past)
{
	const struct rec *last = NULL;
	int64_t newest = 0;

	for (const struct rec *j = first_of(s, rec_text(r, "id")); j; j = next_of(s, j)) {
		int64_t linked = past || !store_is_past(j) ? rec_int(j, "linked") : 0;

		if (linked > newest && rec_seq(j) > rec_seq(r) &&
		    rec_is(j, "resourceType", type_of(r))) {
			newest = linked;
			last = j;
		}
	}
	return last;
}

const struct rec *job_last(const struct srv *s, const struct rec *r)
{
	const struct rec *last = last_of(s, r, false);

	return last ? last : last_of(s, r, true); /* of what is deleted, all are past */
}

static bool kind_of(const char *type, enum kind *kind)
{
	static const struct {
		const char *type;
		enum kind kind;
	} kinds[] = { { "workspace", K_WORKSPACE }, { "target", K_TARGET }, { "build", K_BUILD } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].type, type) == 0) {
			*kind = kinds[i].kind;
			return true;
		}
	}
	return false; /* a runner's: it has no last job */
}

static const struct rec *resource_of(const struct srv *s, const struct rec *job)
{
	enum kind kind;

	if (!kind_of(rec_text(job, "resourceType"), &kind))
		return NULL;
	return store_find(&s->store, kind, "id", rec_text(job, "resourceId"));
}

/* Which jobs of a resource are past: the finished ones, but for the one that tells its state. */
static void sort_out(struct srv *s, const char *type, const char *resource_id,
                     const struct rec *resource)
{
	const struct rec *last = resource ? job_last(s, resource) : NULL;
	bool deleted = resource && is_deleted(s, resource);

	for (const struct rec *j = first_of(s, resource_id); j; j = next_of(s, j))
		if (rec_is(j, "resourceType", type))
			store_set_past(&s->store, j, !job_is_open(j) && (j != last || deleted));
}

static void published(void *arg, const struct rec *r)
{
	struct srv *s = arg;

	if (rec_kind(r) != K_JOB)
		return;
	store_set_past(&s->store, r, false); /* till it is known which is the last */
	if (rec_int(r, "linked") > 0)
		sort_out(s, rec_text(r, "resourceType"), rec_text(r, "resourceId"),
		         resource_of(s, r));
	if (rec_is(r, "state", "pending"))
		polls_wake(s->polls, rec_text(r, "runnerId"));
}

static void begin(struct srv *s)
{
	static const enum kind kinds[] = { K_TARGET, K_WORKSPACE, K_BUILD };

	for (const struct rec *j = store_first(&s->store, K_JOB); j; j = store_next(j))
		store_set_past(&s->store, j, !job_is_open(j));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct rec *r = store_first(&s->store, kinds[i]);

		for (; r; r = store_next(r)) {
			const struct rec *last = last_of(s, r, true);

			if (last && !is_deleted(s, r))
				store_set_past(&s->store, last, false);
			else if (!first_of(s, rec_text(r, "id")))
				log_warn("server: %s %s has no job: its file may have been "
				         "damaged; it stays as it is, and can be deleted",
				         type_of(r), rec_text(r, "id"));
		}
	}
}

static bool is_old(const struct rec *job)
{
	int64_t at;

	return time_parse_rfc3339(rec_text(job, "updatedAt"), &at) &&
	       clock_wall_ms() - at > PAST_DAYS * 24ll * 60 * 60 * 1000;
}

/* Forgets past jobs that are too many or too old, with their resource when that is deleted. */
static void prune(struct srv *s)
{
	struct change *ch = change_begin(&s->store);
	const struct rec *j = store_queue(&s->store, Q_PAST, "");
	size_t past = store_count_past(&s->store), n = 0;
	struct err e = { 0 };

	for (; j && n < PRUNE_AT_ONCE && (past - n > PAST_KEPT || is_old(j)); n++) {
		const struct rec *r = resource_of(s, j);

		if (r && job_last(s, r) == j) {
			logs_remove(s, rec_text(j, "resourceType"), rec_text(r, "id"));
			change_remove(ch, r);
		}
		change_remove(ch, j);
		j = store_queue_next(j);
	}
	if (n < PRUNE_AT_ONCE)
		s->age_at = deadline_in_ms(AGE_EVERY_MS);
	if (change_commit(ch, &e) == 0)
		return;
	log_warn("server: old jobs cannot be forgotten: %s", e.msg);
	s->prune_at = deadline_in_ms(PRUNE_AGAIN_MS);
}

static bool can_prune(const struct srv *s)
{
	return store_count_past(&s->store) > PAST_KEPT || deadline_passed(s->age_at);
}

void jobs_poll(struct srv *s, struct pollset *ps)
{
	polls_poll(s->polls, ps);
	tunnels_poll(s->tunnels, ps);
	pollset_until(ps, can_prune(s) ? s->prune_at : s->age_at);
}

void jobs_step(struct srv *s)
{
	polls_step(s->polls);
	tunnels_step(s->tunnels);
	if (can_prune(s) && deadline_passed(s->prune_at))
		prune(s);
}

/* A resource that gets a job gives up its oldest past ones: what is done with one costs the same
 * however long it has been there. */
static void trim(struct srv *s, struct change *ch, const char *type, const char *resource_id)
{
	size_t past = 0;

	for (const struct rec *j = first_of(s, resource_id); j; j = next_of(s, j))
		past += rec_is(j, "resourceType", type) && store_is_past(j);
	for (const struct rec *j = first_of(s, resource_id); j && past >= PAST_KEPT_OF_ONE;
	     j = next_of(s, j)) {
		if (rec_is(j, "resourceType", type) && store_is_past(j)) {
			change_remove(ch, j);
			past--;
		}
	}
}

static struct rec *new_job(struct srv *s, struct change *ch, const char *type,
                           const char *resource_id, const char *runner_id, const char *action,
                           struct err *e)
{
	char id[ID_SIZE], now[STAMP_SIZE];
	struct rec *j;

	if (new_id(id, e) < 0)
		return NULL;
	trim(s, ch, type, resource_id);
	stamp_now(now);
	j = change_add(ch, K_JOB);
	rec_set(j, "id", id);
	rec_set(j, "resourceId", resource_id);
	rec_set(j, "runnerId", runner_id);
	rec_set(j, "resourceType", type);
	rec_set(j, "state", "pending");
	rec_set(j, "action", action);
	rec_set(j, "metadata", NULL);
	rec_set(j, "error", NULL);
	rec_set(j, "createdAt", now);
	rec_set(j, "updatedAt", now);
	rec_set_int(j, "linked", 0);
	return j;
}

int job_add(struct srv *s, struct change *ch, const char *type, const char *resource_id,
            const char *runner_id, const char *action, const char *metadata, struct err *e)
{
	struct rec *j;

	/* A forced deletion has ended what was open, in this same change. */
	if (strcmp(action, "force-delete") != 0 && job_in_progress(s, type, resource_id))
		return err_set(e, ERR_BUSY, 0, "another job is in progress");
	if (strcmp(action, "force-delete") == 0 && jobs_sweep(s, ch, type, resource_id, e) < 0)
		return -1;
	j = new_job(s, ch, type, resource_id, runner_id, action, e);
	if (j)
		rec_set(j, "metadata", metadata);
	return j ? 0 : -1;
}

int job_add_done(struct srv *s, struct change *ch, const char *type, const char *resource_id,
                 const char *runner_id, const char *action, struct err *e)
{
	struct rec *j;

	if (jobs_sweep(s, ch, type, resource_id, e) < 0)
		return -1;
	j = new_job(s, ch, type, resource_id, runner_id, action, e);
	if (!j)
		return -1;
	rec_set(j, "state", "success");
	rec_set_int(j, "linked", store_next_number(&s->store));
	return 0;
}

int job_create(struct srv *s, const char *type, const char *resource_id, const char *runner_id,
               const char *action, const char *metadata, struct err *e)
{
	struct change *ch = change_begin(&s->store);

	if (job_add(s, ch, type, resource_id, runner_id, action, metadata, e) == 0)
		return change_commit(ch, e);
	change_drop(ch);
	return -1;
}

static int set_state(struct srv *s, const struct rec *job, const char *runner_id, const char *state,
                     const char *error, struct err *e)
{
	struct change *ch;
	struct rec *draft;
	enum kind kind;
	char now[STAMP_SIZE];

	if (rec_is(job, "state", state))
		return err_set(e, ERR_EXISTS, 0, "job is already in the specified state");
	if (kind_of(rec_text(job, "resourceType"), &kind) && !resource_of(s, job))
		return err_set(e, ERR_NOT_FOUND, 0, "%s not found", rec_text(job, "resourceType"));
	if (rec_bool(job, "canceled")) {
		if (strcmp(state, "pending") == 0 || strcmp(state, "running") == 0)
			return err_set(e, ERR_CANCELED, 0, "job was canceled");
		log_info("server: %s of job %s comes after it was canceled: not counted", state,
		         rec_text(job, "id"));
		return 0;
	}
	stamp_now(now);
	ch = change_begin(&s->store);
	draft = change_edit(ch, job);
	rec_set(draft, "state", state);
	rec_set(draft, "error", error);
	if (strcmp(state, "running") == 0)
		rec_set(draft, "claimedBy", runner_id);
	rec_set(draft, "updatedAt", now);
	/* One file says both the state and that this is now the resource's last job. */
	rec_set_int(draft, "linked", store_next_number(&s->store));
	return change_commit(ch, e);
}

/* A build's job is offered to all runners, but then it is the one's that claimed it. */
static bool is_anothers(const struct call *c, const struct rec *job, const char *state)
{
	const char *claimed = rec_get(job, "claimedBy");
	bool again = rec_is(job, "state", state);

	if (c->s->opt.reference_keys || rec_has(job, "runnerId") || again)
		return false;
	return claimed && !rec_is(job, "state", "pending") && strcmp(claimed, c->param[0]) != 0;
}

void h_runner_job_state(struct call *c)
{
	struct json body;
	struct err e = { 0 };

	if (!call_body(c, &dto_job_state, &body))
		return;
	const struct rec *job = store_find(&c->s->store, K_JOB, "id", c->param[1]);

	if (!job) {
		reply_error(c, 500, "failed to get job: job not found");
		return;
	}
	const char *owner = rec_get(job, "runnerId");
	if (owner && strcmp(owner, c->param[0]) != 0) {
		reply_error(c, 401, "job does not belong to runner");
		return;
	}
	char *state = json_dup_or_empty(json_get(body, "state"));
	char *error = json_dup(json_get(body, "errorMessage"));

	if (is_anothers(c, job, state))
		reply_error(c, 500, "failed to update job state: another runner has the job");
	else if (set_state(c->s, job, c->param[0], state, error, &e) < 0)
		reply_error(c, error_status(&e), "failed to update job state: %s", e.msg);
	else {
		/* A prebuild has one more image or failure, and gives up its oldest. */
		if (rec_is(job, "resourceType", "build") && rec_is(job, "action", "run") &&
		    !job_is_open(job))
			prebuild_retain(c->s, rec_text(resource_of(c->s, job), "prebuildId"));
		reply_empty(c, 200);
	}
	free(state);
	free(error);
}

int srv_open(struct srv *s, const char *data, struct err *e)
{
	if (store_open(&s->store, data, e) < 0)
		return -1;
	s->store.committed = audit_committed;
	s->store.arg = s;
	begin(s);
	s->settled = deadline_in_ms(RUNNERS_HEARD_MS);
	s->polls = polls_new(s, jobs_answer, SIZE_MAX);
	s->tunnels = tunnels_new(s);
	s->store.published = published;
	return 0;
}

void srv_close(struct srv *s)
{
	store_close(&s->store);
	polls_free(s->polls);
	s->polls = NULL;
	tunnels_free(s->tunnels);
	s->tunnels = NULL;
}

/* The values of a parameter that may be given several times; n 0: it is missing. */
struct values {
	struct buf text; /* each with its NUL */
	size_t n;
};

static void values_of(struct str query, const char *name, struct values *v)
{
	struct str piece;

	while (str_next(&query, '&', &piece)) {
		struct buf one = { 0 };

		if (httpd_query_get(piece, name, &one)) {
			buf_add(&v->text, buf_cstr(&one), strlen(buf_cstr(&one)) + 1);
			v->n++;
		}
		buf_free(&one);
	}
}

static bool allows(const struct values *v, const char *value)
{
	const char *p = v->text.p;

	for (size_t i = 0; i < v->n; i++, p += strlen(p) + 1)
		if (strcmp(p, value) == 0)
			return true;
	return v->n == 0;
}

struct wanted {
	struct buf resource_id, resource_type;
	struct values states, actions;
};

static bool is_wanted(const struct call *c, const struct rec *j, const struct wanted *w)
{
	return (!w->resource_type.n || rec_is(j, "resourceType", buf_cstr(&w->resource_type))) &&
	       allows(&w->states, rec_text(j, "state")) &&
	       allows(&w->actions, rec_text(j, "action")) && role_owns(c, j);
}

/* Of a few states, so that all others cost nothing: the next of each is a cursor. */
#define STATES_MAX 8

static void list_states(struct call *c, struct buf *b, const struct wanted *w)
{
	const struct rec *next[STATES_MAX];
	const char *p = w->states.text.p;

	for (size_t i = 0; i < w->states.n; i++, p += strlen(p) + 1)
		next[i] = store_find(&c->s->store, K_JOB, "state", p);
	for (;;) {
		const struct rec *j = NULL;

		for (size_t i = 0; i < w->states.n; i++)
			if (next[i] && (!j || rec_seq(next[i]) < rec_seq(j)))
				j = next[i];
		if (!j)
			return;
		/* The same state may have been asked for twice. */
		for (size_t i = 0; i < w->states.n; i++)
			if (next[i] == j)
				next[i] = store_find_next(&c->s->store, j, "state");
		if (is_wanted(c, j, w))
			view_job(b, j);
	}
}

/* b NULL: none is shown. Returns how many there are; the first skip of them are left out. */
static size_t list_jobs(struct call *c, struct buf *b, const struct wanted *w, size_t skip)
{
	bool one = w->resource_id.n > 0;
	const struct rec *j = one ? first_of(c->s, buf_cstr(&w->resource_id))
	                          : store_first(&c->s->store, K_JOB);
	size_t n = 0;

	for (; j; j = one ? next_of(c->s, j) : store_next(j))
		if (is_wanted(c, j, w) && n++ >= skip && b)
			view_job(b, j);
	return n;
}

/* ?limit=N, which the reference does not have: the newest ones. What is no number is no limit. */
static void list_newest(struct call *c, struct buf *b, const struct wanted *w)
{
	struct buf limit = { 0 };
	int64_t max = 0;
	size_t n, skip = 0;

	call_query(c, "limit", &limit);
	if (limit.n && str_to_i64(buf_str(&limit), 1, INT32_MAX, &max)) {
		n = list_jobs(c, NULL, w, 0);
		skip = n > (size_t)max ? n - (size_t)max : 0;
	}
	list_jobs(c, b, w, skip);
	buf_free(&limit);
}

void h_job_list(struct call *c)
{
	struct wanted w = { 0 };
	struct buf b = { 0 };

	call_query(c, "resourceId", &w.resource_id);
	call_query(c, "resourceType", &w.resource_type);
	values_of(c->r->query, "states", &w.states);
	values_of(c->r->query, "actions", &w.actions);
	jw_arr(&b);
	if (!w.resource_id.n && w.states.n && w.states.n <= STATES_MAX)
		list_states(c, &b, &w);
	else
		list_newest(c, &b, &w);
	jw_arr_end(&b);
	reply_json(c, 200, &b);
	buf_free(&w.resource_id);
	buf_free(&w.resource_type);
	buf_free(&w.states.text);
	buf_free(&w.actions.text);
}
