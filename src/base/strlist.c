/* SPDX-License-Identifier: Apache-2.0 */
/* See strlist.h. */
#include "base/strlist.h"

#include "base/mem.h"

#include <stdlib.h>

void strlist_add(struct strlist *l, const char *s)
{
	l->p = mem_realloc(l->p, (l->n + 1) * sizeof(*l->p));
	l->p[l->n++] = mem_dup(s);
}

void strlist_free(struct strlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->p[i]);
	free(l->p);
	*l = (struct strlist){ 0 };
}
