/* SPDX-License-Identifier: Apache-2.0 */
/* States, computed when they are read (protocol 1.2, 1.3). See srv.h. */
#include "server/srv.h"

#include "base/deadline.h"

#define STALE_MS 30000

static bool one_of(const char *word, const char *a, const char *b, const char *c)
{
	return strcmp(word, a) == 0 || (b && strcmp(word, b) == 0) || (c && strcmp(word, c) == 0);
}

static void set_name(struct state *st, const char *name, const char *updated)
{
	st->name = name;
	if (updated)
		snprintf(st->updated, sizeof(st->updated), "%s", updated);
	else
		stamp_now(st->updated);
}

static const char *running_name(const char *action)
{
	return one_of(action, "create", NULL, NULL)             ? "creating"
	       : one_of(action, "start", "restart", NULL)       ? "starting"
	       : one_of(action, "stop", NULL, NULL)             ? "stopping"
	       : one_of(action, "delete", "force-delete", NULL) ? "deleting"
	                                                        : "running";
}

static const char *success_name(const char *action)
{
	return one_of(action, "create", "start", "restart")     ? "started"
	       : one_of(action, "stop", NULL, NULL)             ? "stopped"
	       : one_of(action, "delete", "force-delete", NULL) ? "deleted"
	                                                        : "run-successful";
}

static void from_job(const struct rec *job, struct state *st)
{
	const char *state = job ? rec_text(job, "state") : "pending";
	const char *action = job ? rec_text(job, "action") : "";
	const char *updated = job ? rec_get(job, "updatedAt") : NULL;

	st->error = NULL;
	if (strcmp(state, "running") == 0) {
		set_name(st, running_name(action), updated);
	} else if (strcmp(state, "success") == 0) {
		set_name(st, success_name(action), updated);
	} else if (strcmp(state, "error") == 0) {
		set_name(st, "error", updated);
		st->error = rec_get(job, "error");
	} else if (strcmp(state, "pending") == 0) {
		set_name(st, "unresponsive", updated);
	} else {
		set_name(st, "undefined",
		         updated); /* the job has a state of somebody's invention */
	}
}

static bool is_stale(const char *updated)
{
	int64_t at;

	return updated && time_parse_rfc3339(updated, &at) && clock_wall_ms() - at > STALE_MS;
}

void state_of(const struct srv *s, const struct rec *r, struct state *st)
{
	const struct rec *config = NULL;
	const char *updated = rec_get(r, "mdUpdated");
	bool target = rec_kind(r) == K_TARGET;

	from_job(job_last(s, r), st);
	if (target)
		config = store_find(&s->store, K_CONFIG, "id", rec_text(r, "targetConfigId"));
	if (config && rec_bool(config, "agentless")) {
		if (!one_of(st->name, "creating", "error", "deleted")) {
			st->error = NULL;
			set_name(st, "undefined", NULL);
		}
	} else if (rec_kind(r) != K_BUILD && strcmp(st->name, "started") == 0 &&
	           is_stale(updated)) {
		set_name(st, "unresponsive", updated);
		st->error = target ? "Target is unresponsive" : "Workspace is unresponsive";
	}
}

void state_of_runner(const struct rec *r, struct state *st)
{
	const char *updated = rec_get(r, "mdUpdated");

	/* The reference presets the error and never clears it. */
	st->error = "Runner is unresponsive";
	if (!updated || rec_int(r, "mdUptime") == 0 || is_stale(updated))
		set_name(st, "unresponsive", updated);
	else
		set_name(st, "started", NULL);
}

bool is_deleted(const struct srv *s, const struct rec *r)
{
	const struct rec *job = job_last(s, r);

	return job && rec_is(job, "state", "success") &&
	       one_of(rec_text(job, "action"), "delete", "force-delete", NULL);
}

const struct rec *find_live(const struct srv *s, enum kind kind, const char *id_or_name,
                            bool *deleted)
{
	const struct rec *r = store_find_any(&s->store, kind, id_or_name);

	*deleted = r && is_deleted(s, r);
	return *deleted ? NULL : r;
}
