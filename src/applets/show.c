/* SPDX-License-Identifier: Apache-2.0 */
/* See show.h. */
#include "applets/show.h"

#include "base/out.h"
#include "host/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GAP 2
#define CUT_MIN 4 /* no cell is cut shorter */
#define HANG_MAX 32

/* Columns of the character at *p, which it steps over. From U+3000 on most are two wide, and all are counted so. */
static size_t step(const char **p, const char *end)
{
	size_t wide = (unsigned char)**p >= 0xe3 ? 2 : 1;

	do
		++*p;
	while (*p < end && (**p & 0xc0) == 0x80);
	return wide;
}

static size_t width_of(struct str s)
{
	size_t n = 0;

	for (const char *p = s.p; p < s.p + s.n;)
		n += step(&p, s.p + s.n);
	return n;
}

/* The beginning that is at most so wide. */
static struct str head_of(struct str s, size_t width)
{
	const char *p = s.p, *end = s.p;
	size_t n = 0;

	while (p < s.p + s.n && (n += step(&p, s.p + s.n)) <= width)
		end = p;
	return (struct str){ s.p, (size_t)(end - s.p) };
}

/* Words that are a verdict alone, whatever their case; the colour is that of the terminal. */
static int colour_of(struct str word)
{
	static const struct {
		const char *word;
		int colour;
	} verdicts[] = {
		{ "ok", 32 },       { "running", 32 },     { "started", 32 },
		{ "success", 32 },  { "note", 33 },        { "wrong", 31 },
		{ "error", 31 },    { "not running", 31 }, { "unresponsive", 31 },
		{ "running,", 33 },
	};

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (str_ieq(word, verdicts[i].word))
			return verdicts[i].colour;
	return 0;
}

static void put(struct str s, int colour)
{
	if (colour && out_colours(STDOUT_FILENO))
		printf("\033[%dm%.*s\033[0m", colour, STR_ARG(s));
	else
		fwrite(s.p, 1, s.n, stdout);
}

void show_cell(struct buf *rows, const char *s)
{
	size_t at = rows->n;

	buf_add_printable(rows, str_of(*s ? s : "-"), false);
	for (; at < rows->n; at++)
		if (rows->p[at] == '\t')
			rows->p[at] = ' ';
	buf_addc(rows, '\t');
}

/* A width of 0 is a column that is left out. */
static size_t total(const size_t *width, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (width[i])
			sum += width[i] + (sum ? GAP : 0);
	return sum;
}

static void fit(size_t *width, const char *ranks, size_t n, size_t columns)
{
	while (total(width, n) > columns) {
		size_t least = n, widest = 0;

		for (size_t i = 0; i < n; i++) {
			if (width[i] > width[widest])
				widest = i;
			if (width[i] && ranks[i] > '2' && (least == n || ranks[i] > ranks[least]))
				least = i;
		}
		if (least < n)
			width[least] = 0;
		else if (width[widest] > CUT_MIN)
			width[widest]--;
		else
			return;
	}
}

static void put_cell(struct str cell, size_t width, bool last)
{
	size_t n = width_of(cell);
	bool cut = n > width;

	if (cut) {
		cell = head_of(cell, width - 1);
		n = width_of(cell) + 1;
	}
	put(cell, colour_of(cell));
	if (cut)
		fputs(prompt_locale_is_utf8() ? "\xe2\x80\xa6" : "~", stdout);
	if (!last)
		printf("%*s", (int)(width - n + GAP), "");
}

void show_table(struct str rows, const char *ranks)
{
	size_t width[SHOW_COLUMNS_MAX] = { 0 }, n = strlen(ranks), columns = out_columns();
	size_t last = 0;
	struct str rest = rows, row, cell;

	while (str_next(&rest, '\n', &row))
		for (size_t i = 0; i < n && str_next(&row, '\t', &cell); i++)
			width[i] = width_of(cell) > width[i] ? width_of(cell) : width[i];
	if (columns)
		fit(width, ranks, n, columns);
	for (size_t i = 0; i < n; i++)
		last = width[i] ? i : last;
	while (str_next(&rows, '\n', &row) && row.n) {
		for (size_t i = 0; i < n && str_next(&row, '\t', &cell); i++)
			if (width[i])
				put_cell(cell, width[i], i == last);
		putchar('\n');
	}
}

/* Where a line that is broken goes on. */
static size_t hang_of(struct str line, size_t columns)
{
	size_t n = 0, spaces;

	while (n < line.n && line.p[n] == ' ')
		n++;
	spaces = n;
	for (size_t i = n + 1; i < line.n && i < HANG_MAX; i++) {
		if (line.p[i] != ' ' && line.p[i - 1] == ' ' && line.p[i - 2] == ' ')
			return i > columns / 2 ? spaces + GAP : i;
	}
	return spaces + GAP;
}

/* As much of the line as has room: up to a space, if there is one behind the indentation. */
static struct str piece_of(struct str line, size_t room, size_t indented)
{
	struct str piece = head_of(line, room);
	size_t n = piece.n;

	if (piece.n == line.n || line.p[n] == ' ')
		return piece;
	while (n > indented && piece.p[n - 1] != ' ')
		n--;
	return n > indented ? (struct str){ piece.p, n } : piece;
}

/* The line's verdict: all before a gap, or up to a comma. */
static size_t verdict_of(struct str line)
{
	size_t n = 0;

	while (n < line.n && (line.p[n] != ' ' || (n + 1 < line.n && line.p[n + 1] != ' ')))
		if (line.p[n++] == ',')
			break;
	return n;
}

static void put_line(struct str line, size_t columns)
{
	size_t hang = hang_of(line, columns), room = columns ? columns : SIZE_MAX, indented = hang;
	size_t n = verdict_of(line);
	int colour = colour_of((struct str){ line.p, n });

	if (n > room || !colour)
		n = 0;
	put((struct str){ line.p, n }, colour);
	do {
		struct str piece = piece_of(line, room, indented);

		put((struct str){ piece.p + n, piece.n - n }, 0);
		line = str_trim((struct str){ line.p + piece.n, line.n - piece.n });
		if (line.n)
			printf("\n%*s", (int)hang, "");
		room = columns - hang;
		indented = n = 0;
	} while (line.n);
	putchar('\n');
}

void show_lines(struct str text)
{
	size_t columns = out_columns();
	struct str line;

	while (str_next(&text, '\n', &line))
		if (line.n || text.n)
			put_line(line, columns);
}
