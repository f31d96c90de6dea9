/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a person. Plain lines on the terminal's own line editing: no cursor movement, no
 * full-screen form, so it works on a dumb terminal, over a serial line, in `script` and under tmux.
 * Questions go to stderr (stdout when stderr is no terminal), so that results can be redirected.
 * Ctrl-C, Ctrl-D and a closed terminal give ERR_CANCELED; the terminal's settings are restored in
 * every case.
 */
#ifndef HOST_PROMPT_H
#define HOST_PROMPT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct prompt {
	int in, out;
	int columns;      /* of the terminal, 80 if it does not say */
	bool utf8;        /* the locale is UTF-8 */
	struct buf ahead; /* typed before it was asked for */
};

bool prompt_locale_is_utf8(void);
/* True if a person can be asked: stdin is a terminal, and so is stderr or stdout. */
bool prompt_open(struct prompt *p);
void prompt_close(struct prompt *p);
void prompt_sayf(struct prompt *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* s made fit to be shown: control bytes escaped, other alphabets as "?" without UTF-8, cut to
 * max columns (0: not). */
void prompt_show(const struct prompt *p, struct buf *b, struct str s, int max);

/* Asks "label [fallback]: "; an empty answer is the fallback (may be NULL: ""). Caller frees
 * *answer. */
int prompt_line(struct prompt *p, const char *label, const char *fallback, char **answer,
                struct err *e);
/* The same without echo; the fallback is shown as "unchanged". mem_free_secret(*answer); NULL
 * for an empty answer. */
int prompt_secret(struct prompt *p, const char *label, bool has_fallback, char **answer,
                  struct err *e);
/* Asks until Yes or No is the answer; an empty one is No. */
int prompt_yes(struct prompt *p, const char *question, bool *yes, struct err *e);

struct prompt_item {
	const char *name, *id; /* either picks it, besides its number */
	const char *note;      /* shown behind; or NULL */
};
/* A numbered list; empty answer or "q" is ERR_CANCELED. */
int prompt_pick(struct prompt *p, const char *title, const struct prompt_item *items, size_t n,
                size_t *picked, struct err *e);

#endif
