/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer of an image (OCI image specification, "layer"), from its tar stream into a directory of its own that overlayfs
 * takes as a lower one: whiteouts become devices 0:0, opaque directories carry its mark. The stream may be hostile: whatever
 * it says, nothing is touched outside the directory, memory stays bounded, and it ends in an error of one line or in a
 * harmless tree. Devices are left out, since a workspace has a /dev of its own.
 */
#ifndef OCI_UNPACK_H
#define OCI_UNPACK_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNPACK_ENTRIES_MAX 4000000u
#define UNPACK_BYTES_MAX (UINT64_C(64) << 30) /* of one layer */
#define UNPACK_RANGES_MAX 8

/* Ids of the image and of this machine: n from inside on become those from outside on. */
struct id_range {
	uint32_t inside, outside, n;
};

struct unpack_owner {
	/* Without the right to give files away: all are ours, and the owner and mode of files and directories stand in the
	 * attribute UNPACK_RECORD ("uid:gid:mode", mode in octal), as other tools read and write it. */
	bool recorded;
	/* Else files are given away, through these; none: as the image has it. An id in no range is an error. */
	struct id_range uids[UNPACK_RANGES_MAX], gids[UNPACK_RANGES_MAX];
	size_t n_uids, n_gids;
	/* The marks of overlayfs in user.overlay.* (its option userxattr): for mounts inside a user namespace. */
	bool user_marks;
};
#define UNPACK_RECORD "user.containers.override_stat"
/* Then also: a file in scratch with the names, below root and each with its NUL, of what is not root's. Its absence means
 * that there is none. Hints: what has the name in the end says by its attribute whose it is. */
#define UNPACK_OWNERS "owners"

/* Whether this process may give files away and set trusted attributes: root has not got that right in every container. */
bool unpack_may_give(void);
/* What the image has, where that is so; else recorded, with marks of the user's. */
struct unpack_owner unpack_owner_here(void);

struct unpack_seen {
	uint64_t entries, bytes;
	unsigned devices; /* left out */
	unsigned
		xattrs; /* left out: the file system or our rights do not allow them, or they are the mount's own */
};

struct unpack;

/* root: an empty directory that nobody else sees; scratch: one for a file that has no name. Both borrowed. */
struct unpack *unpack_new(int root, int scratch, const struct unpack_owner *o);
void unpack_free(struct unpack *u); /* NULL is fine */
int unpack_feed(struct unpack *u, struct str tar, struct err *e);
/* All was fed: modes and times of directories. */
int unpack_end(struct unpack *u, struct err *e);
struct unpack_seen unpack_seen(const struct unpack *u);

#endif
