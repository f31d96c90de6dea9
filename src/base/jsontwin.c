/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h: members that occur twice. */
#include "base/json.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct key {
	uint32_t hash;
	struct json member;
};

static char lower(char c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static void read_key(struct json member, bool fold, struct buf *out)
{
	buf_reset(out);
	json_key(member, out);
	for (size_t i = 0; i < out->n; i++)
		out->p[i] = lower(out->p[i], fold);
}

static int by_hash(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	return (x->hash > y->hash) - (x->hash < y->hash);
}

bool json_twin(struct json obj, bool fold, struct buf *name)
{
	struct buf one = { 0 }, other = { 0 };
	size_t n = json_is_object(obj) ? json_len(obj) : 0, at = 0;
	struct key *keys = mem_array(n, sizeof(*keys));
	bool found = false;

	for (struct json member = json_first(obj); n && json_present(member);
	     member = json_next(member)) {
		read_key(member, fold, &one);
		keys[at++] = (struct key){ str_hash(buf_str(&one)), member };
	}
	qsort(keys, at, sizeof(*keys), by_hash);
	for (size_t i = 0; i < at && !found; i++) {
		for (size_t k = i + 1; k < at && keys[k].hash == keys[i].hash && !found; k++) {
			read_key(keys[i].member, fold, &one);
			read_key(keys[k].member, fold, &other);
			found = one.n == other.n && (!one.n || memcmp(one.p, other.p, one.n) == 0);
		}
	}
	if (found)
		buf_add_printable(name, buf_str(&one), false);
	buf_free(&one);
	buf_free(&other);
	free(keys);
	return found;
}

bool json_any_twin(struct json v, struct buf *name)
{
	if (json_twin(v, false, name))
		return true;
	for (struct json member = json_first(v); json_present(member); member = json_next(member)) {
		if (json_any_twin(member, name))
			return true;
	}
	return false;
}
