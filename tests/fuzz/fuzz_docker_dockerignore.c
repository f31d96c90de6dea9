/* SPDX-License-Identifier: Apache-2.0 */
/* .dockerignore: patterns, a NUL, a path. */
#include "base/mem.h"
#include "oci/dockerignore.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *nul = size ? memchr(p, '\0', size) : NULL;
	size_t n = nul ? (size_t)(nul - p) : size;
	char *path = nul ? mem_dupn(nul + 1, size - n - 1) : mem_dup("a/b.c/d");
	struct dockerignore d = { 0 };
	struct err e = { 0 };

	if (n > 4096)
		n = 4096;
	if (dockerignore_parse(&d, (struct str){ p, n }, &e) < 0 && !*e.msg)
		abort();
	if (dockerignore_match(&d, path) && !d.n)
		abort();
	dockerignore_free(&d);
	free(path);
	return 0;
}
