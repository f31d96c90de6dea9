/* SPDX-License-Identifier: Apache-2.0 */
/* See disk.h; quotactl(2), xfs_quota(8) on project ids. */
#include "sandbox/disk.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUOTACTL_FD 443 /* Linux 5.14; the same on every architecture */
#define PROJECTS 2      /* PRJQUOTA, which older headers lack */
#define COMMAND(c) ((unsigned)QCMD(c, PROJECTS))
#define ENFORCED (1 << 5) /* FS_QUOTA_PDQ_ENFD */
#define FIRST_PROJECT 0x40000000u
#define PROJECT_MASK 0x3fffffffu
#define PROJECT_TRIES 64
#define BLOCK 1024 /* of quotas */
#define STAT_BLOCK 512
#define DEPTH_MAX 256

static long quota(int fd, unsigned cmd, uint32_t id, void *arg)
{
	return syscall(QUOTACTL_FD, fd, cmd, id, arg);
}

static int unsupported(struct err *e, const char *dir, const char *why)
{
	return err_set(e, ERR_UNSUPPORTED, errno, "%s: %s", dir, why);
}

static bool is_ours(uint32_t project)
{
	return (project & ~PROJECT_MASK) == FIRST_PROJECT;
}

static bool is_enforced(int fd)
{
	struct fs_quota_stat s = { .qs_version = FS_QSTAT_VERSION };

	return quota(fd, COMMAND(Q_XGETQSTAT), 0, &s) == 0 && s.qs_flags & ENFORCED;
}

/* A number that nothing else has. Where it begins to look follows from the directory, so two seldom meet. */
static bool free_project(int fd, uint32_t *out)
{
	struct stat st;
	uint32_t h;

	if (fstat(fd, &st) < 0)
		return false;
	h = (uint32_t)st.st_ino * 2654435761u;
	for (int i = 0; i < PROJECT_TRIES; i++) {
		struct if_dqblk q = { 0 };
		uint32_t id = FIRST_PROJECT | ((h + (uint32_t)i) & PROJECT_MASK);

		if (quota(fd, COMMAND(Q_GETQUOTA), id, &q) < 0 && errno != ENOENT)
			return false;
		if (!q.dqb_curspace && !q.dqb_curinodes && !q.dqb_bhardlimit) {
			*out = id;
			return true;
		}
	}
	return false;
}

static int set_limit(int fd, uint32_t project, int64_t bytes)
{
	struct if_dqblk q = { .dqb_valid = QIF_BLIMITS };

	q.dqb_bhardlimit = ((uint64_t)bytes + BLOCK - 1) / BLOCK;
	q.dqb_bsoftlimit = q.dqb_bhardlimit;
	return (int)quota(fd, COMMAND(Q_SETQUOTA), project, &q);
}

static int limit_open(int fd, const char *dir, int64_t bytes, struct err *e)
{
	struct fsxattr x = { 0 };

	if (syscall(SYS_ioctl, fd, FS_IOC_FSGETXATTR, &x) < 0)
		return bytes ? unsupported(e, dir, "this file system has no projects") : 0;
	if (bytes == 0 && !is_ours(x.fsx_projid))
		return 0;
	if (!is_enforced(fd))
		return unsupported(e, dir,
		                   "this file system is mounted without project quotas "
		                   "(mount option prjquota)");
	if (!is_ours(x.fsx_projid)) {
		if (x.fsx_projid != 0)
			return unsupported(e, dir, "it has a project of somebody else");
		if (!free_project(fd, &x.fsx_projid))
			return unsupported(e, dir, "no project is free");
		x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
		if (syscall(SYS_ioctl, fd, FS_IOC_FSSETXATTR, &x) < 0)
			return unsupported(e, dir, "its project cannot be set");
	}
	if (set_limit(fd, x.fsx_projid, bytes) < 0)
		return unsupported(e, dir, "the quota cannot be set");
	return 0;
}

static int open_dir(const char *dir, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		err_sys(e, errno, "open %s", dir);
	return fd;
}

int disk_limit(const char *dir, int64_t bytes, struct err *e)
{
	int fd = open_dir(dir, e);
	int rc = fd < 0 ? -1 : limit_open(fd, dir, bytes, e);

	fd_close(&fd);
	return rc;
}

void disk_unlimit(const char *dir)
{
	struct err ignored;

	(void)disk_limit(dir, 0, &ignored);
}

static bool quota_of(int fd, struct if_dqblk *q)
{
	struct fsxattr x = { 0 };

	memset(q, 0, sizeof(*q));
	return syscall(SYS_ioctl, fd, FS_IOC_FSGETXATTR, &x) == 0 && is_ours(x.fsx_projid) &&
	       is_enforced(fd) && quota(fd, COMMAND(Q_GETQUOTA), x.fsx_projid, q) == 0 &&
	       q->dqb_bhardlimit;
}

bool disk_limited(const char *dir, int64_t *bytes)
{
	struct err ignored;
	struct if_dqblk q;
	int fd = open_dir(dir, &ignored);
	bool limited = fd >= 0 && quota_of(fd, &q);

	if (limited)
		*bytes = (int64_t)(q.dqb_bhardlimit * BLOCK);
	fd_close(&fd);
	return limited;
}

/* ---- looking ---- */

struct look {
	int64_t enough, bytes;
	size_t entries;
	dev_t dev;
	struct deadline d;
	bool whole;
};

static void add(struct look *l, const struct stat *st)
{
	int64_t bytes = (int64_t)st->st_blocks * STAT_BLOCK;

	/* A file of several names counts once, in parts. */
	l->bytes += S_ISDIR(st->st_mode) || st->st_nlink < 2 ? bytes
	                                                     : bytes / (int64_t)st->st_nlink;
}

static bool go_on(struct look *l)
{
	if (l->bytes > l->enough || l->entries >= DISK_ENTRIES ||
	    (l->entries % 256 == 0 && deadline_passed(l->d)))
		l->whole = false;
	return l->whole;
}

/* Takes fd. */
static void walk(struct look *l, int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *ent;

	if (!d) {
		close(fd);
		l->whole = false;
		return;
	}
	while (go_on(l) && (ent = readdir(d)) != NULL) {
		struct stat st;
		int sub;

		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		l->entries++;
		if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_dev != l->dev)
			continue; /* gone meanwhile, or mounted */
		add(l, &st);
		if (!S_ISDIR(st.st_mode))
			continue;
		sub = depth < DEPTH_MAX ? openat(dirfd(d), ent->d_name,
		                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
		                        : -1;
		if (sub >= 0)
			walk(l, sub, depth + 1);
		else if (errno != ENOENT || depth >= DEPTH_MAX)
			l->whole = false;
	}
	closedir(d);
}

int disk_usage(const char *dir, int64_t enough, struct deadline d, int64_t *bytes, bool *whole,
               struct err *e)
{
	struct look l = { .enough = enough, .d = d, .whole = true };
	struct if_dqblk q;
	struct stat st;
	int fd = open_dir(dir, e);

	if (fd < 0)
		return -1;
	if (quota_of(fd, &q)) {
		l.bytes = (int64_t)q.dqb_curspace;
		fd_close(&fd);
	} else if (fstat(fd, &st) < 0) {
		err_sys(e, errno, "stat %s", dir);
		fd_close(&fd);
		return -1;
	} else {
		l.dev = st.st_dev;
		add(&l, &st);
		walk(&l, fd, 0);
	}
	*bytes = l.bytes;
	*whole = l.whole;
	return 0;
}
