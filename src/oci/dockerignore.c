/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of .dockerignore as Docker reads them: '*' '?' '[…]' for characters, "**" for any number of
 * components, '\' quotes, '!' keeps. A pattern is a small automaton whose states are followed all at once,
 * so a match costs pattern times path and no more, whoever wrote them.
 */
#include "oci/dockerignore.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_CHARS_MAX 1024

enum kind {
	ONE,      /* the character c */
	ANY,      /* '?': one, but no slash */
	CLASS,    /* '[…]' at text: one of it; "[^/]" is no slash either way, as in Docker */
	STAR,     /* '*': any number, but no slash */
	DEEP,     /* "**" before more: nothing, or whatever ends in a slash */
	DEEP_IN,  /* … within that */
	REST,     /* "**" at the end: whatever there is */
	NONE,     /* no character */
	ACCEPTED, /* the end of the pattern */
};

struct token {
	enum kind kind;
	uint32_t c;
	struct str text;
};

/* The character at the front of *s, which loses it; a byte that is none counts as itself, apart from all others. */
static uint32_t take_char(struct str *s)
{
	static const unsigned char mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	int len = str_utf8_len(s->p, s->n);
	uint32_t c = (unsigned char)s->p[0];

	if (len > 1) {
		c &= mask[len];
		for (int i = 1; i < len; i++)
			c = c << 6 | ((unsigned char)s->p[i] & 0x3f);
	} else if (c >= 0x80) {
		c |= 0x80000000U;
	}
	len = len > 1 ? len : 1;
	*s = (struct str){ s->p + len, s->n - (size_t)len };
	return c;
}

/* What stands behind a backslash. Docker leaves that to Go's regular expressions: a mark stands for itself; a letter never
 * does, it is a class or a place, with which no file is named ("src\bin"), or an error ("src\lib"). */
static bool take_quoted(struct str *s, struct token *t)
{
	if (!s->n || (unsigned char)*s->p >= 0x80)
		return false;
	t->kind = isalnum((unsigned char)*s->p) ? NONE : ONE;
	if (t->kind == NONE && !strchr("abfnrtvdDsSwWABzQ", *s->p))
		return false;
	t->c = take_char(s);
	return true;
}

/* One end of a range. False: Docker would not take it. */
static bool take_end(struct str *s, uint32_t *c)
{
	if (!s->n || *s->p == '-' || *s->p == ']')
		return false;
	if (*s->p == '\\') {
		struct token t;

		*s = (struct str){ s->p + 1, s->n - 1 };
		if (!take_quoted(s, &t) || t.kind == NONE)
			return false;
		*c = t.c;
		return true;
	}
	*c = take_char(s);
	return true;
}

/* What follows a '[': cut from *s, with its ']'. False when it is malformed. found: whether c is in it. */
static bool take_class(struct str *s, uint32_t c, bool *found)
{
	bool negated = s->n && *s->p == '^';

	*found = false;
	if (negated)
		*s = (struct str){ s->p + 1, s->n - 1 };
	for (bool first = true; first || !s->n || *s->p != ']'; first = false) {
		uint32_t low, high;

		if (!take_end(s, &low))
			return false;
		high = low;
		if (s->n && *s->p == '-') {
			*s = (struct str){ s->p + 1, s->n - 1 };
			if (!take_end(s, &high) || high < low)
				return false;
		}
		*found |= c >= low && c <= high;
	}
	*s = (struct str){ s->p + 1, s->n - 1 };
	*found = *found != negated;
	return true;
}

/* The tokens of pattern, an ACCEPTED behind them; their number, or 0 when it is malformed or too long. */
static size_t compile(const char *pattern, struct token t[PATTERN_CHARS_MAX + 2])
{
	struct str s = str_of(pattern);
	size_t n = 0;

	while (s.n) {
		bool ignored;

		if (n >= PATTERN_CHARS_MAX)
			return 0;
		if (str_starts(s, "**")) {
			size_t skip = s.n > 2 && s.p[2] == '/' ? 3 : 2;

			s = (struct str){ s.p + skip, s.n - skip };
			if (s.n)
				t[n++].kind = DEEP;
			t[n++].kind = s.n ? DEEP_IN : REST;
			continue;
		}
		t[n] = (struct token){ .text = s };
		t[n].c = take_char(&s);
		t[n].kind = t[n].c == '*'   ? STAR
		            : t[n].c == '?' ? ANY
		            : t[n].c == '[' ? CLASS
		                            : ONE;
		if (t[n].kind == CLASS) {
			t[n].text = s;
			if (!take_class(&s, 0, &ignored))
				return 0;
		} else if (t[n].c == '\\') {
			if (!take_quoted(&s, &t[n]))
				return 0;
		}
		n++;
	}
	t[n++].kind = ACCEPTED;
	return n;
}

/* Steps that need no character, from each state to later ones. */
static void spread(const struct token *t, size_t n, bool *at)
{
	for (size_t i = 0; i + 1 < n; i++) {
		if (!at[i])
			continue;
		if (t[i].kind == STAR)
			at[i + 1] = true;
		else if (t[i].kind == DEEP)
			at[i + 2] = true;
		else if (t[i].kind == REST)
			at[n - 1] = true;
	}
}

