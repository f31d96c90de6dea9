/* SPDX-License-Identifier: Apache-2.0 */
/* A command line cut into words: at blanks, but for those in quotes. Nothing else means anything. */
#ifndef AGENT_TOOLBOX_WORDS_H
#define AGENT_TOOLBOX_WORDS_H

#include "base/err.h"
#include "base/str.h"

#define WORDS_MAX 4096

struct words {
	char **v; /* NULL-terminated */
	size_t n;
};
/* ERR_PARSE: there is none, or a quote has no end; ERR_LIMIT. */
int words_cut(struct words *w, struct str line, struct err *e);
void words_free(struct words *w);

#endif
