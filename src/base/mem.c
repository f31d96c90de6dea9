/* SPDX-License-Identifier: Apache-2.0 */
/* See mem.h. */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mem_out(void)
{
	/* Not among the constants, which may not be there yet. */
	static char text[] __attribute__((section(".data"))) = "daytona-runner: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(1);
}

static void *or_die(void *p)
{
	if (!p)
		mem_out();
	return p;
}

void *mem_alloc(size_t n)
{
	return or_die(calloc(1, n ? n : 1));
}

void *mem_realloc(void *p, size_t n)
{
	return or_die(realloc(p, n ? n : 1));
}

void *mem_array(size_t n, size_t size)
{
	return or_die(calloc(n ? n : 1, size ? size : 1));
}

char *mem_dup(const char *s)
{
	return s ? mem_dupn(s, strlen(s)) : NULL;
}

char *mem_dupn(const char *p, size_t n)
{
	char *s;

	if (n == SIZE_MAX)
		mem_out();
	s = mem_alloc(n + 1);
	if (n)
		memcpy(s, p, n);
	return s;
}

void mem_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

void mem_free_secret(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	free(s);
}
