/* SPDX-License-Identifier: Apache-2.0 */
/* See links.h. */
#include "oci/links.h"

#include "base/mem.h"

#include <stdlib.h>

const char *links_name(struct links *l, const struct stat *st, const char *path)
{
	size_t *bucket = &l->buckets[st->st_ino % LINKS_BUCKETS];

	if (st->st_nlink < 2)
		return NULL;
	for (size_t i = *bucket; i; i = l->list[i - 1].next)
		if (l->list[i - 1].ino == st->st_ino)
			return l->list[i - 1].path;
	if (l->n >= LINKS_MAX)
		return NULL;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->list = mem_realloc(l->list, l->cap * sizeof(*l->list));
	}
	l->list[l->n] = (struct link){ st->st_ino, mem_dup(path), *bucket };
	*bucket = ++l->n;
	return NULL;
}

void links_free(struct links *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->list[i].path);
	free(l->list);
	*l = (struct links){ 0 };
}
