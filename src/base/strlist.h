/* SPDX-License-Identifier: Apache-2.0 */
/* A list of owned strings. */
#ifndef BASE_STRLIST_H
#define BASE_STRLIST_H

#include <stddef.h>

struct strlist {
	char **p;
	size_t n;
};
void strlist_add(struct strlist *l, const char *s); /* copies */
void strlist_free(struct strlist *l);

#endif
