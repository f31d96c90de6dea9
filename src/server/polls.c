/* SPDX-License-Identifier: Apache-2.0 */
/* See polls.h; protocol 3.3. All polls last equally long: the first in the list is the first to end. */
#include "server/polls.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdlib.h>

#define BUCKETS 256

struct waiter {
	struct waiter *prev, *next;   /* in order of arrival */
	struct waiter *above, *below; /* in its bucket */
	struct srv *s;
	struct httpd_req *r;
	char *runner_id;
	struct deadline until;
};

struct polls {
	struct waiter *first, *last;
	struct waiter *buckets[BUCKETS];
};

struct polls *polls_new(void)
{
	return mem_alloc(sizeof(struct polls));
}

void polls_free(struct polls *p)
{
	free(p);
}

size_t polls_waiting(const struct polls *p)
{
	size_t n = 0;

	for (const struct waiter *w = p->first; w; w = w->next)
		n++;
	return n;
}

static struct waiter **bucket(struct polls *p, const char *runner_id)
{
	unsigned h = 5381;

	for (const char *c = runner_id; *c; c++)
		h = h * 33 + (unsigned char)*c;
	return &p->buckets[h % BUCKETS];
}

/* The older of a runner's next pending job and the next of nobody's. */
static const struct rec *older(const struct rec *a, const struct rec *b)
{
	return !b || (a && rec_seq(a) < rec_seq(b)) ? a : b;
}

/* Answers with the pending jobs; false when there are none. */
static bool answer_jobs(struct call *c, const char *runner_id)
{
	const struct rec *own = store_queue(&c->s->store, Q_PENDING, runner_id);
	const struct rec *free_ones = store_queue(&c->s->store, Q_PENDING, "");
	struct buf b = { 0 };

	if (!own && !free_ones)
		return false;
	jw_arr(&b);
	while (own || free_ones) {
		const struct rec *j = older(own, free_ones);

		view_job(&b, j);
		if (j == own)
			own = store_queue_next(own);
		else
			free_ones = store_queue_next(free_ones);
	}
	jw_arr_end(&b);
	reply_json(c, 200, &b);
	return true;
}

static void waiter_free(struct waiter *w)
{
	struct polls *p = w->s->polls;

	*(w->prev ? &w->prev->next : &p->first) = w->next;
	*(w->next ? &w->next->prev : &p->last) = w->prev;
	*(w->above ? &w->above->below : bucket(p, w->runner_id)) = w->below;
	if (w->below)
		w->below->above = w->above;
	free(w->runner_id);
	free(w);
}

static void waiter_gone(struct httpd_req *r)
{
	waiter_free(r->user);
}

static void answer(struct waiter *w)
{
	struct call c = { .s = w->s, .r = w->r };

	if (answer_jobs(&c, w->runner_id))
		waiter_free(w);
}

void polls_wake(struct srv *s, const char *runner_id)
{
	bool all = !runner_id[0];
	struct waiter *w = all ? s->polls->first : *bucket(s->polls, runner_id), *next;

	for (; w; w = next) {
		next = all ? w->next : w->below;
		if (all || strcmp(w->runner_id, runner_id) == 0)
			answer(w);
	}
}

void polls_poll(struct srv *s, struct pollset *ps)
{
	if (s->polls->first)
		pollset_until(ps, s->polls->first->until);
}

void polls_step(struct srv *s)
{
	while (s->polls->first && deadline_passed(s->polls->first->until)) {
		struct waiter *w = s->polls->first;
		struct call c = { .s = s, .r = w->r };
		struct buf nothing = { 0 };

		reply_json(&c, 204, &nothing);
		waiter_free(w);
	}
}

void h_runner_jobs(struct call *c)
{
	struct polls *p = c->s->polls;
	struct waiter *w, **in = bucket(p, c->param[0]);

	if (answer_jobs(c, c->param[0]))
		return;
	w = mem_alloc(sizeof(*w));
	w->s = c->s;
	w->r = c->r;
	w->runner_id = mem_dup(c->param[0]);
	w->until = deadline_in_ms(c->s->opt.poll_ms);
	w->prev = p->last;
	*(p->last ? &p->last->next : &p->first) = w;
	p->last = w;
	w->below = *in;
	if (w->below)
		w->below->above = w;
	*in = w;
	c->r->user = w;
	c->r->gone = waiter_gone;
}
