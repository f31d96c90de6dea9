/* SPDX-License-Identifier: Apache-2.0 */
/* The line that `create` prints, as one argument or from standard input, in place of a shell that runs it. */
#ifndef APPLETS_CONFIGURE_LINE_H
#define APPLETS_CONFIGURE_LINE_H

#include "base/err.h"
#include "base/kv.h"

#define CONFIGURE_WORDS_MAX 96

struct configure_line {
	char *words[CONFIGURE_WORDS_MAX + 1]; /* argv with the line's words in the line's place */
	char *owned[CONFIGURE_WORDS_MAX];
	int n, n_owned;
	struct kv token; /* what a token in place of a line, or in one, said */
};

/* Looks for such a line, a token (api/token.h), or "-", among argv; n stays 0 if there is none. A line in argv is overwritten, since other
 * users can read it there. Free in both cases, after the words are no longer used. */
int configure_line_take(struct configure_line *l, int argc, char **argv, struct err *e);
void configure_line_free(struct configure_line *l);

#endif
