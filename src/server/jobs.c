/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: creation, the long poll, state reports (protocol 1.1, 3.3, 3.4). A poll waits without
 * looking: whoever makes a job pending wakes it.
 */
#include "server/srv.h"

#include "base/jsonw.h"
#include "base/log.h"
#include "base/mem.h"

/* Finished jobs beyond this many are forgotten, oldest first. */
#define FINISHED_KEPT 500

struct waiter {
	struct waiter *next;
	struct srv *s;
	struct httpd_req *r;
	char *runner_id;
	struct deadline until;
};

static bool is_open(const struct rec *job)
{
	return rec_is(job, "state", "pending") || rec_is(job, "state", "running");
}

static bool is_for(const struct rec *job, const char *type, const char *resource_id)
{
	return rec_is(job, "resourceId", resource_id) && rec_is(job, "resourceType", type);
}

bool job_in_progress(const struct srv *s, const char *type, const char *resource_id)
{
	for (const struct rec *j = s->store.first[K_JOB]; j; j = j->next)
		if (is_for(j, type, resource_id) && is_open(j))
			return true;
	return false;
}

static const char *type_of(const struct rec *r)
{
	return r->kind == K_WORKSPACE ? "workspace" : r->kind == K_TARGET ? "target" : "build";
}

const struct rec *job_last(const struct srv *s, const struct rec *r)
{
	const struct rec *last = NULL;
	int64_t newest = 0;

	for (const struct rec *j = s->store.first[K_JOB]; j; j = j->next) {
		int64_t linked = rec_int(j, "linked");

		if (linked > newest && j->seq > r->seq &&
		    is_for(j, type_of(r), rec_text(r, "id"))) {
			newest = linked;
			last = j;
		}
	}
	return last;
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

static struct rec *resource_of(const struct srv *s, const struct rec *job)
{
	enum kind kind;

	if (!kind_of(rec_text(job, "resourceType"), &kind))
		return NULL;
	return store_find(&s->store, kind, "id", rec_text(job, "resourceId"));
}

/* Forgets one old job when there are too many: with its resource when that is deleted, but never
 * the one that tells the state of a living resource. */
static void prune(struct srv *s)
{
	size_t finished = 0;
	struct err e = { 0 };

	for (struct rec *j = s->store.first[K_JOB]; j; j = j->next)
		finished += !is_open(j);
	if (finished <= FINISHED_KEPT)
		return;
	for (struct rec *j = s->store.first[K_JOB]; j; j = j->next) {
		struct rec *r = resource_of(s, j);
		bool last = r && job_last(s, r) == j;

		if (is_open(j) || (last && !is_deleted(s, r)))
			continue;
		if (last)
			logs_remove(s, rec_text(j, "resourceType"), rec_text(r, "id"));
		if ((last && store_remove(&s->store, r, &e) < 0) ||
		    store_remove(&s->store, j, &e) < 0)
			log_warn("server: %s", e.msg);
		return;
	}
}

static bool is_offered(const struct rec *job, const char *runner_id)
{
	const char *owner = rec_get(job, "runnerId");

	return rec_is(job, "state", "pending") &&
	       (!owner || !owner[0] || strcmp(owner, runner_id) == 0);
}

/* Answers with the pending jobs; false when there are none. */
static bool answer_jobs(struct call *c, const char *runner_id)
{
	struct buf b = { 0 };
	size_t n = 0;

	jw_arr(&b);
	for (const struct rec *j = c->s->store.first[K_JOB]; j; j = j->next) {
		if (is_offered(j, runner_id)) {
			view_job(&b, j);
			n++;
		}
	}
	jw_arr_end(&b);
	if (n)
		reply_json(c, 200, &b);
	buf_free(&b);
	return n > 0;
}

static void waiter_free(struct waiter *w)
{
	struct waiter **at = &w->s->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w->runner_id);
	free(w);
}

static void waiter_gone(struct httpd_req *r)
{
	waiter_free(r->user);
}

static void wake(struct srv *s)
{
	for (struct waiter *w = s->waiters, *next; w; w = next) {
		struct call c = { .s = s, .r = w->r };

		next = w->next;
		if (answer_jobs(&c, w->runner_id))
			waiter_free(w);
	}
}

void jobs_poll(struct srv *s, struct pollset *ps)
{
	for (const struct waiter *w = s->waiters; w; w = w->next)
		pollset_until(ps, w->until);
}

