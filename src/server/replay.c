/* SPDX-License-Identifier: Apache-2.0 */
/* See replay.h. */
#include "server/replay.h"

#include "base/mem.h"
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

static bool put(struct store *s, enum kind kind, struct json op, unsigned segment)
{
	struct rec *draft = rec_new((int)kind);

	if (!rec_read_all(draft, json_get(op, "rec")) || !rec_get(draft, kind_id(kind))) {
		rec_free(draft);
		return false;
	}
	replay_put(s, draft, segment, (uint32_t)json_raw(op).n);
	return true;
}

static bool on_stored(struct store *s, enum kind kind, struct json op, bool beat)
{
	char *id = json_dup(json_get(op, "id"));
	struct rec *r = id ? index_find(s->index, kind, kind_id(kind), id) : NULL;
	bool ok = id != NULL;

	free(id);
	if (r && beat)
		rec_take_some(r, json_get(op, "rec"), "md");
	else if (r)
		forget(s, r);
	return ok;
}

static bool replay_op(struct store *s, struct json op, unsigned segment)
{
	static const char *const verbs[] = { "put", "beat", "remove" };
	enum kind kind;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		char *dir = json_dup(json_get(op, verbs[i]));
		bool known = dir && kind_of_dir(str_of(dir), &kind);

		free(dir);
		if (known)
			return i == 0 ? put(s, kind, op, segment) : on_stored(s, kind, op, i == 1);
	}
	return false;
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
	struct json_doc *doc = NULL;
	bool ok = replay_is_whole(line);

	if (ok)
		doc = json_parse((struct str){ line.p + HASH_DIGITS + 1, line.n - HASH_DIGITS - 1 },
		                 SIZE_MAX, &e);
	ok = json_is_array(json_root(doc));
	for (struct json op = json_first(json_root(doc)); json_present(op); op = json_next(op))
		ok = replay_op(s, op, segment) && ok;
	json_doc_free(doc);
	return ok;
}
