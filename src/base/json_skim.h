/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of JSON text that is known to be valid (json_check.h), in the text itself: no tokens, no copy. For
 * many texts of which each is read once. Of text that is no JSON some members are found, and nothing beyond
 * its end is read.
 */
#ifndef BASE_JSON_SKIM_H
#define BASE_JSON_SKIM_H

#include "base/str.h"

#include <stdbool.h>

struct json_skim {
	const char *p, *end;
	bool object;
};

/* Before the first member of an object, or element of an array; anything else has none. */
struct json_skim json_skim(struct str container);
/* False at the end. key: what stands between its quotes, empty in an array; value: its source text. */
bool json_skim_next(struct json_skim *k, struct str *key, struct str *value);
/* Before the first member of what comes next, if that is an object or array; inner walked to its end is left again. */
bool json_skim_into(struct json_skim *k, struct json_skim *inner);
void json_skim_out(struct json_skim *k, const struct json_skim *inner);
/* What stands between the quotes of a string; .p NULL for any other value. */
struct str json_skim_string(struct str value);

#endif
