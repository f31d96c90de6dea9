/* SPDX-License-Identifier: Apache-2.0 */
/* What was probably meant: the word of a list that is at most two letters away from the one that was typed. */
#ifndef BASE_SPELL_H
#define BASE_SPELL_H

#include "base/str.h"

struct spell {
	struct str word;  /* as typed */
	unsigned away;    /* of the nearest so far; 0: none */
	const char *near; /* that candidate, borrowed; NULL: none */
};

/* Looks at one more candidate; true if it is the nearest so far. */
bool spell_try(struct spell *s, const char *candidate);
/* "; did you mean X?" with X behind prefix, or "". Valid until out is. */
const char *spell_hint(const struct spell *s, const char *prefix, char out[96]);

#endif
