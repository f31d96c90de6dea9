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
	struct polls *p;
	struct httpd_req *r;
	char *key;
	struct deadline until;
};

struct polls {
	struct srv *s;
	polls_answer *answer;
	size_t max;
	struct waiter *first, *last;
	struct waiter *buckets[BUCKETS];
};

struct polls *polls_new(struct srv *s, polls_answer *answer, size_t max)
{
	struct polls *p = mem_alloc(sizeof(*p));

	p->s = s;
	p->answer = answer;
	p->max = max;
	return p;
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

static struct waiter **bucket(struct polls *p, const char *key)
{
	unsigned h = 5381;

	for (const char *c = key; *c; c++)
		h = h * 33 + (unsigned char)*c;
	return &p->buckets[h % BUCKETS];
}

/* The older of a runner's next pending job and the next of nobody's. */
static const struct rec *older(const struct rec *a, const struct rec *b)
{
	return !b || (a && rec_seq(a) < rec_seq(b)) ? a : b;
}

bool jobs_answer(struct call *c, const char *runner_id)
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
	struct polls *p = w->p;

	*(w->prev ? &w->prev->next : &p->first) = w->next;
	*(w->next ? &w->next->prev : &p->last) = w->prev;
	*(w->above ? &w->above->below : bucket(p, w->key)) = w->below;
	if (w->below)
		w->below->above = w->above;
	free(w->key);
	free(w);
}

static void waiter_gone(struct httpd_req *r)
{
	waiter_free(r->user);
}

static void answer(struct waiter *w)
{
	struct call c = { .s = w->p->s, .r = w->r };

	if (w->p->answer(&c, w->key))
		waiter_free(w);
}

/* Nothing has come. */
static void let_go(struct waiter *w)
{
	struct call c = { .s = w->p->s, .r = w->r };
	struct buf nothing = { 0 };

	reply_json(&c, 204, &nothing);
	waiter_free(w);
}

void polls_wake(struct polls *p, const char *key)
{
	bool all = !key[0];
	struct waiter *w = all ? p->first : *bucket(p, key), *next;

	for (; w; w = next) {
		next = all ? w->next : w->below;
		if (all || strcmp(w->key, key) == 0)
			answer(w);
	}
}

void polls_poll(const struct polls *p, struct pollset *ps)
{
	if (p->first)
		pollset_until(ps, p->first->until);
}

void polls_release(struct polls *p)
{
	while (p->first)
		let_go(p->first);
}

void polls_step(struct polls *p)
{
	while (p->first && deadline_passed(p->first->until))
		let_go(p->first);
}

/* A bucket has the newest on top. */
static void make_room(struct polls *p, const char *key)
{
	struct waiter *oldest = NULL;
	size_t n = 0;

	for (struct waiter *w = *bucket(p, key); w; w = w->below)
		if (strcmp(w->key, key) == 0) {
			oldest = w;
			n++;
		}
	if (oldest && n >= p->max)
		let_go(oldest);
}

void polls_wait(struct polls *p, struct call *c, const char *key)
{
	struct waiter *w, **in = bucket(p, key);

	if (p->answer(c, key))
		return;
	make_room(p, key);
	w = mem_alloc(sizeof(*w));
	w->p = p;
	w->r = c->r;
	w->key = mem_dup(key);
	w->until = deadline_in_ms(c->s->restarting ? 0 : c->s->opt.poll_ms);
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

void h_runner_jobs(struct call *c)
{
	polls_wait(c->s->polls, c, c->param[0]);
}
