/* SPDX-License-Identifier: Apache-2.0 */
/* See out.h. */
#include "base/out.h"

#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MIN 20 /* less is no width to work with */

bool out_colours(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

size_t out_columns(void)
{
	const char *given = getenv("COLUMNS");
	struct winsize ws = { 0 };
	int64_t n = 0;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (!given || !str_to_i64(str_of(given), 1, INT16_MAX, &n)) {
		(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
		n = ws.ws_col;
	}
	return n && n < COLUMNS_MIN ? COLUMNS_MIN : (size_t)n;
}

int out_flush(void)
{
	int code;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	code = errno;
	if (code == 0) /* an earlier write failed; ask the descriptor again why */
		code = fputc('\n', stdout) == EOF || fflush(stdout) == EOF ? errno : EIO;
	__fpurge(stdout); /* reported here: a later flush must not fail again for the same bytes */
	clearerr(stdout);
	if (code == EPIPE)
		return 128 + SIGPIPE;
	fprintf(stderr, "daytona-runner: write to standard output: %s\n",
	        strerror(code ? code : EIO));
	return 1;
}
