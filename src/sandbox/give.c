/* SPDX-License-Identifier: Apache-2.0 */
/* A tree given to another user; see inside.h. */
#include "sandbox/inside.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 400 /* each level holds a descriptor */

struct giving {
	uint32_t uid, gid;
	unsigned depth;
};

static int give_below(struct giving *giving, int dir, const char *path, struct err *e);

static int give_entry(struct giving *giving, int dir, const char *name, const char *path,
                      struct err *e)
{
	struct stat st;
	int fd, rc;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s: look at %s", path, name);
	if (S_ISDIR(st.st_mode)) {
		if (giving->depth == DEPTH_MAX)
			return err_set(e, ERR_LIMIT, 0, "%s is deeper than %d directories", path,
			               DEPTH_MAX);
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, errno, "%s: open %s", path, name);
		giving->depth++;
		rc = give_below(giving, fd, path, e);
		giving->depth--;
		if (rc < 0)
			return rc;
	}
	if (fchownat(dir, name, giving->uid, giving->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "%s: give away %s", path, name);
	return 0;
}

/* Takes dir. */
static int give_below(struct giving *giving, int dir, const char *path, struct err *e)
{
	DIR *d = fdopendir(dir);
	struct dirent *ent;
	int rc = 0;

	if (!d) {
		err_sys(e, errno, "read %s", path);
		close(dir);
		return -1;
	}
	while (rc == 0 && (ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			rc = give_entry(giving, dirfd(d), ent->d_name, path, e);
	closedir(d);
	return rc;
}

int root_give(const char *path, uint32_t uid, uint32_t gid, struct err *e)
{
	struct giving giving = { .uid = uid, .gid = gid };
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_sys(e, errno, "open %s of the workspace", path);
	if (fstat(fd, &st) == 0 && st.st_uid == uid && st.st_gid == gid) {
		close(fd);
		return 0; /* it is changed last, so all below is, too */
	}
	if (give_below(&giving, fd, path, e) < 0)
		return -1;
	return chown(path, uid, gid) < 0 ? err_sys(e, errno, "give away %s", path) : 0;
}