void jobs_step(struct srv *s)
{
	for (struct waiter *w = s->waiters, *next; w; w = next) {
		struct call c = { .s = s, .r = w->r };
		struct buf nothing = { 0 };

		next = w->next;
		if (!deadline_passed(w->until))
			continue;
		reply_json(&c, 204, &nothing);
		waiter_free(w);
	}
}

int job_create(struct srv *s, const char *type, const char *resource_id, const char *runner_id,
               const char *action, const char *metadata, struct err *e)
{
	char id[ID_SIZE], now[STAMP_SIZE];
	struct rec *j;

	if (job_in_progress(s, type, resource_id))
		return err_set(e, ERR_BUSY, 0, "another job is in progress");
	if (new_id(id, e) < 0)
		return -1;
	stamp_now(now);
	j = store_add(&s->store, K_JOB);
	rec_set(j, "id", id);
	rec_set(j, "resourceId", resource_id);
	rec_set(j, "runnerId", runner_id);
	rec_set(j, "resourceType", type);
	rec_set(j, "state", "pending");
	rec_set(j, "action", action);
	rec_set(j, "metadata", metadata);
	rec_set(j, "error", NULL);
	rec_set(j, "createdAt", now);
	rec_set(j, "updatedAt", now);
	rec_set_int(j, "linked", 0);
	if (store_save(&s->store, j, e) < 0)
		return -1;
	wake(s);
	prune(s);
	return 0;
}

void h_runner_jobs(struct call *c)
{
	struct waiter *w;

	if (answer_jobs(c, c->param[0]))
		return;
	w = mem_alloc(sizeof(*w));
	w->s = c->s;
	w->r = c->r;
	w->runner_id = mem_dup(c->param[0]);
	w->until = deadline_in_ms(c->s->opt.poll_ms);
	w->next = c->s->waiters;
	c->s->waiters = w;
	c->r->user = w;
	c->r->gone = waiter_gone;
}

static int set_state(struct srv *s, struct rec *job, const char *state, const char *error,
                     struct err *e)
{
	enum kind kind;
	char now[STAMP_SIZE];

	if (rec_is(job, "state", state))
		return err_set(e, ERR_EXISTS, 0, "job is already in the specified state");
	if (kind_of(rec_text(job, "resourceType"), &kind) && !resource_of(s, job))
		return err_set(e, ERR_NOT_FOUND, 0, "%s not found", rec_text(job, "resourceType"));
	stamp_now(now);
	rec_set(job, "state", state);
	rec_set(job, "error", error);
	rec_set(job, "updatedAt", now);
	/* One file says both the state and that this is now the resource's last job. */
	rec_set_int(job, "linked", s->store.next_seq++);
	return store_save(&s->store, job, e);
}

void h_runner_job_state(struct call *c)
{
	struct json body;
	struct err e = { 0 };

	if (!call_body(c, &dto_job_state, &body))
		return;
	struct rec *job = store_find(&c->s->store, K_JOB, "id", c->param[1]);

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

	if (set_state(c->s, job, state, error, &e) < 0) {
		reply_error(c, 500, "failed to update job state: %s", e.msg);
	} else {
		reply_empty(c, 200);
		if (strcmp(state, "pending") == 0)
			wake(c->s);
	}
	free(state);
	free(error);
}

/* True if the parameter is missing, or one of its values is value. */
static bool query_allows(struct str query, const char *name, const char *value)
{
	struct str piece;
	bool asked = false, found = false;

	while (str_next(&query, '&', &piece)) {
		struct buf v = { 0 };

		if (httpd_query_get(piece, name, &v)) {
			asked = true;
			found = found || str_eq(buf_str(&v), value);
		}
		buf_free(&v);
	}
	return !asked || found;
}

void h_job_list(struct call *c)
{
	struct buf b = { 0 }, id = { 0 }, type = { 0 };

	call_query(c, "resourceId", &id);
	call_query(c, "resourceType", &type);
	jw_arr(&b);
	for (const struct rec *j = c->s->store.first[K_JOB]; j; j = j->next) {
		if ((!id.n || rec_is(j, "resourceId", buf_cstr(&id))) &&
		    (!type.n || rec_is(j, "resourceType", buf_cstr(&type))) &&
		    query_allows(c->r->query, "states", rec_text(j, "state")) &&
		    query_allows(c->r->query, "actions", rec_text(j, "action")))
			view_job(&b, j);
	}
	jw_arr_end(&b);
	reply_json(c, 200, &b);
	buf_free(&id);
	buf_free(&type);
}
