/* SPDX-License-Identifier: Apache-2.0 */
/* See mask.h. A byte of text is compared with the few patterns that begin with it. */
#include "base/mask.h"

#include "base/jsonw.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MIN 6
#define PATTERN_MAX 4096 /* bounds what a stream holds back */
#define USER_PART_MAX 8192

struct pattern {
	char *p;
	size_t n;
};

/* By their first byte. They grow: a secret that found no room would be shown. */
static struct patterns {
	struct pattern *v;
	size_t n, cap;
} set[256];

static struct patterns *beginning_with(char c)
{
	return &set[(unsigned char)c];
}

static bool known(const struct patterns *l, struct str s)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].n == s.n && memcmp(l->v[i].p, s.p, s.n) == 0)
			return true;
	}
	return false;
}

static void add_one(struct str s)
{
	struct patterns *l;

	if (s.n < PIECE_MIN)
		return;
	l = beginning_with(s.p[0]);
	if (known(l, s))
		return;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->v = mem_realloc(l->v, l->cap * sizeof(l->v[0]));
	}
	l->v[l->n++] = (struct pattern){ mem_dupn(s.p, s.n), s.n };
}

/* A long pattern is searched for as pieces; the last one overlaps, so that it is not too short. */
static void add_pattern(struct str s)
{
	while (s.n > PATTERN_MAX) {
		size_t n = s.n - PATTERN_MAX < PATTERN_MAX ? s.n - PATTERN_MAX : PATTERN_MAX;

		add_one((struct str){ s.p, PATTERN_MAX });
		s.p += n;
		s.n -= n;
	}
	add_one(s);
}

/* What of the base64 of any text with s in it depends on s alone, `before` bytes behind a group. */
static void add_base64(struct str s, size_t before, bool url_alphabet)
{
	static const size_t shared[] = { 0, 2, 3 };
	struct buf plain = { 0 }, coded = { 0 };
	struct str own;

	buf_add(&plain, "\0\0", before);
	buf_add_str(&plain, s);
	buf_add_base64(&coded, plain.p, plain.n, url_alphabet, false);
	own = buf_str(&coded);
	own.n = plain.n * 8 / 6;
	if (own.n > shared[before]) {
		own.p += shared[before];
		own.n -= shared[before];
		add_pattern(own);
	}
	buf_wipe(&plain);
	buf_wipe(&coded);
}

/* As encoding/json of Go writes it: also escapes what could matter inside HTML. */
static void add_html_safe(struct str json)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < json.n; i++) {
		if (json.p[i] == '<' || json.p[i] == '>' || json.p[i] == '&')
			buf_addf(&b, "\\u%04x", (unsigned char)json.p[i]);
		else
			buf_addc(&b, json.p[i]);
	}
	add_pattern(buf_str(&b));
	buf_wipe(&b);
}

static void add_json(struct str s)
{
	struct buf b = { 0 };
	struct str inside;

	jw_str(&b, s);
	inside = (struct str){ b.p + 1, b.n - 2 };
	add_pattern(inside);
	add_html_safe(inside);
	buf_wipe(&b);
}

static void add_url(struct str s)
{
	struct buf b = { 0 };

	buf_add_urlenc(&b, s);
	add_pattern(buf_str(&b));
	for (size_t i = 0; i < b.n; i++) { /* hexadecimal digits in lower case are as valid */
		if (b.p[i] != '%')
			continue;
		for (size_t k = 1; k <= 2; k++) {
			if (b.p[i + k] >= 'A')
				b.p[i + k] = (char)(b.p[i + k] | 0x20);
		}
	}
	add_pattern(buf_str(&b));
	buf_wipe(&b);
}

static void add_piece(struct str s)
{
	if (s.n < PIECE_MIN)
		return;
	add_pattern(s);
	add_json(s);
	add_url(s);
	for (size_t before = 0; before < 3; before++) {
		add_base64(s, before, false);
		add_base64(s, before, true);
	}
}

void mask_add(struct str secret)
{
	struct str line, whole = str_trim(secret);

	if (whole.n < PIECE_MIN)
		return;
	add_piece(whole);
	for (struct str rest = whole; str_next(&rest, '\n', &line);)
		add_piece(str_trim(line));
}

void mask_clear(void)
{
	for (size_t c = 0; c < ARRAY_LEN(set); c++) {
		for (size_t i = 0; i < set[c].n; i++) {
			mem_wipe(set[c].v[i].p, set[c].v[i].n);
			free(set[c].v[i].p);
		}
		free(set[c].v);
		set[c] = (struct patterns){ 0 };
	}
}

/* Length of the longest pattern at the start of s; *more when s ends inside a longer one. */
static size_t match(struct str s, bool *more)
{
	const struct patterns *l = beginning_with(s.p[0]);
	size_t longest = 0;

	*more = false;
	for (size_t i = 0; i < l->n; i++) {
		const struct pattern *p = &l->v[i];
		size_t n = p->n < s.n ? p->n : s.n;

		if (memcmp(p->p, s.p, n) != 0)
			continue;
		if (n < p->n)
			*more = true;
		else if (n > longest)
			longest = n;
	}
	return longest;
}

