/* SPDX-License-Identifier: Apache-2.0 */
/* See mounts.h. Numbers of calls from 424 on are the same on every architecture; headers may be older. */
#include "sandbox/mounts.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPEN_TREE 428
#define MOVE_MOUNT 429
#define FSOPEN 430
#define FSCONFIG 431
#define FSMOUNT 432
#define SETATTR 442
#define CLOEXEC 1u
#define TREE_CLONE 1u
#define RECURSIVE 0x8000u
#define CONFIG_CREATE 6u
#define FROM_EMPTY_PATH 0x4u
#define TO_EMPTY_PATH 0x40u
#define ATTR_IDMAP 0x100000u

struct attributes {
	uint64_t set, clear, propagation, userns;
};

static unsigned long flags_of(unsigned attrs)
{
	return (attrs & MOUNT_RO ? MS_RDONLY : 0) | (attrs & MOUNT_NOSUID ? MS_NOSUID : 0) |
	       (attrs & MOUNT_NODEV ? MS_NODEV : 0) | (attrs & MOUNT_NOEXEC ? MS_NOEXEC : 0);
}

int mount_private_all(struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, errno, "make all mounts private");
	return 0;
}

int mount_attrs(const char *at, unsigned attrs, struct err *e)
{
	struct attributes a = { .set = attrs };

	if (attrs && syscall(SETATTR, AT_FDCWD, at, RECURSIVE, &a, sizeof(a)) < 0)
		return errno == ENOSYS
		               ? err_set(e, ERR_UNSUPPORTED, 0,
		                         "mount_setattr is missing; use Linux 5.12 or later")
		               : err_sys(e, errno, "change the attributes of the mount %s", at);
	return 0;
}

int mount_fixed(const char *at, struct err *e)
{
	struct attributes a = { .set = MOUNT_RO };

	if (syscall(SETATTR, AT_FDCWD, at, 0, &a, sizeof(a)) < 0)
		return err_sys(e, errno, "make %s read-only", at);
	return 0;
}

int mount_bind(const char *from, const char *to, unsigned attrs, struct err *e)
{
	if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, errno, "bind %s to %s", from, to);
	return mount_attrs(to, attrs, e);
}

int mount_fs(const char *type, const char *to, unsigned attrs, const char *data, struct err *e)
{
	if (mount(type, to, type, flags_of(attrs), data) < 0)
		return err_sys(e, errno, "mount %s at %s", type, to);
	return 0;
}

static int detached_failed(const char *type, struct err *e)
{
	int code = errno;

	err_sys(e, code, "mount %s", type);
	if (code == EPERM)
		err_hint(e, "in a container of an engine it has to be unmasked "
		            "(--security-opt systempaths=unconfined)");
	return -1;
}

int mount_detached(const char *type, unsigned attrs, struct err *e)
{
	int fs = (int)syscall(FSOPEN, type, CLOEXEC), fd;

	if (fs < 0)
		return detached_failed(type, e);
	fd = syscall(FSCONFIG, fs, CONFIG_CREATE, NULL, NULL, 0) < 0
	             ? -1
	             : (int)syscall(FSMOUNT, fs, CLOEXEC, attrs);
	if (fd < 0)
		detached_failed(type, e);
	close(fs);
	return fd;
}

int mount_detached_bind(int at, const char *from, unsigned attrs, struct err *e)
{
	struct attributes a = { .set = attrs };
	int fd = (int)syscall(OPEN_TREE, at, from,
	                      TREE_CLONE | RECURSIVE | O_CLOEXEC | AT_EMPTY_PATH);

	if (fd < 0 || syscall(SETATTR, fd, "", RECURSIVE | AT_EMPTY_PATH, &a, sizeof(a)) < 0) {
		err_sys(e, errno, "bind %s", from);
		fd_close(&fd);
	}
	return fd;
}

int mount_detached_shifted(const char *dir, int userns, struct err *e)
{
	struct attributes a = { .set = ATTR_IDMAP, .userns = (uint64_t)userns };
	int fd = (int)syscall(OPEN_TREE, AT_FDCWD, dir, TREE_CLONE | O_CLOEXEC);

	if (fd < 0 || syscall(SETATTR, fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0) {
		err_sys(e, errno, "shift the ids of %s", dir);
		err_hint(
			e,
			"the kernel has to be Linux 5.19 or later, and the file system one that can "
			"do that (ext4, xfs, btrfs)");
		fd_close(&fd);
	}
	return fd;
}

int mount_attach(int fd, const char *to, struct err *e)
{
	if (syscall(MOVE_MOUNT, fd, "", AT_FDCWD, to, FROM_EMPTY_PATH) < 0)
		return err_sys(e, errno, "mount at %s", to);
	return 0;
}

int mount_attach_at(int fd, int at, struct err *e)
{
	if (syscall(MOVE_MOUNT, fd, "", at, "", FROM_EMPTY_PATH | TO_EMPTY_PATH) < 0)
		return err_sys(e, errno, "mount");
	return 0;
}

static int add_lower(const struct overlay *o, size_t i, struct err *e)
{
	char name[24];
	int fd, rc;

	snprintf(name, sizeof(name), "%zu", i);
	if (o->userns < 0)
		return symlink(o->lower[i], name) < 0 ? err_sys(e, errno, "link to %s", o->lower[i])
		                                      : 0;
	fd = mount_detached_shifted(o->lower[i], o->userns, e);
	if (fd < 0)
		return -1;
	rc = mkdir(name, 0700) < 0 ? err_sys(e, errno, "make a directory")
	                           : mount_attach(fd, name, e);
	close(fd);
	return rc;
}

/* From inside the directory of short names: the options have to fit into a page. */
static int mount_short(const struct overlay *o, struct err *e)
{
	struct buf options = { 0 };
	int rc = 0;

	buf_adds(&options, "lowerdir=");
	for (size_t i = 0; rc == 0 && i < o->n_lower; i++) {
		rc = add_lower(o, i, e);
		buf_addf(&options, "%s%zu", i ? ":" : "", i);
	}
	buf_adds(&options, ",upperdir=upper,workdir=work");
	/* All that is written lies in the upper directory, as a layer has it; the former implies that. */
	buf_adds(&options, o->user_marks ? ",userxattr" : ",redirect_dir=off,metacopy=off");
	if (rc == 0 && (symlink(o->upper, "upper") < 0 || symlink(o->work, "work") < 0))
		rc = err_sys(e, errno, "link to %s", o->upper);
	if (rc == 0 &&
	    mount("overlay", o->to, "overlay", MS_NOSUID | MS_NODEV, buf_cstr(&options)) < 0)
		rc = err_sys(e, errno, "mount overlay");
	buf_free(&options);
	return rc;
}

int mount_overlay(const struct overlay *o, struct err *e)
{
	int rc;

	/* Both at the same place: the names go below the overlay, which has no need of them any more. */
	if (mount_fs("tmpfs", o->to, MOUNT_NOSUID | MOUNT_NODEV, "size=1m,mode=0700", e) < 0)
		return -1;
	rc = chdir(o->to) < 0 ? err_sys(e, errno, "enter %s", o->to) : mount_short(o, e);
	if (chdir("/") < 0 && rc == 0)
		rc = err_sys(e, errno, "enter /");
	return rc;
}
