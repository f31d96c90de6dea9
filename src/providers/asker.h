/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever asks for something: a repository, by its files, its features and the image it names. Each provider decides on it; the
 * same for all of them is what of the checkout may be mounted, and how it is said what is not taken over.
 */
#ifndef PROVIDERS_ASKER_H
#define PROVIDERS_ASKER_H

#include <stdbool.h>
#include <sys/types.h>

struct asker {                /* all borrowed */
	const char *checkout; /* on this host; NULL: there is none to mount from */
	const char *host_dir; /* the same, as the host of what is made sees it */
	void (*say)(void *arg, const char *text); /* what was not taken */
	void *arg;
};

/* What was found when it was looked at. */
struct asker_seen {
	bool there;
	dev_t dev;
	ino_t ino;
};

/* Whether what is mounted is on this host, so that it can be looked at. */
bool asker_is_here(const struct asker *a);
/* Whether a bind mount of source may be asked for: it is in the checkout and no link leads to it. */
bool asker_may_bind(const struct asker *a, const char *source, struct asker_seen *seen);
/* Says that something is not taken over. */
void asker_refuse(const struct asker *a, const char *what, const char *value);

#endif
