/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of .dockerignore: '*' '?' '[…]' within a component, "**" for any number of components,
 * '\' quotes, '!' keeps. The work for one match is bounded, since repositories are not trusted.
 */
#include "providers/docker/devcontainer/dockerignore.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS_MAX 20000

/* One [...] at p; *end is set behind it. False when it is not closed. */
static bool match_class(const char *p, char c, const char **end, bool *hit)
{
	bool negated = p[1] == '^' || p[1] == '!';
	bool found = false;

	p += negated ? 2 : 1;
	for (bool first = true; *p && (*p != ']' || first); first = false) {
		char low, high;

		if (*p == '\\' && p[1])
			p++;
		low = high = *p++;
		if (*p == '-' && p[1] && p[1] != ']') {
			p++;
			if (*p == '\\' && p[1])
				p++;
			high = *p++;
		}
		found |= c >= low && c <= high;
	}
	if (*p != ']')
		return false;
	*end = p + 1;
	*hit = found != negated;
	return true;
}

/* Whether s[0..n) matches. steps is shared by the whole match. */
static bool match(const char *p, const char *s, size_t n, unsigned *steps)
{
	while (*p) {
		bool hit;

		if (++*steps > MATCH_STEPS_MAX)
			return false;
		if (p[0] == '*' && p[1] == '*') {
			bool slash = p[2] == '/';

			p += slash ? 3 : 2;
			if (!*p)
				return true;
			for (size_t i = 0; i <= n; i++)
				if ((!slash || i == 0 || s[i - 1] == '/') &&
				    match(p, s + i, n - i, steps))
					return true;
			return false;
		}
		if (*p == '*') {
			p++;
			for (size_t i = 0;; i++) {
				if (match(p, s + i, n - i, steps))
					return true;
				if (i >= n || s[i] == '/')
					return false;
			}
		}
		if (!n)
			return false;
		if (*p == '?') {
			if (*s == '/')
				return false;
			p++;
		} else if (*p == '[' && match_class(p, *s, &p, &hit)) {
			if (!hit || *s == '/')
				return false;
		} else {
			if (*p == '\\' && p[1])
				p++;
			if (*p++ != *s)
				return false;
		}
		s++;
		n--;
	}
	return n == 0;
}

void dockerignore_parse(struct dockerignore *d, struct str text)
{
	struct str line;

	if (str_starts(text, "\xef\xbb\xbf"))
		text = (struct str){ text.p + 3, text.n - 3 };
	while (str_next(&text, '\n', &line) && d->n < DOCKERIGNORE_PATTERNS_MAX) {
		struct buf pattern = { 0 };
		bool keep = false;

		if (line.n && *line.p == '#')
			continue;
		line = str_trim(line);
		if (line.n && *line.p == '!') {
			keep = true;
			line = str_trim((struct str){ line.p + 1, line.n - 1 });
		}
		if (!line.n || memchr(line.p, '\0', line.n))
			continue;
		path_add(&pattern, line); /* relative to the root, which ".." does not leave */
		if (!pattern.n) {
			buf_free(&pattern);
			continue;
		}
		d->list = mem_realloc(d->list, (d->n + 1) * sizeof(*d->list));
		d->list[d->n].pattern = buf_take(&pattern);
		d->list[d->n++].keep = keep;
		d->has_keep |= keep;
	}
}

void dockerignore_free(struct dockerignore *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->list[i].pattern);
	free(d->list);
	*d = (struct dockerignore){ 0 };
}

bool dockerignore_match(const struct dockerignore *d, const char *path)
{
	size_t len = strlen(path);
	bool out = false;

	for (size_t i = 0; i < d->n; i++) {
		unsigned steps = 0;

		if (out != d->list[i].keep) /* cannot change the result */
			continue;
		for (size_t n = len; n > 0; n--) {
			if (n < len && path[n] != '/')
				continue;
			if (match(d->list[i].pattern, path, n, &steps)) {
				out = !d->list[i].keep;
				break;
			}
		}
	}
	return out;
}
