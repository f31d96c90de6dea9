/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See box.h. An ordinary user with a range of ids has layers whose files are all his; whose they are in the image only stands
 * beside them. What is not root's is given to its owner before anything runs: overlayfs copies it for that, so layers stay
 * shared.
 */
#include "base/file.h"
#include "base/inroot.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/layer.h"
#include "providers/native/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_MAX (64 << 20)

struct giving {
	const struct userns_map *map;
	const struct buf *names;
};

/* The record goes last: as long as it is there all of this is done once more, and then the owner is the file's own. */
static int give(const struct giving *g, int fd, const char *name, struct err *e)
{
	struct tar_entry en = { 0 };
	struct stat st;
	char at[32];

	snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at %s", name);
	if (S_ISLNK(st.st_mode) || !layer_recorded(at, &en) || (!en.uid && !en.gid) ||
	    !userns_has(g->map, en.uid, en.gid))
		return 0;
	if ((en.uid != st.st_uid || en.gid != st.st_gid) &&
	    fchownat(fd, "", en.uid, en.gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, errno, "give %s to its owner", name);
	/* A part of it is lost with the owner. */
	if (chmod(at, en.mode) < 0)
		return err_sys(e, errno, "set the mode of %s", name);
	return removexattr(at, UNPACK_RECORD) < 0
	               ? err_sys(e, errno, "remove what was noted of %s", name)
	               : 0;
}

/* As root inside. Directories that only their owner may search are listed behind what lies in them, or root may do so. */
static int give_all(void *arg, const int *roots, struct err *e)
{
	const struct giving *g = arg;
	const char *name = g->names->p, *end = name + g->names->n;
	int rc = 0;

	for (; rc == 0 && name < end; name += strlen(name) + 1) {
		int fd = inroot_open(roots[0], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue; /* another layer has removed it */
		rc = give(g, fd, name, e);
		close(fd);
	}
	return rc;
}

int native_owners_add(const char *tree, struct buf *names, struct err *e)
{
	const char *slash = strrchr(tree, '/');
	struct buf path = { 0 };
	int rc;

	buf_add(&path, tree, slash ? (size_t)(slash - tree) : 0);
	buf_adds(&path, "/" UNPACK_OWNERS);
	rc = access(buf_cstr(&path), F_OK) < 0 && errno == ENOENT
	             ? 0
	             : file_read(buf_cstr(&path), NAMES_MAX - names->n, names, e);
	buf_free(&path);
	return rc;
}

int native_owners_give(const struct sandbox *s, const struct buf *names, struct deadline d,
                       struct err *e)
{
	struct giving g = { .map = s->map, .names = names };

	return names->n ? sandbox_work(s, 1, give_all, &g, -1, d, e) : 0;
}

int native_box_give(struct native_call *c, struct deadline d, struct err *e)
{
	const struct native_box *box = &c->state.box;
	struct buf names = { 0 };
	struct native_boxed b;
	int rc;

	if (box->map.how != MAP_TOOLS || (box->kind != BOX_IMAGE && box->kind != BOX_ARCHIVE))
		return 0;
	rc = native_boxed_open(&b, c, d, e);
	for (size_t i = 0; rc == 0 && i < b.rootfs.n; i++)
		rc = native_owners_add(b.rootfs.lower[i], &names, e);
	if (rc == 0 && box->kind == BOX_ARCHIVE)
		rc = native_owners_add(b.tree, &names, e);
	if (rc == 0)
		rc = native_owners_give(&b.s, &names, d, e);
	native_boxed_close(&b);
	buf_free(&names);
	return rc < 0 ? err_wrap(e, "owners of the image's files") : 0;
}
