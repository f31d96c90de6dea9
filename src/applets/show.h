/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All tables and lists of facts that applets print, to standard output. On a terminal they fit its width (COLUMNS, else what the
 * terminal says) and what is well or wrong has a colour, unless NO_COLOR or TERM=dumb; elsewhere they are whole, for programs that
 * read them.
 */
#ifndef APPLETS_SHOW_H
#define APPLETS_SHOW_H

#include "base/buf.h"

#define SHOW_COLUMNS_MAX 16

/* One more cell of a row, fit to be shown; "-" if it is empty. A row ends with '\n', its first has the titles. */
void show_cell(struct buf *rows, const char *s);
/* ranks: a digit for each column. On a terminal that is too narrow those above 2 go, the greatest first; then cells are cut. */
void show_table(struct str rows, const char *ranks);
/* Lines, free of control bytes. On a terminal long ones are broken between words, and go on where their text begins: behind
 * the first gap of two spaces, or the indentation. */
void show_lines(struct str text);

#endif
