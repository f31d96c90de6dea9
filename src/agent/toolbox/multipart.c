/* SPDX-License-Identifier: Apache-2.0 */
/* See multipart.h. */
#include "agent/toolbox/multipart.h"

#include <string.h>

#define PADDING_MAX 128 /* behind a boundary */

/* PREAMBLE: before the first boundary; LINE: behind one; HEAD: in a part's header lines. */
enum { PREAMBLE, LINE, HEAD, DATA, ENDED, BROKEN };

static struct str skip_blanks(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (struct str){ s.p + 1, s.n - 1 };
	return s;
}

/* Appends one value, quoted or not, and returns what is behind it. */
static struct str take_value(struct str s, struct buf *out)
{
	size_t i = 0;

	if (!s.n || s.p[0] != '"') {
		while (i < s.n && s.p[i] != ';' && s.p[i] != ' ' && s.p[i] != '\t')
			i++;
		buf_add(out, s.p, i);
		return (struct str){ s.p + i, s.n - i };
	}
	for (i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		buf_addc(out, s.p[i]);
	}
	i = i < s.n ? i + 1 : i;
	return (struct str){ s.p + i, s.n - i };
}

bool mime_param(struct str value, const char *name, struct buf *out)
{
	struct buf other = { 0 };
	bool found = false;
	const char *at;

	while (!found && value.n && (at = memchr(value.p, ';', value.n)) != NULL) {
		struct str rest = { at + 1, value.n - (size_t)(at - value.p) - 1 };
		struct str key;
		size_t n = 0;

		rest = skip_blanks(rest);
		while (n < rest.n && rest.p[n] != '=' && rest.p[n] != ';')
			n++;
		key = str_trim((struct str){ rest.p, n });
		value = (struct str){ rest.p + n, rest.n - n };
		if (!value.n || value.p[0] != '=')
			continue;
		value = skip_blanks((struct str){ value.p + 1, value.n - 1 });
		found = str_ieq(key, name);
		value = take_value(value, found ? out : &other);
		buf_reset(&other);
	}
	buf_free(&other);
	return found;
}

int multipart_start(struct multipart *parts, struct str content_type, struct err *e)
{
	struct buf boundary = { 0 };
	struct str kind = { content_type.p, strlen("multipart/form-data") };
	bool ok = content_type.n > kind.n && str_ieq(kind, "multipart/form-data") &&
	          mime_param(content_type, "boundary", &boundary) && boundary.n &&
	          boundary.n <= MULTIPART_BOUNDARY_MAX;

	for (size_t i = 0; ok && i < boundary.n; i++)
		ok = boundary.p[i] >= ' ' && boundary.p[i] <= '~';
	if (ok) {
		buf_addf(&parts->delimiter, "\r\n--%s", buf_cstr(&boundary));
		buf_adds(&parts->raw, "\r\n"); /* the first boundary begins a line, too */
	} else {
		err_set(e, ERR_PARSE, 0,
		        "the body has to be multipart/form-data with a boundary of at most %d "
		        "characters",
		        MULTIPART_BOUNDARY_MAX);
	}
	buf_free(&boundary);
	return ok ? 0 : -1;
}

void multipart_free(struct multipart *parts)
{
	buf_free(&parts->name);
	buf_free(&parts->delimiter);
	buf_free(&parts->raw);
	*parts = (struct multipart){ 0 };
}

void multipart_feed(struct multipart *parts, struct str bytes)
{
	buf_drop(&parts->raw, parts->used);
	parts->used = 0;
	if (parts->state != ENDED && parts->state != BROKEN)
		buf_add_str(&parts->raw, bytes);
}

static enum multipart_event broken(struct multipart *parts)
{
	parts->state = BROKEN;
	return MULTIPART_BAD;
}

/* The end of the line with a boundary. */
static enum multipart_event after_boundary(struct multipart *parts, struct str rest)
{
	struct str s = skip_blanks(rest);

	if (rest.n >= 2 && rest.p[0] == '-' && rest.p[1] == '-') {
		parts->state = ENDED;
		return MULTIPART_END;
	}
	if (rest.n - s.n > PADDING_MAX)
		return broken(parts);
	if (s.n < 2)
		return s.n && s.p[0] != '\r' && s.p[0] != '-' ? broken(parts) : MULTIPART_MORE;
	if (s.p[0] != '\r' || s.p[1] != '\n')
		return broken(parts);
	/* This line end is the beginning of an empty head's, too. */
	parts->used += (size_t)(s.p - rest.p);
	parts->state = HEAD;
	return MULTIPART_PART; /* nobody sees it: the caller goes on */
}

static enum multipart_event take_head(struct multipart *parts, struct str rest)
{
	const char *end = rest.n ? memmem(rest.p, rest.n, "\r\n\r\n", 4) : NULL;
	struct str lines, line;

	if ((end ? (size_t)(end - rest.p) : rest.n) > MULTIPART_HEAD_MAX)
		return broken(parts);
	if (!end)
		return MULTIPART_MORE;
	lines = (struct str){ rest.p, (size_t)(end - rest.p) };
	buf_reset(&parts->name);
	while (str_next(&lines, '\n', &line)) {
		const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
		struct str field = { line.p, colon ? (size_t)(colon - line.p) : 0 };

		line = str_trim(line);
		if (colon && str_ieq(field, "Content-Disposition") && !parts->name.n)
			mime_param(line, "name", &parts->name);
	}
	parts->used += (size_t)(end - rest.p) + 4;
	parts->state = DATA;
	return MULTIPART_PART;
}

/* Up to a boundary; what may be the beginning of one waits. */
static enum multipart_event take_data(struct multipart *parts, struct str rest, struct str *data)
{
	size_t want = parts->delimiter.n, n;
	const char *at = rest.n >= want ? memmem(rest.p, rest.n, parts->delimiter.p, want) : NULL;

	if (at == rest.p && at) {
		parts->used += want;
		parts->state = LINE;
		return MULTIPART_PART;
	}
	n = at ? (size_t)(at - rest.p) : rest.n >= want ? rest.n - want + 1 : 0;
	parts->used += n;
	*data = (struct str){ rest.p, n };
	return n ? MULTIPART_DATA : MULTIPART_MORE;
}

enum multipart_event multipart_next(struct multipart *parts, struct str *data)
{
	enum multipart_event ev = MULTIPART_MORE;

	for (;;) {
		struct str rest = { parts->raw.p + parts->used, parts->raw.n - parts->used };
		int state = parts->state;

		*data = (struct str){ NULL, 0 };
		switch (state) {
		case PREAMBLE:
		case DATA:
			ev = take_data(parts, rest, data);
			break;
		case LINE:
			ev = after_boundary(parts, rest);
			break;
		case HEAD:
			ev = take_head(parts, rest);
			if (ev == MULTIPART_PART)
				return ev;
			break;
		case ENDED:
			return MULTIPART_END;
		default:
			return MULTIPART_BAD;
		}
		if (ev == MULTIPART_PART || (ev == MULTIPART_DATA && state == PREAMBLE))
			continue;
		return ev;
	}
}
