/* SPDX-License-Identifier: Apache-2.0 */
/* See words.h. */
#include "agent/toolbox/words.h"

#include "base/buf.h"
#include "base/mem.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word, which line begins with. Returns its length there, 0: a quote has no end. */
static size_t take_word(struct str line, struct buf *word)
{
	char quote = '\0';
	size_t i;

	for (i = 0; i < line.n && (quote || !is_blank(line.p[i])); i++) {
		char c = line.p[i];

		if (quote ? c == quote : c == '"' || c == '\'')
			quote = quote ? '\0' : c;
		else
			buf_addc(word, c);
	}
	return quote ? 0 : i;
}

int words_cut(struct words *w, struct str line, struct err *e)
{
	w->v = mem_array(WORDS_MAX + 1, sizeof(*w->v));
	for (;;) {
		struct buf word = { 0 };
		size_t n;

		while (line.n && is_blank(line.p[0]))
			line = (struct str){ line.p + 1, line.n - 1 };
		if (!line.n)
			break;
		n = take_word(line, &word);
		if (!n || w->n == WORDS_MAX) {
			buf_free(&word);
			return n ? err_set(e, ERR_LIMIT, 0, "a command has at most %d words",
			                   WORDS_MAX)
			         : err_set(e, ERR_PARSE, 0,
			                   "the command has a quote without an end");
		}
		w->v[w->n++] = buf_take(&word);
		line = (struct str){ line.p + n, line.n - n };
	}
	return w->n ? 0 : err_set(e, ERR_PARSE, 0, "the command is empty");
}

void words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
	*w = (struct words){ 0 };
}
