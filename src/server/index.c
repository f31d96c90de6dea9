/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See index.h. One hash table holds the groups of all kinds and fields: a group is the records
 * with the same value, in order of creation. Keys are given by clients: the hash is seeded.
 */
#include "server/index.h"

#include "base/mem.h"
#include "net/tls.h"

#include <assert.h>
#include <stdlib.h>

#define QUEUE_INDEX 2 /* of jobs */

static const struct {
	const char *dir, *fields[REC_INDEXES]; /* the first names the file */
} kinds[K_N] = {
	[K_KEY] = { "keys", { "hash", "name", "type" } },
	[K_RUNNER] = { "runners", { "id", "name" } },
	[K_JOB] = { "jobs", { "id", "resourceId", "", "state" } },
	[K_CONFIG] = { "target-configs", { "id", "name" } },
	[K_TARGET] = { "targets", { "id", "name", "default" } },
	[K_WORKSPACE] = { "workspaces", { "id", "name", "targetId" } },
	[K_BUILD] = { "builds", { "id", "prebuildId" } },
	[K_TEMPLATE] = { "templates", { "name", "repositoryUrl" } },
	[K_GIT] = { "git", { "id", "alias" } },
	[K_ENV] = { "env", { "key" } },
	[K_PREBUILD] = { "prebuilds", { "id", "workspaceTemplateName" } },
	[K_HOOK] = { "hooks", { "id", "repositoryUrl" } },
};

struct group {
	struct group *chain;
	struct rec *first, *last;
	uint64_t hash;
};

struct key {
	enum kind kind;
	int index;
	int queue; /* enum queue, in a job's third index */
	const char *text;
};

const char *kind_dir(enum kind kind)
{
	return kinds[kind].dir;
}

const char *kind_id(enum kind kind)
{
	return kinds[kind].fields[0];
}

bool kind_of_dir(struct str dir, enum kind *kind)
{
	for (int k = 0; k < K_N; k++) {
		if (str_eq(dir, kinds[k].dir)) {
			*kind = (enum kind)k;
			return true;
		}
	}
	return false;
}

/* Where r stands in one index; false: not in it. */
static bool key_of(const struct rec *r, int index, struct key *key)
{
	*key = (struct key){ .kind = (enum kind)r->kind, .index = index };
	if (r->kind == K_JOB && index == QUEUE_INDEX) {
		bool pending = rec_is(r, "state", "pending");

		key->queue = pending                         ? Q_PENDING
		             : rec_is(r, "state", "running") ? Q_RUNNING
		                                             : Q_PAST;
		key->text = key->queue == Q_PAST ? "" : rec_text(r, "runnerId");
		return key->queue != Q_PAST || r->past;
	}
	key->text = kinds[r->kind].fields[index] ? rec_value(r, kinds[r->kind].fields[index])
	                                         : NULL;
	return key->text != NULL;
}

