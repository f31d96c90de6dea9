/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See confine.h: Landlock. Its rules only allow, so a path is hidden by allowing what lies beside it, in each
 * directory from the root down. The numbers are the kernel's and the same on every architecture.
 */
#include "base/confine.h"

#include "base/attr.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446
#define ASK_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_OF_FILES (1ull << 1 | 1ull << 2 | FS_TRUNCATE) /* write, read */
#define FS_ENTRIES (1ull << 5 | 1ull << 8 | 1ull << 12)   /* remove a file, make one or a link */
#define FS_DIRS (1ull << 4 | 1ull << 7)                   /* remove and make directories */
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define SCOPE_ABSTRACT_SOCKET (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)
#define CAPABILITY_FILES_END 8 /* CAP_CHOWN to CAP_SETUID are below it */
#define CROWD 512              /* rules for what lies in one directory: 3 ms */

#define HIDDEN_BESIDE 32 /* of these names some may be of what is hidden */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static struct {
	struct hidden {
		char *path; /* the real one */
		enum confine_who who;
	} * list;
	size_t n;
	const char *kept;
} hidden;

void confine_hide(const char *path, enum confine_who who)
{
	char *real = path ? realpath(path, NULL) : NULL;

	if (!real)
		return;
	hidden.list = mem_realloc(hidden.list, (hidden.n + 1) * sizeof(hidden.list[0]));
	hidden.list[hidden.n++] = (struct hidden){ real, who };
}

void confine_keep(const char *path)
{
	hidden.kept = path;
}

struct rules {
	int set;
	uint64_t fs;
	enum confine_who who;
};

static void allow(const struct rules *r, int at, const char *name)
{
	int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct path_beneath rule = { r->fs, fd };
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode)) {
		if (!S_ISDIR(st.st_mode))
			rule.allowed &= FS_OF_FILES;
		syscall(SYS_ADD_RULE, r->set, RULE_PATH_BENEATH, &rule, 0);
	}
	close(fd);
}

enum place { BESIDE, ABOVE, HIDDEN };

static enum place place_of(const struct rules *r, const char *path)
{
	size_t n = strlen(path);
	enum place p = BESIDE;

	for (size_t i = 0; i < hidden.n; i++) {
		const char *h = hidden.list[i].path;
		size_t hn = strlen(h);

		if (hidden.list[i].who > r->who)
			continue;
		if (strncmp(path, h, hn) == 0 && (!path[hn] || path[hn] == '.'))
			return HIDDEN;
		if (strncmp(h, path, n) == 0 && h[n] == '/')
			p = ABOVE;
	}
	return p;
}

static void allow_one(const struct rules *r, const char *dir, int at, const char *name, int *left)
{
	struct buf path = { 0 };

	if (*left == 0)
		return;
	buf_addf(&path, "%s/%s", dir, name);
	if (place_of(r, path.p) == BESIDE) {
		allow(r, at, name);
		--*left;
	}
	buf_free(&path);
}

/* What lies in a directory above something hidden, up to CROWD of it: settings come first, then what holds much, then
 * single files. Nothing of one that cannot be listed: the hidden is no less hidden for that. To read the names takes most of
 * the time, so it is done once. */
static void allow_beside(const struct rules *r, const char *dir)
{
	DIR *d = opendir(*dir ? dir : "/");
	char *later[2][CROWD + HIDDEN_BESIDE]; /* directories, files */
	size_t n[2] = { 0 };
	struct dirent *ent;
	int left = CROWD;

	while (d && left > 0 && (ent = readdir(d)) != NULL) {
		size_t kind = ent->d_type != DT_DIR;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (ent->d_name[0] == '.')
			allow_one(r, dir, dirfd(d), ent->d_name, &left);
		else if (n[kind] < ARRAY_LEN(later[kind]))
			later[kind][n[kind]++] = mem_dup(ent->d_name);
	}
	for (size_t kind = 0; kind < ARRAY_LEN(later); kind++) {
		for (size_t i = 0; i < n[kind]; i++) {
			allow_one(r, dir, dirfd(d), later[kind][i], &left);
			free(later[kind][i]);
		}
	}
	if (d)
		closedir(d);
}

