/* SPDX-License-Identifier: Apache-2.0 */
/* Showing log files made of entries (protocol 6): for a person, for a terminal, or as JSON
 * lines. */
#ifndef HOST_LOGVIEW_H
#define HOST_LOGVIEW_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct logview {
	bool json;             /* entries as JSON, one a line */
	bool times;            /* each line begins with the time of its entry */
	bool terminal;         /* control characters are made harmless */
	bool colours;          /* colour sequences stay */
	const char *word;      /* only entries whose text has it between blanks; NULL: all */
	int64_t since_wall_ms; /* only entries of that time or later; 0: all */
	bool mid_line;         /* state: what was shown last did not end its line */
	bool bars; /* how far a pull is: a bar, which the next one redraws; on a terminal, without times */
	bool bar; /* state: what was shown last is one */
};

/* "[###---]": of something that goes on. Appends. */
void logview_bar(struct buf *out, unsigned percent);
/* Appends what one line of the file (without its LF) or one frame shows. Text that is no entry
 * is shown as it is; bytes that a power cut left as NULs are replaced by one marker with their
 * number. */
void logview_add(struct logview *v, struct str line, struct buf *out);
/* Offset in fd, below end, where the last n lines begin; *found: how many there are (n at most). */
off_t logview_tail(int fd, off_t end, size_t n, size_t *found);
/* The last n entries of a local log as lines for a message; nothing if there is no such file.
 * Appends. */
void logview_last(const char *path, size_t n, struct buf *out);

#endif
