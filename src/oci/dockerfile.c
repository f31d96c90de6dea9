/* SPDX-License-Identifier: Apache-2.0 */
/* See dockerfile.h. */
#include "oci/dockerfile.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8 /* of variables in defaults of variables */
#define WORD_MAX (128u << 10)

const char *const dockerfile_words[DOCKERFILE_KINDS] = {
	"ADD",    "ARG",        "CMD",         "COPY",   "ENTRYPOINT", "ENV",
	"EXPOSE", "FROM",       "HEALTHCHECK", "LABEL",  "MAINTAINER", "RUN",
	"SHELL",  "STOPSIGNAL", "USER",        "VOLUME", "WORKDIR",
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* "# escape=`" before anything else; others are not ours. */
static void read_directive(struct dockerfile_lines *l, struct str line)
{
	struct str name;

	if (l->begun)
		return;
	line = str_trim((struct str){ line.p + 1, line.n - 1 });
	if (!memchr(line.p ? line.p : "", '=', line.n) || !str_next(&line, '=', &name))
		l->begun = true;
	line = str_trim(line);
	if (!l->begun && str_ieq(str_trim(name), "escape") && line.n == 1)
		l->escape = *line.p;
}

bool dockerfile_next(struct dockerfile_lines *l, struct buf *out)
{
	struct str line;

	buf_reset(out);
	l->comment = false;
	while (str_next(&l->rest, '\n', &line)) {
		bool more;

		l->next++;
		line = out->n ? line : str_trim(line);
		while (line.n && is_blank(line.p[line.n - 1]))
			line.n--;
		if (!str_trim(line).n) {
			l->begun = true;
			continue;
		}
		l->number = out->n ? l->number : l->next;
		if (*str_trim(line).p == '#') {
			if (out->n)
				continue;
			read_directive(l, line);
			buf_add_str(out, line);
			return l->comment = true;
		}
		l->begun = true;
		more = line.p[line.n - 1] == (l->escape ? l->escape : '\\');
		buf_add(out, line.p, line.n - more);
		if (!more)
			break;
	}
	return out->n > 0;
}

static int wrong(unsigned line, struct str text, enum err_kind kind, const char *why, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, text, false);
	err_set(e, kind, 0, "line %u: \"%.100s\" %s", line, buf_cstr(&b), why);
	buf_free(&b);
	return -1;
}

static int add(struct dockerfile *f, struct str line, unsigned number, struct err *e)
{
	struct str word = line, rest;
	size_t kind = 0;

	for (word.n = 0; word.n < line.n && !is_blank(line.p[word.n]);)
		word.n++;
	while (kind < DOCKERFILE_KINDS && !str_ieq(word, dockerfile_words[kind]))
		kind++;
	rest = str_trim((struct str){ line.p + word.n, line.n - word.n });
	if (kind == DOCKERFILE_KINDS)
		return wrong(number, word, ERR_UNSUPPORTED, "is not done by this builder", e);
	if (memchr(line.p, '\0', line.n) || !rest.n)
		return wrong(number, word, ERR_PARSE, "needs arguments", e);
	if ((kind == DOCKERFILE_RUN || kind == DOCKERFILE_COPY || kind == DOCKERFILE_ADD) &&
	    (str_starts(rest, "<<") || str_find(rest, " <<")))
		return wrong(number, rest, ERR_UNSUPPORTED,
		             "is a here-document, which is not done by this builder", e);
	if (f->n == DOCKERFILE_LINES_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %d instructions", DOCKERFILE_LINES_MAX);
	if (!f->n && kind != DOCKERFILE_FROM && kind != DOCKERFILE_ARG)
		return wrong(number, word, ERR_PARSE, "comes before FROM", e);
	f->list = mem_realloc(f->list, (f->n + 1) * sizeof(*f->list));
	f->list[f->n++] = (struct instruction){ (enum dockerfile_kind)kind, number,
		                                mem_dupn(rest.p, rest.n) };
	return 0;
}

int dockerfile_parse(struct dockerfile *f, struct str text, struct err *e)
{
	struct dockerfile_lines l = { .rest = text };
	struct buf line = { 0 };
	int rc = 0;

	*f = (struct dockerfile){ 0 };
	if (str_starts(text, "\xef\xbb\xbf"))
		l.rest = (struct str){ text.p + 3, text.n - 3 };
	if (text.n > DOCKERFILE_MAX)
		return err_set(e, ERR_LIMIT, 0, "more than %u bytes", DOCKERFILE_MAX);
	while (rc == 0 && dockerfile_next(&l, &line))
		if (!l.comment)
			rc = add(f, str_trim(buf_str(&line)), l.number, e);
	f->escape = l.escape ? l.escape : '\\';
	buf_free(&line);
	if (rc == 0 && (f->escape != '\\' && f->escape != '`'))
		rc = err_set(e, ERR_PARSE, 0, "escape is neither \\ nor `");
	if (rc == 0 && !f->n)
		rc = err_set(e, ERR_PARSE, 0, "it holds no instruction");
	return rc;
}

void dockerfile_free(struct dockerfile *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->list[i].rest);
	free(f->list);
	*f = (struct dockerfile){ 0 };
}