static void step(const struct token *t, size_t n, const bool *at, uint32_t c, bool *next)
{
	memset(next, 0, n * sizeof(*next));
	for (size_t i = 0; i + 1 < n; i++) {
		struct str text = t[i].text;
		bool hit = false;

		if (!at[i])
			continue;
		switch (t[i].kind) {
		case ONE:
			next[i + 1] |= c == t[i].c;
			break;
		case ANY:
			next[i + 1] |= c != '/';
			break;
		case CLASS:
			next[i + 1] |= take_class(&text, c, &hit) && hit;
			break;
		case STAR:
			next[i] |= c != '/';
			break;
		case DEEP:
			next[i + 1] = true;
			next[i + 2] |= c == '/';
			break;
		case DEEP_IN:
			next[i] = true;
			next[i + 1] |= c == '/';
			break;
		case REST:
			next[i] = true;
			break;
		case NONE:
		case ACCEPTED:
			break;
		}
	}
	spread(t, n, next);
}

/* Whether path matches, or, with above, a directory above it. */
static bool match(const char *pattern, struct str path, bool above)
{
	struct token t[PATTERN_CHARS_MAX + 2];
	bool states[2][PATTERN_CHARS_MAX + 2] = { { true } };
	struct str s = path;
	size_t n = compile(pattern, t);
	bool *at = states[0], *next = states[1];

	if (!n)
		return false;
	spread(t, n, at);
	while (s.n) {
		bool *old = at;

		step(t, n, at, take_char(&s), next);
		at = next;
		next = old;
		if ((!s.n || (above && *s.p == '/')) && at[n - 1])
			return true;
	}
	return false;
}

/* As Go's filepath.Clean, a leading slash cut, and blanks that this brought to an end: "" for what names nothing in the
 * context. */
static void clean(struct str line, struct buf *pattern)
{
	bool rooted = line.n && *line.p == '/';
	struct buf path = { 0 };

	if (path_add(&path, line) || rooted) /* "../x" is outside */
		buf_add_str(pattern, str_trim(buf_str(&path)));
	buf_free(&path);
}

int dockerignore_parse(struct dockerignore *d, struct str text, struct err *e)
{
	struct token *t = mem_alloc((PATTERN_CHARS_MAX + 2) * sizeof(*t));
	struct str line;
	int rc = 0;

	if (str_starts(text, "\xef\xbb\xbf"))
		text = (struct str){ text.p + 3, text.n - 3 };
	for (unsigned number = 1; rc == 0 && str_next(&text, '\n', &line); number++) {
		struct buf pattern = { 0 }, raw = { 0 };
		struct str whole = str_trim(line);
		bool keep;

		if (line.n && *line.p == '#')
			continue;
		line = whole;
		keep = line.n && *line.p == '!';
		if (keep)
			line = str_trim((struct str){ line.p + 1, line.n - 1 });
		if (!whole.n)
			continue;
		buf_add_str(&raw, line);
		clean(line, &pattern);
		if (!line.n || memchr(line.p, '\0', line.n) ||
		    !compile(buf_cstr(pattern.n ? &pattern : &raw), t)) {
			buf_reset(&pattern);
			buf_add_printable(&pattern, whole, false);
			rc = err_set(e, ERR_PARSE, 0, "line %u: \"%.100s\" is no pattern", number,
			             buf_cstr(&pattern));
		} else if (pattern.n && d->n == DOCKERIGNORE_PATTERNS_MAX) {
			rc = err_set(e, ERR_LIMIT, 0, "line %u: there are more than %d patterns",
			             number, DOCKERIGNORE_PATTERNS_MAX);
		} else if (pattern.n) {
			d->list = mem_realloc(d->list, (d->n + 1) * sizeof(*d->list));
			d->list[d->n].pattern = buf_take(&pattern);
			d->list[d->n++].keep = keep;
			d->has_keep |= keep;
		}
		buf_free(&pattern);
		buf_free(&raw);
	}
	free(t);
	return rc;
}

void dockerignore_free(struct dockerignore *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].pattern);
	free(d->list);
	*d = (struct dockerignore){ 0 };
}

/* What matches a directory holds for all in it; a pattern that would change nothing is not looked at, there neither. */
bool dockerignore_match(const struct dockerignore *d, const char *path)
{
	bool *matched = mem_array(d->n, sizeof(*matched));
	struct str s = { path, 0 };
	bool out = false;

	for (bool end = false; !end; s.n++) {
		s.n += strcspn(path + s.n, "/");
		end = !path[s.n];
		if (!end && !d->has_keep)
			continue; /* the patterns find it themselves */
		out = false;
		for (size_t i = 0; i < d->n; i++) {
			if (!matched[i] && out == d->list[i].keep)
				matched[i] = match(d->list[i].pattern, s, !d->has_keep);
			out = matched[i] ? !d->list[i].keep : out;
		}
	}
	free(matched);
	return out;
}
