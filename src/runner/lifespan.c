/* SPDX-License-Identifier: Apache-2.0 */
/* See lifespan.h. */
#include "runner/lifespan.h"

#include "runner/pause.h"
#include "runner/tasks.h"

static bool too_old(const struct sup *s)
{
	return s->o->max_uptime_ms && clock_mono_ms() - s->start_ms >= s->o->max_uptime_ms;
}

size_t lifespan_room(const struct sup *s, size_t places)
{
	struct tasks_counts n = tasks_counts(s);
	uint64_t taken = n.begun + tasks_unbegun(s);
	uint64_t left;

	if (too_old(s))
		return 0;
	if (!s->o->jobs_max)
		return places;
	left = taken < (uint64_t)s->o->jobs_max ? (uint64_t)s->o->jobs_max - taken : 0;
	return left < places ? (size_t)left : places;
}

const char *lifespan_over(struct sup *s)
{
	struct tasks_counts n = tasks_counts(s);

	/* A paused runner idles because it was told to. */
	if (n.known || pause_is_on(s))
		s->idle_since_ms = clock_mono_ms();
	if (n.known || s->phase != PHASE_RUN)
		return NULL;
	if (s->o->jobs_max && n.begun >= (uint64_t)s->o->jobs_max)
		return "it has done its jobs (--jobs)";
	if (too_old(s))
		return "its time is over (--max-uptime)";
	if (s->o->idle_exit_ms && clock_mono_ms() - s->idle_since_ms >= s->o->idle_exit_ms)
		return "it has had no job for long enough (--idle-exit)";
	return NULL;
}

void lifespan_poll(const struct sup *s, struct pollset *ps)
{
	if (s->phase != PHASE_RUN || tasks_counts(s).known)
		return;
	if (s->o->max_uptime_ms)
		pollset_until(ps, (struct deadline){ s->start_ms + s->o->max_uptime_ms });
	if (s->o->idle_exit_ms && !pause_is_on(s))
		pollset_until(ps, (struct deadline){ s->idle_since_ms + s->o->idle_exit_ms });
}
