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
#include <unistd.h>

#define NAMES_MAX (64 << 20)

struct giving {
	const struct userns_map *map;
	struct buf names; /* as in UNPACK_OWNERS */
};

static int give(const struct giving *g, int fd, const char *name, struct err *e)
{
	const struct unpack_owner as_here = { 0 };
	struct tar_entry en = { 0 };
	struct stat st;
	char at[32];

	snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "look at %s", name);
	layer_owner(&as_here, at, &st, &en);
	if ((en.uid == st.st_uid && en.gid == st.st_gid) || !userns_has(g->map, en.uid, en.gid))
		return 0;
	if (fchownat(fd, "", en.uid, en.gid, AT_EMPTY_PATH) < 0)
		return err_sys(e, errno, "give %s to its owner", name);
	/* These are lost with the owner. */
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_ISUID | S_ISGID)) &&
	    chmod(at, st.st_mode & 07777) < 0)
		return err_sys(e, errno, "set the mode of %s", name);
	return 0;
}

/* As root inside. Directories that only their owner may search are listed behind what lies in them, or root may do so. */
static int give_all(void *arg, const int *roots, struct err *e)
{
	const struct giving *g = arg;
	const char *name = buf_cstr(&g->names), *end = name + g->names.n;
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

/* The list beside a tree, if there is one. */
static int add_names(struct giving *g, const char *tree, struct err *e)
{
	const char *slash = strrchr(tree, '/');
	struct buf path = { 0 };
	int rc;

	buf_add(&path, tree, slash ? (size_t)(slash - tree) : 0);
	buf_adds(&path, "/" UNPACK_OWNERS);
	rc = access(buf_cstr(&path), F_OK) < 0 && errno == ENOENT
	             ? 0
	             : file_read(buf_cstr(&path), NAMES_MAX - g->names.n, &g->names, e);
	buf_free(&path);
	return rc;
}

int native_box_give(struct native_call *c, struct deadline d, struct err *e)
{
	const struct native_box *box = &c->state.box;
	struct giving g = { .map = &box->map };
	struct native_boxed b;
	int rc;

	if (box->map.how != MAP_TOOLS || (box->kind != BOX_IMAGE && box->kind != BOX_ARCHIVE))
		return 0;
	rc = native_boxed_open(&b, c, d, e);
	for (size_t i = 0; rc == 0 && i < b.rootfs.n; i++)
		rc = add_names(&g, b.rootfs.lower[i], e);
	if (rc == 0 && box->kind == BOX_ARCHIVE)
		rc = add_names(&g, b.tree, e);
	if (rc == 0 && g.names.n)
		rc = sandbox_work(&b.s, 1, give_all, &g, -1, d, e);
	native_boxed_close(&b);
	buf_free(&g.names);
	return rc < 0 ? err_wrap(e, "owners of the image's files") : 0;
}