/* ---- words ---- */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static int unclear(struct str s, struct err *e)
{
	struct buf b = { 0 };

	buf_add_printable(&b, s, false);
	err_set(e, ERR_PARSE, 0, "what \"%.100s\" means cannot be told", buf_cstr(&b));
	buf_free(&b);
	return -1;
}

static void skip(struct str *s, size_t n)
{
	*s = (struct str){ s->p + n, s->n - n };
}

static int take(struct str *s, const char *until, const struct dockerfile_scope *scope,
                unsigned depth, struct buf *out, struct err *e);

/* Behind "${NAME": "}", ":-WORD}", "-WORD}", ":+WORD}", "+WORD}". */
static int braces(struct str *s, const char *value, const struct dockerfile_scope *scope,
                  unsigned depth, struct buf *out, struct err *e)
{
	bool colon = s->n && *s->p == ':', other;
	struct buf word = { 0 };
	char how;
	int rc;

	if (s->n && *s->p == '}') {
		buf_adds(out, value ? value : "");
		skip(s, 1);
		return 0;
	}
	skip(s, colon && s->n ? 1 : 0);
	how = s->n ? *s->p : '\0';
	if ((how != '-' && how != '+') || depth == DEPTH_MAX)
		return unclear(*s, e);
	skip(s, 1);
	rc = take(s, "}", scope, depth + 1, &word, e);
	if (rc == 0 && !s->n)
		rc = unclear(buf_str(&word), e);
	if (rc == 0) {
		bool set = value && (*value || !colon);

		skip(s, 1);
		other = how == '-' ? !set : set;
		if (other)
			buf_add_str(out, buf_str(&word));
		else if (how == '-')
			buf_adds(out, value);
	}
	buf_free(&word);
	return rc;
}

/* At a '$'. One before anything else stands for itself. */
static int variable(struct str *s, const struct dockerfile_scope *scope, unsigned depth,
                    struct buf *out, struct err *e)
{
	struct str all = *s;
	size_t open = s->n > 1 && s->p[1] == '{', n = 0;
	const char *value;
	char *name;

	skip(s, 1 + open);
	while (n < s->n && is_name(s->p[n]))
		n++;
	if (!n) {
		if (open)
			return unclear(all, e);
		buf_addc(out, '$');
		return 0;
	}
	name = mem_dupn(s->p, n);
	value = scope->get(scope->arg, name);
	free(name);
	skip(s, n);
	if (open && braces(s, value, scope, depth, out, e) < 0)
		return -1;
	if (!open)
		buf_adds(out, value ? value : "");
	return out->n > WORD_MAX
	               ? err_set(e, ERR_LIMIT, 0, "a word of more than %u bytes", WORD_MAX)
	               : 0;
}

/* Up to one of until, outside of quotes, or the end. */
static int take(struct str *s, const char *until, const struct dockerfile_scope *scope,
                unsigned depth, struct buf *out, struct err *e)
{
	struct str all = *s;
	char quote = '\0';
	int rc = 0;

	while (rc == 0 && s->n && (quote || !strchr(until, *s->p))) {
		char c = *s->p;

		if (c == quote) {
			quote = '\0';
			skip(s, 1);
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
			skip(s, 1);
		} else if (c == '$' && quote != '\'') {
			rc = variable(s, scope, depth, out, e);
		} else {
			/* In double quotes it is one before what it can quote alone. */
			if (c == scope->escape && quote != '\'' && s->n > 1 &&
			    (!quote || strchr("\"$", s->p[1]) || s->p[1] == scope->escape))
				skip(s, 1);
			buf_addc(out, *s->p);
			skip(s, 1);
		}
	}
	return rc == 0 && quote ? unclear(all, e) : rc;
}

int dockerfile_word(struct str *rest, bool whole, const struct dockerfile_scope *s,
                    struct buf *word, struct err *e)
{
	buf_reset(word);
	*rest = str_trim(*rest);
	if (!rest->n)
		return 0;
	return take(rest, whole ? "" : " \t", s, 0, word, e) < 0 ? -1 : 1;
}

bool dockerfile_flag(struct str *rest, struct str *name, struct str *value)
{
	struct str s = str_trim(*rest);
	const char *eq;

	if (!str_starts(s, "--"))
		return false;
	*rest = s;
	for (s.n = 0; s.n < rest->n && !is_blank(rest->p[s.n]);)
		s.n++;
	skip(rest, s.n);
	eq = memchr(s.p, '=', s.n);
	*name = (struct str){ s.p + 2, (eq ? (size_t)(eq - s.p) : s.n) - 2 };
	*value = eq ? (struct str){ eq + 1, s.n - (size_t)(eq + 1 - s.p) } : (struct str){ 0 };
	return true;
}
