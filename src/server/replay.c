/* SPDX-License-Identifier: Apache-2.0 */
/* See replay.h. */
#include "server/replay.h"

#include "base/json_check.h"
#include "base/json_skim.h"
#include "net/tls.h"

#include <stdlib.h>

#define HASH_DIGITS 16

static void forget(struct store *s, struct rec *r)
{
	disk_forget(s, r);
	index_remove(s->index, r);
	rec_free(r);
}

/* Takes draft over. */
void replay_put(struct store *s, struct rec *draft, unsigned segment, uint32_t bytes)
{
	enum kind kind = (enum kind)draft->kind;
	struct rec *r = index_find(s->index, kind, kind_id(kind), rec_text(draft, kind_id(kind)));

	if (r && r->seq == draft->seq) {
		index_update(s->index, r, draft);
		rec_free(draft);
	} else {
		if (r)
			forget(s, r);
		r = draft;
		index_insert(s->index, r);
	}
	disk_placed(s, r, segment, bytes);
}

static bool put(struct store *s, enum kind kind, struct str rec, unsigned segment, uint32_t bytes)
{
	struct rec *draft = rec_new((int)kind);

	if (!rec_read_all(draft, rec) || !rec_get(draft, kind_id(kind))) {
		rec_free(draft);
		return false;
	}
	replay_put(s, draft, segment, bytes);
	return true;
}

/* beat: what a heartbeat set; .p NULL: it is stored no more. */
static bool on_stored(struct store *s, enum kind kind, struct str id, struct str beat)
{
	struct buf text = { 0 };
	struct rec *r;

	if (!id.p)
		return false;
	json_unescape(id, &text);
	r = index_find(s->index, kind, kind_id(kind), buf_cstr(&text));
	buf_free(&text);
	if (r && beat.p)
		rec_take_some(r, beat, "md");
	else if (r)
		forget(s, r);
	return true;
}

/* A verb names the kind that it is about. */
static bool is_verb(struct str key, const char *verb, struct str value, enum kind *kind)
{
	struct str dir = json_skim_string(value);

	return str_eq(key, verb) && dir.p && kind_of_dir(dir, kind);
}

/* Walks op to its end. */
static bool replay_op(struct store *s, struct json_skim *op, unsigned segment)
{
	static const char *const verbs[] = { "put", "beat", "remove" };
	const char *from = op->p - 1;
	struct str key, value, id = { 0 }, rec = { 0 };
	enum kind kind = K_N;
	size_t verb = ARRAY_LEN(verbs);

	while (json_skim_next(op, &key, &value)) {
		if (str_eq(key, "rec"))
			rec = value;
		else if (str_eq(key, "id"))
			id = json_skim_string(value);
		for (size_t i = 0; i < verb; i++)
			if (is_verb(key, verbs[i], value, &kind))
				verb = i;
	}
	switch (verb) {
	case 0:
		return rec.p && put(s, kind, rec, segment, (uint32_t)(op->p + 1 - from));
	case 1:
		return rec.p && on_stored(s, kind, id, rec);
	case 2:
		return on_stored(s, kind, id, (struct str){ 0 });
	default:
		return false;
	}
}

bool replay_is_whole(struct str line)
{
	unsigned char hash[32];
	struct buf hex = { 0 };
	bool ok = false;

	if (line.n > HASH_DIGITS + 1 && line.p[HASH_DIGITS] == ' ') {
		crypto_sha256(line.p + HASH_DIGITS + 1, line.n - HASH_DIGITS - 1, hash);
		buf_add_hex(&hex, hash, HASH_DIGITS / 2);
		ok = memcmp(hex.p, line.p, HASH_DIGITS) == 0;
		buf_free(&hex);
	}
	return ok;
}

bool replay_line(struct store *s, struct str line, unsigned segment)
{
	struct err e = { 0 };
	struct str text, key, rest;
	struct json_skim k, op;
	size_t values;
	bool ok, all = true;

	if (!replay_is_whole(line))
		return false;
	text = (struct str){ line.p + HASH_DIGITS + 1, line.n - HASH_DIGITS - 1 };
	if (json_check(text, NULL, &values, &e) < 0)
		return false;
	k = json_skim(text);
	ok = k.end > k.p && !k.object;
	while (ok && json_skim_into(&k, &op)) {
		all = replay_op(s, &op, segment) && all;
		json_skim_out(&k, &op);
	}
	return ok && all && !json_skim_next(&k, &key, &rest);
}
