/* SPDX-License-Identifier: Apache-2.0 */
/* See configure_line.h. Words are cut and quotes taken off as a shell does; nothing is expanded or run. */
#include "applets/configure_line.h"

#include "api/token.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX 65536
#define ENDS " \t\r\n|" /* of a word; a NUL from outside is none */
#define NO_LINE "that is no line of `daytona-runner create`; give it whole, in quotes"

static int add(struct configure_line *l, char *word, struct err *e)
{
	if (l->n == CONFIGURE_WORDS_MAX)
		return err_set(e, ERR_USAGE, 0, "more than %d words", CONFIGURE_WORDS_MAX);
	l->words[l->n++] = word;
	return 0;
}

static int add_copy(struct configure_line *l, const char *word, struct err *e)
{
	if (token_is(str_of(word)))
		return token_read(str_of(word), &l->token, e);
	if (add(l, NULL, e) < 0)
		return -1;
	l->owned[l->n_owned] = mem_dup(word);
	l->words[l->n - 1] = l->owned[l->n_owned++];
	return 0;
}

enum word { END, WORD, BAR, OPEN_QUOTE };

/* A word without its quotes; an unquoted | is none. */
static enum word next_word(struct str *s, struct buf *w)
{
	char quote = '\0';
	size_t i = 0;

	buf_reset(w);
	*s = str_trim(*s);
	if (s->n == 0)
		return END;
	if (s->p[0] == '|') {
		*s = (struct str){ s->p + 1, s->n - 1 };
		return BAR;
	}
	for (; i < s->n && (quote || !memchr(ENDS, s->p[i], sizeof(ENDS) - 1)); i++) {
		char c = s->p[i];

		if (c == quote)
			quote = '\0';
		else if (!quote && (c == '\'' || c == '"'))
			quote = c;
		else if (c == '\\' && quote != '\'' && i + 1 < s->n)
			buf_addc(w, s->p[++i]);
		else
			buf_addc(w, c);
	}
	*s = (struct str){ s->p + i, s->n - i };
	return quote ? OPEN_QUOTE : WORD;
}

/* What stands before `configure`: the key, if printf hands it over. */
static bool find_configure(struct str *s, struct buf *w, struct buf *key)
{
	bool piped = false;
	enum word is;

	for (int i = 0; (is = next_word(s, w)) == WORD || is == BAR; i += is == WORD) {
		if (i == 0 && is == WORD)
			piped = str_eq(buf_str(w), "printf");
		if (i == 2 && is == WORD && piped)
			buf_add_str(key, buf_str(w));
		if (is == WORD && str_eq(buf_str(w), "configure"))
			return true;
	}
	return false;
}

static int add_line(struct configure_line *l, struct str s, struct err *e)
{
	struct buf w = { 0 }, key = { 0 };
	enum word is = END;
	int rc = 0;

	if (!find_configure(&s, &w, &key))
		rc = err_set(e, ERR_USAGE, 0, NO_LINE);
	if (rc == 0 && key.n &&
	    (add_copy(l, "--api-key", e) < 0 || add_copy(l, buf_cstr(&key), e) < 0))
		rc = -1;
	while (rc == 0 && (is = next_word(&s, &w)) == WORD) {
		/* The pipe's end; an earlier build named it by number. */
		if (key.n &&
		    (str_eq(buf_str(&w), "--api-key-file") || str_eq(buf_str(&w), "--api-key-fd")))
			(void)next_word(&s, &w);
		else
			rc = add_copy(l, buf_cstr(&w), e);
	}
	if (rc == 0 && is != END)
		rc = err_set(e, ERR_USAGE, 0, NO_LINE);
	buf_wipe(&key);
	buf_wipe(&w);
	return rc;
}

static int add_text(struct configure_line *l, struct str s, struct err *e)
{
	s = str_trim(s);
	return token_is(s) ? token_read(s, &l->token, e) : add_line(l, s, e);
}

/* Of all that create writes, the line for this program: the reference's is behind a #. */
static int add_input(struct configure_line *l, struct err *e)
{
	struct buf text = { 0 };
	struct str rest, line, found = { 0 };
	int rc = file_read_fd(STDIN_FILENO, "standard input", INPUT_MAX, &text, e);

	rest = buf_str(&text);
	while (!found.n && str_next(&rest, '\n', &line)) {
		line = str_trim(line);
		if (token_is(line) || (!str_starts(line, "#") && str_find(line, "configure ")))
			found = line;
	}
	if (rc == 0)
		rc = add_text(l, found, e);
	buf_wipe(&text);
	return rc;
}

int configure_line_take(struct configure_line *l, int argc, char **argv, struct err *e)
{
	bool input = false;
	int at = 1, rc = 0;

	for (; at < argc; at++) {
		/* Behind an option it is that one's value. */
		input = strcmp(argv[at], "-") == 0 && argv[at - 1][0] != '-';
		if (input || strstr(argv[at], "configure --") ||
		    strstr(argv[at], "configure " TOKEN_MARK) || token_is(str_of(argv[at])))
			break;
	}
	if (at >= argc)
		return 0;
	for (int i = 0; i < argc && rc == 0; i++) {
		if (i != at)
			rc = add(l, argv[i], e);
		else
			rc = input ? add_input(l, e) : add_text(l, str_of(argv[i]), e);
	}
	if (!input)
		memset(argv[at], '*', strlen(argv[at]));
	return rc;
}

void configure_line_free(struct configure_line *l)
{
	for (int i = 0; i < l->n_owned; i++)
		mem_free_secret(l->owned[i]);
	kv_free(&l->token);
	*l = (struct configure_line){ 0 };
}
