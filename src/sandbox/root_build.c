/* SPDX-License-Identifier: Apache-2.0 */
/* The root file system before it becomes one; see inside.h. */
#include "sandbox/inside.h"

#include "base/file.h"
#include "sandbox/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENT (MOUNT_NOSUID | MOUNT_NODEV)

/* Of the host's root: what has a place of its own inside, and what belongs to people. */
static bool left_out(const char *name)
{
	static const char *const names[] = { ".",   "..",    "dev",  "proc",       "sys",
		                             "tmp", "run",   "root", "home",       "workspaces",
		                             "mnt", "media", "boot", "lost+found", "swapfile" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int lend(const char *point, const char *name, struct err *e)
{
	char from[NAME_MAX + 2], to[PATH_MAX], link[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(from, sizeof(from), "/%s", name);
	if ((size_t)snprintf(to, sizeof(to), "%s/%s", point, name) >= sizeof(to))
		return err_set(e, ERR_LIMIT, 0, "%s: the path is too long", point);
	if (lstat(from, &st) < 0)
		return 0; /* gone meanwhile */
	if (S_ISLNK(st.st_mode)) {
		n = readlink(from, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		return n > 0 && symlink(link, to) < 0 ? err_sys(e, errno, "link %s", to) : 0;
	}
	if (!S_ISDIR(st.st_mode) || access(from, X_OK) < 0)
		return 0;
	if (mkdir(to, 0755) < 0)
		return err_sys(e, errno, "make %s", to);
	return mount_bind(from, to, LENT | MOUNT_RO, e);
}

/* Covers what must not be seen. What the host's root does not show at all needs none. */
static int hide(const char *point, const char *path, struct err *e)
{
	char at[PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(at, sizeof(at), "%s%s", point, path) >= sizeof(at))
		return err_set(e, ERR_LIMIT, 0, "%s: the path is too long", path);
	if (stat(at, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
		               ? 0
		               : err_sys(e, errno, "look at %s", at);
	if (S_ISDIR(st.st_mode))
		return mount_fs("tmpfs", at, LENT | MOUNT_RO, "size=4k,mode=0", e);
	return mount_bind("/dev/null", at, MOUNT_RO, e);
}

static int build_of_host(const struct sandbox *s, struct err *e)
{
	DIR *dir;
	struct dirent *ent;
	int rc;

	if (mount_fs("tmpfs", s->point, LENT, "size=16m,mode=0755", e) < 0)
		return -1;
	if (chown(s->point, userns_uid(s->map, 0), userns_gid(s->map, 0)) < 0)
		return err_sys(e, errno, "give away the root directory");
	dir = opendir("/");
	rc = dir ? 0 : err_sys(e, errno, "read /");
	while (rc == 0 && (ent = readdir(dir)) != NULL)
		if (!left_out(ent->d_name))
			rc = lend(s->point, ent->d_name, e);
	if (dir)
		closedir(dir);
	for (size_t i = 0; rc == 0 && i < s->n_hide; i++)
		rc = hide(s->point, s->hide[i], e);
	return rc;
}

int root_build(const struct sandbox *s, int userns, struct err *e)
{
	if (s->n_lower) {
		struct overlay o = { s->lower,
			             s->n_lower,
			             s->upper,
			             s->work,
			             s->point,
			             s->shift ? userns : -1,
			             s->map->how != MAP_RANGE };

		return mount_overlay(&o, e);
	}
	if (s->plain)
		return mount_bind(s->plain, s->point, LENT, e);
	return build_of_host(s, e);
}
