/* SPDX-License-Identifier: Apache-2.0 */
/* What an applet writes: whether with colours, how wide, and the end of what it writes to standard output. */
#ifndef BASE_OUT_H
#define BASE_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* A terminal, and neither NO_COLOR nor TERM says that it is to stay plain. */
bool out_colours(int fd);
/* Of standard output: COLUMNS, else what the terminal says; 0: no terminal, or nobody knows. */
size_t out_columns(void);
/*
 * Flushes stdout. 0 if all of it was written, else the exit status to end with: 1 after one line on
 * stderr (a full disk), 141 in silence when the reader of a pipe has gone, as a shell shows SIGPIPE.
 * Call it once, last: `return out_flush();`.
 */
int out_flush(void);

#endif