static uint64_t hash_of(const struct index *index, const struct key *key)
{
	/* FNV-1a, begun at a secret place and stirred at the end (splitmix64). */
	uint64_t h = index->seed ^ (((uint64_t)key->kind << 8) + ((uint64_t)key->index << 4) +
	                            (uint64_t)key->queue);

	for (const char *p = key->text; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

static bool same(const struct group *group, uint64_t hash, const struct key *key)
{
	struct key have;

	return group->hash == hash && group->first->kind == (int)key->kind &&
	       group->first->link[key->index].group == group &&
	       key_of(group->first, key->index, &have) && have.queue == key->queue &&
	       strcmp(have.text, key->text) == 0;
}

static struct group **place(struct index *index, uint64_t hash, const struct key *key)
{
	struct group **at = &index->buckets[hash & (index->n_buckets - 1)];

	index->work++;
	while (*at && !same(*at, hash, key)) {
		at = &(*at)->chain;
		index->work++;
	}
	return at;
}

static void grow(struct index *index)
{
	size_t n = 2 * index->n_buckets;
	struct group **bigger = mem_array(n, sizeof(struct group *));

	for (size_t i = 0; i < index->n_buckets; i++) {
		for (struct group *group = index->buckets[i], *chain; group; group = chain) {
			chain = group->chain;
			group->chain = bigger[group->hash & (n - 1)];
			bigger[group->hash & (n - 1)] = group;
		}
	}
	free(index->buckets);
	index->buckets = bigger;
	index->n_buckets = n;
}

static void link_in(struct index *index, struct rec *r, int i)
{
	struct key key;
	struct link *l = &r->link[i];

	if (!key_of(r, i, &key))
		return;
	uint64_t hash = hash_of(index, &key);
	struct group **at = place(index, hash, &key), *g = *at;

	if (!g) {
		g = mem_alloc(sizeof(*g));
		g->hash = hash;
		*at = g;
		index->n_groups++;
	}
	/* Nearly always the newest of its group. */
	struct rec *before = g->last;

	for (; before && before->seq > r->seq; before = before->link[i].prev)
		index->work++;
	l->group = g;
	l->prev = before;
	l->next = before ? before->link[i].next : g->first;
	*(l->prev ? &l->prev->link[i].next : &g->first) = r;
	*(l->next ? &l->next->link[i].prev : &g->last) = r;
	index->past += key.queue == Q_PAST;
	if (index->n_groups > index->n_buckets)
		grow(index);
}

/* Called while r still has the value that it is indexed by. */
static void link_out(struct index *index, struct rec *r, int i)
{
	struct link *l = &r->link[i];
	struct group *group = l->group, **at;
	struct key key;

	if (!group)
		return;
	if (key_of(r, i, &key))
		index->past -= key.queue == Q_PAST;
	if (group->first == r && group->last == r) {
		at = &index->buckets[group->hash & (index->n_buckets - 1)];
		while (*at != group)
			at = &(*at)->chain;
		*at = group->chain;
		free(group);
		index->n_groups--;
	} else {
		*(l->prev ? &l->prev->link[i].next : &group->first) = l->next;
		*(l->next ? &l->next->link[i].prev : &group->last) = l->prev;
	}
	*l = (struct link){ 0 };
}

struct index *index_new(struct err *e)
{
	struct index *index = mem_alloc(sizeof(*index));

	if (crypto_random(&index->seed, sizeof(index->seed), e) < 0) {
		free(index);
		return NULL;
	}
	index->n_buckets = 256;
	index->buckets = mem_array(index->n_buckets, sizeof(struct group *));
	index->next_seq = 1;
	return index;
}

void index_free(struct index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->n_buckets; i++) {
		for (struct group *group = index->buckets[i], *chain; group; group = chain) {
			chain = group->chain;
			free(group);
		}
	}
	for (int k = 0; k < K_N; k++) {
		for (struct rec *r = index->first[k], *next; r; r = next) {
			next = r->next;
			rec_free(r);
		}
	}
	free(index->buckets);
	free(index);
}

static void count_numbers(struct index *index, const struct rec *r)
{
	int64_t linked = rec_int(r, "linked");

	if (r->seq >= index->next_seq)
		index->next_seq = r->seq + 1;
	if (linked >= index->next_seq)
		index->next_seq = linked + 1;
}

void index_insert(struct index *index, struct rec *r)
{
	struct rec *before = index->last[r->kind];

	for (; before && before->seq > r->seq && !index->loading; before = before->prev)
		index->work++;
	r->prev = before;
	r->next = before ? before->next : index->first[r->kind];
	*(r->prev ? &r->prev->next : &index->first[r->kind]) = r;
	*(r->next ? &r->next->prev : &index->last[r->kind]) = r;
	for (int i = 0; i < (index->loading ? 1 : REC_INDEXES); i++)
		link_in(index, r, i);
	count_numbers(index, r);
}

static int by_seq(const void *a, const void *b)
{
	const struct rec *x = *(struct rec *const *)a, *y = *(struct rec *const *)b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static void sort_kind(struct index *index, int kind)
{
	struct rec **all, *r;
	size_t n = 0, i = 0;

	for (r = index->first[kind]; r; r = r->next)
		n++;
	if (!n)
		return;
	all = mem_array(n, sizeof(struct rec *));
	for (r = index->first[kind]; r; r = r->next)
		all[i++] = r;
	qsort(all, n, sizeof(struct rec *), by_seq);
	index->first[kind] = all[0];
	index->last[kind] = all[n - 1];
	for (i = 0; i < n; i++) {
		all[i]->prev = i ? all[i - 1] : NULL;
		all[i]->next = i + 1 < n ? all[i + 1] : NULL;
		/* The first index names each once: its order does not matter. */
		for (int k = 1; k < REC_INDEXES; k++)
			link_in(index, all[i], k);
	}
	free(all);
}

void index_sort(struct index *index)
{
	index->loading = false;
	for (int k = 0; k < K_N; k++)
		sort_kind(index, k);
}

void index_remove(struct index *index, struct rec *r)
{
	for (int i = 0; i < REC_INDEXES; i++)
		link_out(index, r, i);
	*(r->prev ? &r->prev->next : &index->first[r->kind]) = r->next;
	*(r->next ? &r->next->prev : &index->last[r->kind]) = r->prev;
	r->prev = r->next = NULL;
}

void index_update(struct index *index, struct rec *r, struct rec *draft)
{
	bool moved[REC_INDEXES] = { false };

	for (int i = 0; i < (index->loading ? 0 : REC_INDEXES); i++) {
		struct key have, want;
		bool was = key_of(r, i, &have), is = key_of(draft, i, &want);

		moved[i] = was != is ||
		           (was && (have.queue != want.queue || strcmp(have.text, want.text) != 0));
		if (moved[i])
			link_out(index, r, i);
	}
	rec_swap(r, draft);
	for (int i = 0; i < REC_INDEXES; i++)
		if (moved[i])
			link_in(index, r, i);
	count_numbers(index, r);
}

static struct rec *first_of(struct index *index, const struct key *key)
{
	struct group *group = *place(index, hash_of(index, key), key);

	return group ? group->first : NULL;
}

static int field_index(enum kind kind, const char *field)
{
	for (int i = 0; i < REC_INDEXES && kinds[kind].fields[i]; i++)
		if (strcmp(kinds[kind].fields[i], field) == 0)
			return i;
	assert(0 && "a look-up by a field that has no index");
	return 0;
}

struct rec *index_find(struct index *index, enum kind kind, const char *field, const char *value)
{
	struct key key = { .kind = kind, .index = field_index(kind, field), .text = value };

	return first_of(index, &key);
}

const struct rec *store_find(const struct store *s, enum kind kind, const char *field,
                             const char *value)
{
	return index_find(s->index, kind, field, value);
}

const struct rec *store_find_next(const struct store *s, const struct rec *r, const char *field)
{
	s->index->work++;
	return r->link[field_index((enum kind)r->kind, field)].next;
}

const struct rec *store_find_any(const struct store *s, enum kind kind, const char *id_or_name)
{
	const struct rec *r = store_find(s, kind, "id", id_or_name);
	const char *second = kinds[kind].fields[1];

	if (!r && second && strcmp(second, "name") == 0)
		r = store_find(s, kind, "name", id_or_name);
	return r; /* builds have no name */
}

const struct rec *store_first(const struct store *s, enum kind kind)
{
	return s->index->first[kind];
}

const struct rec *store_next(const struct rec *r)
{
	return r->next;
}

const struct rec *store_queue(const struct store *s, enum queue q, const char *runner_id)
{
	struct key key = {
		.kind = K_JOB, .index = QUEUE_INDEX, .queue = (int)q, .text = runner_id
	};

	return first_of(s->index, &key);
}

const struct rec *store_queue_next(const struct rec *job)
{
	return job->link[QUEUE_INDEX].next;
}

size_t store_count_past(const struct store *s)
{
	return s->index->past;
}

bool store_is_past(const struct rec *job)
{
	return job->past;
}

void store_set_past(struct store *s, const struct rec *job, bool past)
{
	struct rec *r = index_find(s->index, K_JOB, "id", rec_text(job, "id"));

	if (!r || r->past == past)
		return;
	link_out(s->index, r, QUEUE_INDEX);
	r->past = past;
	link_in(s->index, r, QUEUE_INDEX);
}

uint64_t store_work(const struct store *s)
{
	return s->index->work;
}

int64_t store_next_number(struct store *s)
{
	return s->index->next_seq++;
}