/* In each directory above hidden path i that no earlier one lies in. */
static void allow_along(const struct rules *r, size_t i)
{
	char *path = mem_dup(hidden.list[i].path);

	for (char *end = path; (end = strchr(end, '/')) != NULL; *end++ = '/') {
		size_t n = (size_t)(end - path) + 1, j = 0;

		while (j < i &&
		       (hidden.list[j].who > r->who || strncmp(hidden.list[j].path, path, n) != 0))
			j++;
		*end = '\0';
		if (place_of(r, path) != ABOVE)
			break;
		if (j == i)
			allow_beside(r, path);
	}
	free(path);
}

static long landlock_version(void)
{
	return syscall(SYS_CREATE_RULESET, NULL, 0UL, ASK_VERSION);
}

static bool restrict_files(uint64_t fs, enum confine_who who)
{
	long version = landlock_version();
	struct ruleset set = { .fs = version >= 3 ? fs : fs & ~FS_TRUNCATE };
	struct rules r = { .fs = set.fs, .who = who };
	bool done;

	if (version < 2)
		return false;
	if (version >= 6)
		set.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	r.set = (int)syscall(SYS_CREATE_RULESET, &set, version >= 6 ? sizeof(set) : sizeof(set.fs),
	                     0);
	if (r.set < 0)
		return false;
	if (place_of(&r, "") == ABOVE && set.fs != FS_REFER) {
		for (size_t i = 0; i < hidden.n; i++)
			if (hidden.list[i].who <= who)
				allow_along(&r, i);
		if (hidden.kept && who == HIDE_FROM_TOOLS)
			allow(&r, AT_FDCWD, hidden.kept);
	} else {
		allow(&r, AT_FDCWD, "/");
	}
	done = syscall(SYS_RESTRICT_SELF, r.set, 0) == 0;
	close(r.set);
	return done;
}

/* A ruleset has to handle some right: where no file is hidden, renames between directories. */
static bool restrict_self(uint64_t fs, enum confine_who who)
{
	return restrict_files(fs, who) || restrict_files(FS_REFER, who);
}

bool confine_job(void)
{
	/* It makes and removes directories for all its work; what is in new ones stays out of reach. */
	return restrict_self(FS_OF_FILES | FS_ENTRIES | FS_REFER, HIDE_FROM_JOB);
}

bool confine_sockets(void)
{
	struct ruleset set = { .scoped = SCOPE_ABSTRACT_SOCKET };
	int fd = landlock_version() < 6 ? -1
	                                : (int)syscall(SYS_CREATE_RULESET, &set, sizeof(set), 0);
	bool done = fd >= 0 && syscall(SYS_RESTRICT_SELF, fd, 0) == 0;

	if (fd >= 0)
		close(fd);
	return done;
}

bool confine_crowded(const char *path, struct buf *dir)
{
	char *up = realpath(path, NULL), *end;
	bool found = false;

	while (!found && up && (end = strrchr(up, '/')) != NULL) {
		DIR *d;
		int n = -2; /* "." and ".." */

		*end = '\0';
		d = opendir(*up ? up : "/");
		while (d && n <= CROWD && readdir(d))
			n++;
		found = !d || n > CROWD;
		if (d)
			closedir(d);
	}
	if (found)
		buf_adds(dir, up);
	free(up);
	return found;
}

const char *confine_hidden(size_t i)
{
	return i < hidden.n ? hidden.list[i].path : NULL;
}

/* Root keeps what work on files needs; CAP_SYS_ADMIN or CAP_PERFMON would read environments all the same. */
static void drop_capabilities(void)
{
	for (int cap = CAPABILITY_FILES_END; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
		;
}

bool confine_self(void)
{
	bool done;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	drop_capabilities();
	done = restrict_self(FS_OF_FILES | FS_ENTRIES | FS_DIRS | FS_REFER, HIDE_FROM_TOOLS);
	confine_syscalls(SYSCALLS_TOOL);
	return done;
}

void confine_describe(struct buf *b)
{
	long version = landlock_version();

	if (version >= 2)
		buf_addf(b, "Landlock %ld", version);
	else
		buf_adds(b, "no Landlock");
	/* A filter at NULL is told apart from a mode that is not known. */
	buf_adds(b, prctl(PR_SET_SECCOMP, 2, NULL, 0, 0) < 0 && errno == EFAULT ? ", seccomp"
	                                                                        : ", no seccomp");
}
