/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dockerfiles as a builder reads them: lines joined, instructions told apart, words with their quotes and variables. What
 * an instruction does is its caller's.
 */
#ifndef OCI_DOCKERFILE_H
#define OCI_DOCKERFILE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define DOCKERFILE_MAX (1u << 20)
#define DOCKERFILE_LINES_MAX 2000 /* instructions */

/* Lines as they come, joined where they are continued; comments and empty lines between the parts fall out. */
struct dockerfile_lines { /* zero but rest */
	struct str rest;
	unsigned number, next; /* of the line in the file, and of the one behind it */
	char escape;           /* 0: '\'; as a directive at the top says */
	bool begun;            /* no directive counts any more */
	bool comment;          /* the line is one */
};
/* False at the end. Blanks before and behind are gone. */
bool dockerfile_next(struct dockerfile_lines *l, struct buf *line);

enum dockerfile_kind {
	DOCKERFILE_ADD,
	DOCKERFILE_ARG,
	DOCKERFILE_CMD,
	DOCKERFILE_COPY,
	DOCKERFILE_ENTRYPOINT,
	DOCKERFILE_ENV,
	DOCKERFILE_EXPOSE,
	DOCKERFILE_FROM,
	DOCKERFILE_HEALTHCHECK,
	DOCKERFILE_LABEL,
	DOCKERFILE_MAINTAINER,
	DOCKERFILE_RUN,
	DOCKERFILE_SHELL,
	DOCKERFILE_STOPSIGNAL,
	DOCKERFILE_USER,
	DOCKERFILE_VOLUME,
	DOCKERFILE_WORKDIR,
	DOCKERFILE_KINDS,
};
extern const char *const dockerfile_words[DOCKERFILE_KINDS];

struct instruction {
	enum dockerfile_kind kind;
	unsigned line;
	char *rest; /* behind the word */
};

struct dockerfile {
	struct instruction *list;
	size_t n;
	char escape;
};

/* ERR_UNSUPPORTED names what is not done, ERR_PARSE what is wrong, both with the line; ERR_LIMIT. Free f either way. */
int dockerfile_parse(struct dockerfile *f, struct str text, struct err *e);
void dockerfile_free(struct dockerfile *f);

/* Values of variables: NULL is none. */
struct dockerfile_scope {
	const char *(*get)(const void *arg, const char *name);
	const void *arg;
	char escape;
};
/* Cuts the next word off *rest, quotes taken away and variables filled in; whole: all of it is one word. 1, or 0 when there
 * is none, -1. */
int dockerfile_word(struct str *rest, bool whole, const struct dockerfile_scope *s,
                    struct buf *word, struct err *e);
/* The same for "--name=value" before the words: false when there is none, and *rest stays. */
bool dockerfile_flag(struct str *rest, struct str *name, struct str *value);

#endif