/* Length of the user part behind the "://" that s begins with; *more when s ends before that is sure. */
static size_t user_part(struct str s, bool *more)
{
	size_t i, at = 0;

	*more = s.n <= 3 ? memcmp(s.p, "://", s.n) == 0 : false;
	if (s.n <= 3 || memcmp(s.p, "://", 3) != 0)
		return 0;
	for (i = 3; i < s.n && i - 3 < USER_PART_MAX; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7F || strchr("/?#\"'<>\\`", c))
			return at ? at - 3 : 0;
		if (c == '@')
			at = i;
	}
	*more = i == s.n && i - 3 < USER_PART_MAX;
	return at ? at - 3 : 0;
}

struct scan {
	struct str s;
	size_t i;      /* what is before was dealt with */
	size_t hidden; /* up to here the text belongs to something that was replaced */
	struct buf *out;
};

static void hide(struct scan *c, size_t from, size_t n)
{
	if (from >= c->hidden)
		buf_adds(c->out, "***");
	if (from + n > c->hidden)
		c->hidden = from + n;
}

/* Deals with what begins at c->i; false if that can only be said when more of the text is there. */
static bool step(struct scan *c, bool final)
{
	struct str rest = { c->s.p + c->i, c->s.n - c->i };
	bool more;
	size_t n = match(rest, &more);

	if (more && !final)
		return false;
	if (n)
		hide(c, c->i, n);
	if (rest.p[0] == ':' && c->i >= c->hidden) {
		n = user_part(rest, &more);
		if (more && !final)
			return false;
		if (n) {
			buf_adds(c->out, "://");
			hide(c, c->i + 3, n);
			c->i += 3;
			return true;
		}
	}
	if (c->i >= c->hidden)
		buf_addc(c->out, rest.p[0]);
	c->i++;
	return true;
}

static bool can_begin(char c)
{
	return c == ':' || beginning_with(c)->n;
}

static void scan(struct scan *c, bool final)
{
	while (c->i < c->s.n) {
		size_t start = c->i > c->hidden ? c->i : c->hidden;
		size_t run;

		if (start > c->s.n)
			start = c->s.n;
		while (c->i < start && !can_begin(c->s.p[c->i]))
			c->i++;
		for (run = c->i; run < c->s.n && run >= start && !can_begin(c->s.p[run]);)
			run++;
		buf_add(c->out, c->s.p + c->i, run - c->i);
		c->i = run;
		if (c->i < c->s.n && !step(c, final))
			return;
	}
}

void mask_text(struct buf *out, struct str s)
{
	struct scan c = { .s = s, .out = out };

	scan(&c, true);
}

static void stream(struct mask_stream *mask, struct buf *out, bool final)
{
	struct scan c = { .s = buf_str(&mask->held), .hidden = mask->covered, .out = out };

	scan(&c, final);
	mask->covered = c.hidden > c.i ? c.hidden - c.i : 0;
	buf_drop(&mask->held, c.i);
}

void mask_stream_feed(struct mask_stream *mask, struct buf *out, struct str s)
{
	buf_add_str(&mask->held, s);
	stream(mask, out, false);
}

void mask_stream_end(struct mask_stream *mask, struct buf *out)
{
	stream(mask, out, true);
	buf_wipe(&mask->held);
	mask->covered = 0;
}

void mask_tail_add(struct mask_tail *t, struct str s)
{
	mask_stream_feed(&t->stream, &t->text, s);
	if (t->text.n > 4 * t->max) { /* white space at the end is not shown */
		buf_drop(&t->text, t->text.n - 2 * t->max);
		t->dropped = true;
	}
}

/* A cut leaves whole lines; of a single one whole characters. */
static struct str whole_lines(struct str s)
{
	const char *line = memchr(s.p, '\n', s.n);
	size_t skip = line ? (size_t)(line + 1 - s.p) : 0;

	while (!line && skip < s.n && ((unsigned char)s.p[skip] & 0xC0) == 0x80)
		skip++;
	return str_trim((struct str){ s.p + skip, s.n - skip });
}

struct str mask_tail_text(struct mask_tail *t)
{
	struct str s;

	mask_stream_end(&t->stream, &t->text);
	s = str_trim(buf_str(&t->text));
	if (s.n <= t->max)
		return t->dropped ? whole_lines(s) : s;
	if (s.p[s.n - t->max - 1] == '\n') /* cut where a line begins */
		return str_trim((struct str){ s.p + s.n - t->max, t->max });
	return whole_lines((struct str){ s.p + s.n - t->max, t->max });
}

void mask_tail_free(struct mask_tail *t)
{
	buf_wipe(&t->stream.held);
	buf_free(&t->text);
	t->stream.covered = 0;
}

void mask_head_add(struct mask_head *h, struct str s)
{
	if (h->text.n < h->max)
		mask_stream_feed(&h->stream, &h->text, s);
}

void mask_head_output(void *head, struct str s)
{
	mask_head_add(head, s);
}

struct str mask_head_text(struct mask_head *h)
{
	mask_stream_end(&h->stream, &h->text);
	buf_cut(&h->text, h->max);
	return str_trim(buf_str(&h->text));
}

void mask_head_free(struct mask_head *h)
{
	buf_wipe(&h->stream.held);
	buf_free(&h->text);
	h->stream.covered = 0;
}
