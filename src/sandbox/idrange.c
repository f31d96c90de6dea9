/* SPDX-License-Identifier: Apache-2.0 */
/* See idrange.h. */
#include "sandbox/idrange.h"

#include "base/file.h"
#include "base/str.h"
#include "sandbox/userns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define OWNER_MAX 160 /* an id is shorter */

static bool owned_by(int dir, const char *name, const char *owner)
{
	char to[OWNER_MAX];
	ssize_t n = readlinkat(dir, name, to, sizeof(to));

	return n > 0 && (size_t)n == strlen(owner) && memcmp(to, owner, (size_t)n) == 0;
}

/* Calls for each range of that owner. */
static int each(const char *path, const char *owner, bool remove, int64_t *found, struct err *e)
{
	DIR *dir = opendir(path);
	struct dirent *ent;
	int64_t slot;
	int rc = 0;

	*found = -1;
	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "open %s", path);
	while ((ent = readdir(dir)) != NULL) {
		if (!str_to_i64(str_of(ent->d_name), 0, IDRANGE_N - 1, &slot) ||
		    !owned_by(dirfd(dir), ent->d_name, owner))
			continue;
		*found = slot;
		if (remove && unlinkat(dirfd(dir), ent->d_name, 0) < 0 && errno != ENOENT)
			rc = err_sys(e, errno, "remove %s/%s", path, ent->d_name);
	}
	closedir(dir);
	return rc;
}

/* Runners of one host do not know of one another's: where each begins to look depends on its directory. */
static uint32_t begin_at(const char *dir)
{
	uint32_t h = 2166136261u;

	for (; *dir; dir++)
		h = (h ^ (unsigned char)*dir) * 16777619u;
	return h % IDRANGE_N;
}

int idrange_take(const char *dir, const char *owner, uint32_t *first, struct err *e)
{
	uint32_t begin = begin_at(dir);
	int64_t slot;
	int fd;

	if (file_mkdirs(dir, 0700, e) < 0 || each(dir, owner, false, &slot, e) < 0)
		return -1;
	fd = slot < 0 ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	for (uint32_t i = 0; slot < 0 && fd >= 0 && i < IDRANGE_N; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", (begin + i) % IDRANGE_N);
		if (symlinkat(owner, fd, name) == 0)
			slot = (begin + i) % IDRANGE_N;
		else if (errno != EEXIST)
			break;
	}
	if (slot < 0)
		err_sys(e, errno, "take a range of ids in %s", dir);
	fd_close(&fd);
	if (slot < 0)
		return -1;
	*first = IDRANGE_FIRST + (uint32_t)slot * USERNS_RANGE;
	return 0;
}

int idrange_free(const char *dir, const char *owner, struct err *e)
{
	int64_t found;

	return each(dir, owner, true, &found, e);
}
