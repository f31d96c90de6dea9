/* SPDX-License-Identifier: Apache-2.0 */
/* Help of an applet, wrapped at 80 columns or the terminal's fewer ones, and the table for completion and man page. */
#include "base/opts_help.h"

#include "base/buf.h"
#include "base/out.h"
#include "base/shipped.h"
#include "base/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 79
#define COLUMNS_SIDE 60 /* with fewer, texts stand below their options */
#define HELP_COLUMN_MAX 30
#define INDENT 6

static size_t columns_here(void)
{
	size_t n = out_columns();

	return n && n < COLUMNS ? n : COLUMNS;
}

struct str opts_applet(const char *usage)
{
	size_t n = 0;
	size_t end = 0;

	while (usage[n] && strchr(" abcdefghijklmnopqrstuvwxyz0123456789-", usage[n])) {
		n++;
		if (usage[n] == '\0' || usage[n] == ' ' || usage[n] == '\n') {
			end = n;
			if (usage[n] == ' ' && usage[n + 1] == '-')
				break;
		}
	}
	return (struct str){ usage, end };
}

/* The next word; what is in brackets counts as one. */
static bool next_word(struct str *rest, struct str *word)
{
	int depth = 0;
	size_t n = 0;

	while (rest->n && *rest->p == ' ') {
		rest->p++;
		rest->n--;
	}
	for (; n < rest->n && (depth > 0 || rest->p[n] != ' '); n++)
		depth += rest->p[n] == '[' ? 1 : rest->p[n] == ']' ? -1 : 0;
	*word = (struct str){ rest->p, n };
	rest->p += n;
	rest->n -= n;
	return n > 0;
}

/* Words of s from column `at` on, lines after the first indented; a word too long stays whole. */
static void wrap(struct buf *b, struct str s, size_t at, size_t indent)
{
	size_t column = at, columns = columns_here();
	bool first = true; /* in its line */
	struct str word;

	while (next_word(&s, &word)) {
		if (!first && column + 1 + word.n > columns) {
			buf_addf(b, "\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		if (!first) {
			buf_addc(b, ' ');
			column++;
		}
		first = false;
		buf_add_str(b, word);
		column += word.n;
	}
	buf_addc(b, '\n');
}

uint64_t opts_flags_on(const struct opt *opts)
{
	uint64_t on = 0;

	for (size_t i = 0; i < 64 && opts[i].type != OPT_TYPE_END; i++) {
		if (opts[i].type == OPT_TYPE_FLAG && *(const bool *)opts[i].to)
			on |= UINT64_C(1) << i;
	}
	return on;
}

static const char *negation(size_t i, uint64_t on)
{
	return i < 64 && on >> i & 1 ? "no-" : "";
}

const char *opts_arg(const struct opt *o)
{
	return o->text + strlen(o->text) + 1;
}

static const char *help_of(const struct opt *o)
{
	const char *arg = opts_arg(o);

	return arg + strlen(arg) + 1;
}

static void add_left(struct buf *b, const struct opt *o, const char *no)
{
	if (o->letter)
		buf_addf(b, "  -%c%s", o->letter, *o->text ? ", " : "");
	else
		buf_adds(b, "      ");
	if (*o->text)
		buf_addf(b, "--%s%s", no, o->text);
	if (*opts_arg(o))
		buf_addf(b, " %s", opts_arg(o));
}

static size_t help_column(const struct opt *opts, uint64_t on)
{
	size_t column = sizeof("  -h, --help") + 1;

	if (columns_here() < COLUMNS_SIDE)
		return INDENT;
	for (size_t i = 0; opts[i].type != OPT_TYPE_END; i++) {
		struct buf left = { 0 };

		if (opts[i].type == OPT_TYPE_GROUP)
			continue;
		add_left(&left, &opts[i], negation(i, on));
		if (left.n + 2 > column && left.n + 2 <= HELP_COLUMN_MAX)
			column = left.n + 2;
		buf_free(&left);
	}
	return column;
}

static void add_option(struct buf *b, const struct opt *o, const char *no, size_t column)
{
	struct buf left = { 0 };

	add_left(&left, o, no);
	buf_add_str(b, buf_str(&left));
	if (left.n + 2 > column)
		buf_addf(b, "\n%*s", (int)column, "");
	else
		buf_addf(b, "%*s", (int)(column - left.n), "");
	wrap(b, str_of(help_of(o)), column, column);
	buf_free(&left);
}

static void add_notes(struct buf *b, const struct opt *opts)
{
	for (; opts->type != OPT_TYPE_END; opts++) {
		if (opts->type == OPT_TYPE_GROUP && *opts_arg(opts)) {
			buf_addc(b, '\n');
			wrap(b, str_of(opts_arg(opts)), 0, 0);
		}
	}
}

static void add_examples(struct buf *b, struct str applet)
{
	struct buf text = { 0 };
	struct str rest, line;
	bool here = false;

	unpack(&text, script_examples_txt, script_examples_txt_n);
	rest = buf_str(&text);
	while (str_next(&rest, '\n', &line)) {
		if (here && str_starts(line, " "))
			buf_addf(b, " %.*s\n", STR_ARG(line));
		else if ((here = applet.n && line.n == applet.n &&
		                 memcmp(line.p, applet.p, line.n) == 0))
			buf_adds(b, "\nExamples:\n");
	}
	buf_free(&text);
}

_Noreturn void opts_help(const struct opt *opts, const char *usage, uint64_t on)
{
	static const char before[] = "Usage: daytona-runner ";
	static const struct opt help = OPT_FLAG('h', "help", NULL, "show this and exit");
	struct str rest = str_of(usage), line = { 0 };
	size_t column = help_column(opts, on);
	struct buf b = { 0 };

	str_next(&rest, '\n', &line);
	buf_adds(&b, before);
	wrap(&b, line, sizeof(before) - 1,
	     column == INDENT ? INDENT : sizeof(before) + opts_applet(usage).n);
	if (rest.n)
		buf_addc(&b, '\n');
	while (str_next(&rest, '\n', &line))
		wrap(&b, line, 0, 0);
	add_notes(&b, opts);
	if (opts->type != OPT_TYPE_GROUP)
		buf_adds(&b, "\nOptions:\n");
	for (size_t i = 0; opts[i].type != OPT_TYPE_END; i++) {
		if (opts[i].type == OPT_TYPE_GROUP)
			buf_addf(&b, "\n%s:\n", help_of(&opts[i]));
		else
			add_option(&b, &opts[i], negation(i, on), column);
	}
	add_option(&b, &help, "", column);
	add_examples(&b, opts_applet(usage));
	fputs(buf_cstr(&b), stdout);
	buf_free(&b);
	exit(out_flush());
}

_Noreturn void opts_print(const struct opt *opts, uint64_t on)
{
	for (size_t i = 0; opts[i].type != OPT_TYPE_END; i++) {
		const struct opt *o = &opts[i];
		const char letter[] = { o->letter, '\0' };

		if (o->type != OPT_TYPE_GROUP)
			printf("%s\t%s%s\t%s\t%s\n", letter, negation(i, on), o->text, opts_arg(o),
			       help_of(o));
	}
	fputs("h\thelp\t\tshow this and exit\n", stdout);
	exit(out_flush());
}
