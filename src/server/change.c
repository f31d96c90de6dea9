/* SPDX-License-Identifier: Apache-2.0 */
/* See change.h. */
#include "server/change.h"

#include "base/jsonw.h"
#include "base/mem.h"
#include "server/disk.h"

#include <assert.h>
#include <stdlib.h>

struct part {
	const struct rec *old; /* NULL: draft is new */
	struct rec *draft;     /* NULL: old is to go */
	uint32_t bytes;        /* of draft in the log */
};

struct change {
	struct store *s;
	struct part *parts;
	size_t n;
};

struct change *change_begin(struct store *s)
{
	struct change *ch = mem_alloc(sizeof(*ch));

	ch->s = s;
	return ch;
}

void change_drop(struct change *ch)
{
	if (!ch)
		return;
	for (size_t i = 0; i < ch->n; i++)
		rec_free(ch->parts[i].draft);
	free(ch->parts);
	free(ch);
}

static struct part *part_of(struct change *ch, const struct rec *r)
{
	for (size_t i = 0; i < ch->n; i++)
		if (ch->parts[i].old == r)
			return &ch->parts[i];
	return NULL;
}

static struct rec *add_part(struct change *ch, const struct rec *old, struct rec *draft)
{
	ch->parts = mem_realloc(ch->parts, (ch->n + 1) * sizeof(*ch->parts));
	ch->parts[ch->n++] = (struct part){ old, draft, 0 };
	return draft;
}

struct rec *change_add(struct change *ch, enum kind kind)
{
	struct rec *r = rec_new((int)kind);

	r->seq = store_next_number(ch->s);
	return add_part(ch, NULL, r);
}

struct rec *change_edit(struct change *ch, const struct rec *r)
{
	struct part *p = part_of(ch, r);

	assert(!p || p->draft); /* it is to be removed */
	return p ? p->draft : add_part(ch, r, rec_copy(r));
}

void change_remove(struct change *ch, const struct rec *r)
{
	struct part *p = part_of(ch, r);

	if (!p) {
		add_part(ch, r, NULL);
	} else {
		rec_free(p->draft);
		p->draft = NULL;
	}
}

/* The stored record itself. */
static struct rec *stored(const struct change *ch, const struct rec *r)
{
	enum kind kind = (enum kind)r->kind;

	return index_find(ch->s->index, kind, kind_id(kind), rec_text(r, kind_id(kind)));
}

static bool removes(const struct change *ch, const struct rec *r)
{
	for (size_t i = 0; i < ch->n; i++)
		if (ch->parts[i].old == r && !ch->parts[i].draft)
			return true;
	return false;
}

/* One file belongs to one record: ids are unique and never change. */
static int check(const struct change *ch, struct err *e)
{
	for (size_t i = 0; i < ch->n; i++) {
		const struct part *p = &ch->parts[i];
		const struct rec *there = p->draft ? stored(ch, p->draft) : NULL;

		if (p->old && stored(ch, p->old) != p->old)
			return err_set(e, ERR_NOT_FOUND, 0, "it has been removed");
		if (p->draft && there != p->old && !removes(ch, there))
			return err_set(e, ERR_EXISTS, 0, "%s %s exists already",
			               kind_dir((enum kind)p->draft->kind),
			               rec_text(p->draft, kind_id((enum kind)p->draft->kind)));
		if (p->draft && !rec_get(p->draft, kind_id((enum kind)p->draft->kind)))
			return err_set(e, ERR_OTHER, 0, "a record without an id");
	}
	return 0;
}

static void write_line(struct change *ch, struct buf *line)
{
	jw_arr(line);
	/* Removals come first: an id may be given anew in the same change. */
	for (size_t i = 0; i < ch->n; i++)
		if (!ch->parts[i].draft)
			disk_remove(line, ch->parts[i].old);
	for (size_t i = 0; i < ch->n; i++)
		if (ch->parts[i].draft)
			ch->parts[i].bytes = disk_put(line, ch->parts[i].draft);
	jw_arr_end(line);
}

/* Returns what is stored now; NULL when it was removed. The draft of an edit is used up. */
static struct rec *publish(struct change *ch, struct part *p)
{
	struct index *index = ch->s->index;
	struct rec *r;

	if (!p->old) {
		r = p->draft;
		index_insert(index, r);
	} else {
		r = stored(ch, p->old);
		if (p->draft) {
			index_update(index, r, p->draft);
			rec_free(p->draft);
		} else {
			disk_forget(ch->s, r);
			index_remove(index, r);
			rec_free(r);
			r = NULL;
		}
	}
	p->draft = NULL;
	return r;
}

static void publish_all(struct change *ch, bool durable)
{
	struct rec **now = mem_array(ch->n, sizeof(struct rec *));
	size_t n = 0;

	for (size_t i = 0; i < ch->n; i++) {
		if (ch->parts[i].draft)
			continue;
		publish(ch, &ch->parts[i]);
		ch->parts[i].old = NULL;
	}
	for (size_t i = 0; i < ch->n; i++) {
		if (!ch->parts[i].draft)
			continue;
		now[n] = publish(ch, &ch->parts[i]);
		now[n]->beaten = !durable;
		if (durable)
			disk_placed(ch->s, now[n], ch->s->disk->last, ch->parts[i].bytes);
		n++;
	}
	for (size_t i = 0; ch->s->published && i < n; i++)
		ch->s->published(ch->s->arg, now[i]);
	free(now);
}

/* "add workspaces w1": each part in words; a key by what it is for. */
static void tell(const struct change *ch)
{
	struct buf did = { 0 };

	jw_arr(&did);
	for (size_t i = 0; i < ch->n; i++) {
		const struct part *p = &ch->parts[i];
		const struct rec *r = p->draft ? p->draft : p->old;
		enum kind kind = (enum kind)r->kind;
		struct buf one = { 0 };

		buf_addf(&one, "%s %s ",
		         !p->old    ? "add"
		         : p->draft ? "change"
		                    : "remove",
		         kind_dir(kind));
		if (kind == K_KEY)
			buf_addf(&one, "%s/%s", rec_text(r, "type"), rec_text(r, "name"));
		else
			buf_adds(&one, rec_text(r, kind_id(kind)));
		jw_str(&did, buf_str(&one));
		buf_free(&one);
	}
	jw_arr_end(&did);
	ch->s->committed(ch->s->arg, buf_str(&did));
	buf_free(&did);
}

int change_commit(struct change *ch, struct err *e)
{
	struct buf line = { 0 };
	int rc = check(ch, e);

	if (rc == 0 && ch->n) {
		write_line(ch, &line);
		rc = disk_append(ch->s, buf_str(&line), e);
	}
	if (rc < 0) {
		err_wrap(e, "not saved");
	} else {
		if (ch->n && ch->s->committed)
			tell(ch);
		publish_all(ch, true);
		disk_tidy(ch->s, line.n);
	}
	buf_wipe(&line);
	change_drop(ch);
	return rc;
}

void change_beat(struct change *ch)
{
	struct err e = { 0 };
	bool ok = check(ch, &e) == 0;

	for (size_t i = 0; ok && i < ch->n; i++) {
		const struct part *p = &ch->parts[i];

		ok = p->old && p->draft && !rec_differ_beyond(p->old, p->draft, "md");
	}
	assert(ok);
	if (ok)
		publish_all(ch, false);
	change_drop(ch);
}
