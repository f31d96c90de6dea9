/* SPDX-License-Identifier: Apache-2.0 */
/* User namespaces: which ids outside the ids inside are. */
#ifndef SANDBOX_USERNS_H
#define SANDBOX_USERNS_H

#include "base/deadline.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERNS_RANGE 65536u /* ids of a sandbox */

enum map_how {
	MAP_SINGLE, /* 0 inside is we, and there is no other id */
	MAP_TOOLS, /* 0 inside is we, others come from /etc/subuid and /etc/subgid, by newuidmap and newgidmap */
	MAP_RANGE, /* a range that is nobody's outside; we are root there */
};

struct userns_map {
	enum map_how how;
	uint32_t uids, gids;     /* outside: of 0 with MAP_RANGE, of 1 with MAP_TOOLS */
	uint32_t n_uids, n_gids; /* how many from there on */
};

/* Descriptor of a new namespace. */
int userns_open(const struct userns_map *map, struct deadline d, struct err *e);
/* Becomes root in it. For a process with one thread. */
int userns_enter(int ns, const struct userns_map *map, struct err *e);
/* Whether there is such an id inside. */
bool userns_has(const struct userns_map *map, uint32_t uid, uint32_t gid);
/* What ids are called by the one who builds the root file system: with MAP_RANGE it does so from outside. */
uint32_t userns_uid(const struct userns_map *map, uint32_t uid);
uint32_t userns_gid(const struct userns_map *map, uint32_t gid);

/* What an ordinary user may have: MAP_TOOLS if there are ranges and tools, else MAP_SINGLE, with the reason in why. */
struct buf;
void userns_ordinary(struct userns_map *map, struct buf *why);
/* The first range of uid (by number or name) in the text of /etc/subuid or /etc/subgid. */
struct str;
bool subid_parse(struct str text, const char *name, uint32_t uid, uint32_t *first, uint32_t *n);

/* Runs work(arg) as root of such a namespace, in a process of its own; its error becomes ours. */
int userns_run(const struct userns_map *map, int (*work)(void *arg, struct err *e), void *arg,
               struct deadline d, struct err *e);

#endif
