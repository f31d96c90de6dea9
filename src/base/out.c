/* SPDX-License-Identifier: Apache-2.0 */
/* See out.h. */
#include "base/out.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool out_colours(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
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
