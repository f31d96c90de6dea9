/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that a workspace asks for; see struct sandbox_mount. Source and place are opened step by step without following a
 * link, and mounted by these descriptors: what is put in their place meanwhile is not what is mounted.
 */
#include "base/beneath.h"
#include "base/file.h"
#include "sandbox/inside.h"
#include "sandbox/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define ATTRS (MOUNT_NOSUID | MOUNT_NODEV)

/* Descriptor of a mount that is nowhere yet. */
static int open_source(const struct sandbox *s, const struct sandbox_mount *mount, bool *is_dir,
                       struct err *e)
{
	unsigned attrs = ATTRS | (mount->read_only ? MOUNT_RO : 0);
	struct stat st = { 0 };
	int top = -1, fd = -1, tree = -1;

	*is_dir = true;
	if (!mount->dir) {
		tree = mount_detached("tmpfs", attrs, e);
		if (tree >= 0 && fchownat(tree, "", userns_uid(s->map, 0), userns_gid(s->map, 0),
		                          AT_EMPTY_PATH) < 0)
			err_sys(e, errno, "give it away");
		if (e->kind)
			fd_close(&tree);
		return tree;
	}
	/* The host's root is the working directory. */
	top = beneath_root(mount->dir + strspn(mount->dir, "/"), e);
	if (top >= 0)
		fd = beneath_look(top, mount->below, &st, e);
	*is_dir = S_ISDIR(st.st_mode);
	if (fd >= 0 && !*is_dir && !S_ISREG(st.st_mode))
		err_set(e, ERR_DENIED, 0, "%s is neither a directory nor a file", mount->below);
	else if (fd >= 0)
		tree = mount_detached_bind(fd, "", attrs, e);
	fd_close(&fd);
	fd_close(&top);
	return tree;
}

/* One that is missing belongs to whom the directory at belongs. */
static int make(int at, const char *name, bool is_dir, struct err *e)
{
	struct stat st;
	int rc = is_dir ? mkdirat(at, name, 0755) : mknodat(at, name, S_IFREG | 0644, 0);

	if (rc < 0 || fstat(at, &st) < 0 ||
	    fchownat(at, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make %s", name);
	return 0;
}

/* Descriptor of what is at the absolute path to. */
static int open_place(const char *to, bool is_dir, struct err *e)
{
	struct str rest = str_of(to + 1), piece;
	struct stat st = { 0 };
	int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), next;
	char name[NAME_MAX + 1];

	while (at >= 0 && str_next(&rest, '/', &piece)) {
		snprintf(name, sizeof(name), "%.*s", (int)piece.n, piece.p);
		next = piece.n > NAME_MAX ? err_sys(e, ENAMETOOLONG, "%s", name)
		                          : beneath_look(at, name, &st, e);
		if (next < 0 && e->kind == ERR_NOT_FOUND) {
			err_clear(e);
			if (make(at, name, is_dir || rest.n, e) == 0)
				next = beneath_look(at, name, &st, e);
		}
		fd_close(&at);
		at = next;
	}
	if (at >= 0 && S_ISDIR(st.st_mode) != is_dir) {
		err_set(e, ERR_DENIED, 0, is_dir ? "there is a file" : "there is a directory");
		fd_close(&at);
	}
	return at;
}

static int mount_one(const struct sandbox *s, const struct user *u,
                     const struct sandbox_mount *mount, struct err *e)
{
	bool is_dir;
	int tree = open_source(s, mount, &is_dir, e), at = -1, rc = -1;

	if (tree >= 0)
		at = open_place(mount->to, is_dir, e);
	if (at >= 0)
		rc = mount_attach_at(tree, at, e);
	fd_close(&at);
	fd_close(&tree);
	/* Its path has no link, and what is a mount can be neither renamed nor removed. */
	if (rc == 0 && mount->give && !mount->read_only)
		rc = root_give(mount->to, userns_uid(s->map, u->uid), userns_gid(s->map, u->gid),
		               e);
	return rc;
}

void root_mounts(const struct sandbox *s, const struct user *u)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct sandbox_mount *mount = &s->mounts[i];
		struct err why = { 0 }, line = { 0 };

		if (mount_one(s, u, mount, &why) == 0)
			continue;
		err_set(&line, ERR_OTHER, 0, "the mount at %s is left out: %s", mount->to, why.msg);
		s->say(s->arg, line.msg);
	}
}
