/* SPDX-License-Identifier: Apache-2.0 */
/* See spell.h: the distance of Levenshtein, one row at a time. */
#include "base/spell.h"

#include <stdio.h>

#define WORD_MAX 64
#define AWAY_MAX 2

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned distance(struct str a, struct str b)
{
	unsigned char row[WORD_MAX + 1];

	for (unsigned i = 0; i <= b.n; i++)
		row[i] = (unsigned char)i;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned char)i;
		for (unsigned k = 1; k <= b.n; k++) {
			unsigned here = corner + (a.p[i - 1] != b.p[k - 1]);

			corner = row[k];
			row[k] = (unsigned char)least(here, least(row[k], row[k - 1]) + 1u);
		}
	}
	return row[b.n];
}

bool spell_try(struct spell *s, const char *candidate)
{
	struct str c = str_of(candidate);
	unsigned away;

	if (s->word.n > WORD_MAX || c.n > WORD_MAX || c.n == 0)
		return false;
	away = distance(s->word, c);
	/* With more than half of its letters other it is another word. */
	if (away > AWAY_MAX || away * 2 > c.n || (s->near && away >= s->away))
		return false;
	s->away = away;
	s->near = candidate;
	return true;
}

const char *spell_hint(const struct spell *s, const char *prefix, char out[96])
{
	out[0] = '\0';
	if (s->near)
		snprintf(out, 96, "; did you mean %s%s?", prefix, s->near);
	return out;
}
