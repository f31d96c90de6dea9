/* SPDX-License-Identifier: Apache-2.0 */
/* The memory inih takes for a line: keys stand in there, so it is wiped before it is given back, and never moved. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct block {
	size_t n;
	max_align_t bytes[];
};

void *ini_malloc(size_t n);
void ini_free(void *p);
void *ini_realloc(void *p, size_t n);

static struct block *block_of(void *p)
{
	return (struct block *)(void *)((char *)p - offsetof(struct block, bytes));
}

void *ini_malloc(size_t n)
{
	struct block *b = malloc(offsetof(struct block, bytes) + n);

	if (!b)
		return NULL;
	b->n = n;
	return b->bytes;
}

void ini_free(void *p)
{
	if (!p)
		return;
	explicit_bzero(p, block_of(p)->n);
	free(block_of(p));
}

void *ini_realloc(void *p, size_t n)
{
	void *to = ini_malloc(n);
	size_t old = p ? block_of(p)->n : 0;

	if (!to)
		return NULL;
	if (p)
		memcpy(to, p, old < n ? old : n);
	ini_free(p);
	return to;
}
