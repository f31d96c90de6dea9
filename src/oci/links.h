/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a tree that have several names, and the one that each was met by first. */
#ifndef OCI_LINKS_H
#define OCI_LINKS_H

#include <stddef.h>
#include <sys/stat.h>

#define LINKS_BUCKETS 1024
#define LINKS_MAX 100000 /* beyond that a file becomes two: memory is bounded */

struct links { /* zero */
	struct link {
		ino_t ino;
		char *path;
		size_t next; /* in its bucket, plus one */
	} * list;
	size_t n, cap, buckets[LINKS_BUCKETS];
};

/* The name that the file of st has already; NULL, and path is it from now on. Borrowed. */
const char *links_name(struct links *l, const struct stat *st, const char *path);
void links_free(struct links *l);

#endif
