/* SPDX-License-Identifier: Apache-2.0 */
/* Owner, mode, extended attributes and times of what a layer holds. */
#include "oci/unpack_int.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PENDING_MAX 65536

/* A directory in the scratch file; its path follows. */
struct record {
	uint32_t n, mode, mtime_ns;
	int64_t mtime;
};

static bool mapped(const struct id_range *r, size_t n, unsigned id, unsigned *out)
{
	*out = id;
	for (size_t i = 0; i < n; i++) {
		if (id < r[i].inside || id - r[i].inside >= r[i].n)
			continue;
		*out = r[i].outside + (id - r[i].inside);
		return true;
	}
	return !n;
}

static int owner(const struct unpack *u, unsigned *uid, unsigned *gid, struct err *e)
{
	if (mapped(u->o.uids, u->o.n_uids, u->meta.uid, uid) &&
	    mapped(u->o.gids, u->o.n_gids, u->meta.gid, gid))
		return 0;
	return err_set(e, ERR_DENIED, 0,
	               "%.300s: its owner %u:%u is beyond the ids that were given to this user; "
	               "more can be given in /etc/subuid and /etc/subgid",
	               buf_cstr(&u->path), u->meta.uid, u->meta.gid);
}

/* Where an attribute goes: fd, or, when that is -1, what path names. */
struct place {
	int fd;
	const char *path;
};

static int set(struct place p, const char *name, const void *value, size_t n)
{
	return p.fd >= 0 ? fsetxattr(p.fd, name, value, n, 0)
	                 : lsetxattr(p.path, name, value, n, 0);
}

/* Labels belong to the machine, marks of overlayfs to the mount: a layer that could set those would say where lower
 * directories are found. */
static bool is_for_images(const char *name)
{
	if (strncmp(name, "user.overlay.", 13) == 0 || strncmp(name, "trusted.overlay.", 16) == 0 ||
	    strcmp(name, UNPACK_RECORD) == 0)
		return false;
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strcmp(name, "security.capability") == 0 ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static int set_xattrs(struct unpack *u, struct place p, struct err *e)
{
	const char *at = buf_cstr(&u->xattrs), *end = at + u->xattrs.n;

	while (at < end) {
		const char *name = at, *value = name + strlen(name) + 1 + sizeof(uint32_t);
		uint32_t n;

		memcpy(&n, value - sizeof(n), sizeof(n));
		at = value + n;
		if (is_for_images(name) && set(p, name, value, n) == 0)
			continue;
		if (is_for_images(name) && errno != ENOTSUP && errno != EPERM && errno != ENOENT)
			return unpack_sys(u, errno, name, e);
		u->seen.xattrs++;
	}
	return 0;
}

void unpack_meta_take(struct unpack *u, const struct tar_entry *en)
{
	u->meta.mode = en->mode & 07777;
	u->meta.uid = en->uid;
	u->meta.gid = en->gid;
	u->meta.mtime = en->mtime;
	u->meta.mtime_ns = en->mtime_ns;
	buf_reset(&u->xattrs);
	for (size_t i = 0; i < en->n_xattrs; i++) {
		uint32_t n = (uint32_t)en->xattrs[i].value.n;

		buf_add(&u->xattrs, en->xattrs[i].name, strlen(en->xattrs[i].name) + 1);
		buf_add(&u->xattrs, &n, sizeof(n));
		buf_add_str(&u->xattrs, en->xattrs[i].value);
	}
}

static void times(const struct unpack *u, struct timespec ts[2])
{
	ts[0].tv_sec = ts[1].tv_sec = (time_t)u->meta.mtime;
	ts[0].tv_nsec = ts[1].tv_nsec = (long)u->meta.mtime_ns;
}

static int write_others(struct unpack *u, struct err *e)
{
	if (u->owners < 0)
		u->owners = openat(u->scratch, UNPACK_OWNERS,
		                   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (u->owners < 0)
		return err_sys(e, errno, "make the list of owners");
	if (file_write_all(u->owners, buf_str(&u->others), "the list of owners", e) < 0)
		return -1;
	buf_reset(&u->others);
	return 0;
}

/* It is somebody's beside root. */
static int note_other(struct unpack *u, struct err *e)
{
	buf_add(&u->others, buf_cstr(&u->path), u->path.n + 1);
	return u->others.n > PENDING_MAX ? write_others(u, e) : 0;
}

static int give_away(struct unpack *u, int fd, struct err *e)
{
	unsigned uid = 0, gid = 0;

	if (u->o.recorded) {
		char text[48];
		int n = snprintf(text, sizeof(text), "%u:%u:0%o", u->meta.uid, u->meta.gid,
		                 (unsigned)u->meta.mode);

		if (fsetxattr(fd, UNPACK_RECORD, text, (size_t)n, 0) < 0)
			return unpack_sys(u, errno, "record its owner", e);
		return u->meta.uid || u->meta.gid ? note_other(u, e) : 0;
	}
	if (owner(u, &uid, &gid, e) < 0)
		return -1;
	return fchown(fd, uid, gid) < 0 ? unpack_sys(u, errno, "set its owner", e) : 0;
}

int unpack_meta_file(struct unpack *u, int fd, struct err *e)
{
	struct timespec ts[2];

	times(u, ts);
	if (give_away(u, fd, e) < 0 || set_xattrs(u, (struct place){ fd, NULL }, e) < 0)
		return -1;
	if (fchmod(fd, u->meta.mode) < 0)
		return unpack_sys(u, errno, "set its mode", e);
	return futimens(fd, ts) < 0 ? unpack_sys(u, errno, "set its time", e) : 0;
}

int unpack_meta_linked(struct unpack *u, struct err *e)
{
	struct buf path = { 0 };
	char text[48];
	ssize_t n;

	if (!u->o.recorded)
		return 0;
	buf_addf(&path, "/proc/self/fd/%d/%s", u->parent, u->base);
	n = lgetxattr(buf_cstr(&path), UNPACK_RECORD, text, sizeof(text));
	buf_free(&path);
	return n > 0 && !str_starts((struct str){ text, (size_t)n }, "0:0:") ? note_other(u, e) : 0;
}

int unpack_meta_at(struct unpack *u, bool is_link, struct err *e)
{
	struct buf path = { 0 };
	struct timespec ts[2];
	unsigned uid = 0, gid = 0;
	int rc = 0;

	times(u, ts);
	if (!u->o.recorded) {
		if (owner(u, &uid, &gid, e) < 0)
			return -1;
		if (fchownat(u->parent, u->base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return unpack_sys(u, errno, "set its owner", e);
	}
	if (u->xattrs.n) {
		/* No call sets an attribute of what cannot be opened; ours lies where no link is on the way. */
		buf_addf(&path, "/proc/self/fd/%d/%s", u->parent, u->base);
		rc = set_xattrs(u, (struct place){ -1, buf_cstr(&path) }, e);
		buf_free(&path);
	}
	if (rc == 0 && !is_link && fchmodat(u->parent, u->base, u->meta.mode, 0) < 0)
		return unpack_sys(u, errno, "set its mode", e);
	if (rc == 0 && utimensat(u->parent, u->base, ts, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_sys(u, errno, "set its time", e);
	return rc;
}

static int write_records(struct unpack *u, struct err *e)
{
	if (u->dirs < 0) {
		static const char name[] = ".directories";

		u->dirs = openat(u->scratch, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (u->dirs < 0 || unlinkat(u->scratch, name, 0) < 0)
			return err_sys(e, errno, "make a scratch file");
	}
	if (file_write_all(u->dirs, buf_str(&u->pending), "a scratch file", e) < 0)
		return -1;
	buf_reset(&u->pending);
	return 0;
}

int unpack_meta_dir(struct unpack *u, int fd, struct err *e)
{
	struct record r = { .n = (uint32_t)u->path.n,
		            .mode = u->meta.mode,
		            .mtime_ns = u->meta.mtime_ns,
		            .mtime = u->meta.mtime };

	if (give_away(u, fd, e) < 0 || set_xattrs(u, (struct place){ fd, NULL }, e) < 0)
		return -1;
	buf_add(&u->pending, &r, sizeof(r));
	buf_add_str(&u->pending, buf_str(&u->path));
	return u->pending.n > PENDING_MAX ? write_records(u, e) : 0;
}

int unpack_meta_implied(struct unpack *u, int fd, struct err *e)
{
	struct unpack_meta kept = u->meta;
	int rc;

	u->meta = (struct unpack_meta){ .mode = 0755 };
	rc = give_away(u, fd, e);
	u->meta = kept;
	return rc;
}

static int mark(struct unpack *u, int fd, const char *name, struct str value, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	buf_addf(&b, "%s.overlay.%s", u->o.user_marks ? "user" : "trusted", name);
	rc = fsetxattr(fd, buf_cstr(&b), value.p, value.n, 0) < 0
	             ? unpack_sys(u, errno, buf_cstr(&b), e)
	             : 0;
	buf_free(&b);
	return rc;
}

int unpack_mark_opaque(struct unpack *u, int fd, struct err *e)
{
	return mark(u, fd, "opaque", STR_LIT("y"), e);
}

int unpack_mark_whiteouts(struct unpack *u, int fd, struct err *e)
{
	if (mark(u, fd, "origin", STR_LIT(""), e) == 0)
		return 0;
	if (e->code != EOPNOTSUPP)
		return -1;
	err_clear(e); /* what is hidden is hidden all the same */
	return 0;
}

/* The directory of a record, which may be gone or something else by now. final: also modes that keep us out. */
static int settle(struct unpack *u, const struct record *r, bool final, struct err *e)
{
	struct timespec ts[2] = { { (time_t)r->mtime, r->mtime_ns },
		                  { (time_t)r->mtime, r->mtime_ns } };
	mode_t mode = final ? r->mode : r->mode | 0700;
	struct stat st;

	if (final && (r->mode & 0700) == 0700)
		return 0;
	if (!*u->base) {
		if (fchmod(u->root, mode) < 0 || futimens(u->root, ts) < 0)
			return unpack_sys(u, errno, "set mode and time", e);
		return 0;
	}
	unpack_forget_parent(u);
	u->parent = unpack_find_dir(
		u, (struct str){ u->path.p,
	                         u->base > u->path.p ? (size_t)(u->base - u->path.p - 1) : 0 });
	if (u->parent < 0 || fstatat(u->parent, u->base, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	if ((st.st_mode & 07777) != mode && fchmodat(u->parent, u->base, mode, 0) < 0)
		return unpack_sys(u, errno, "set its mode", e);
	if (utimensat(u->parent, u->base, ts, AT_SYMLINK_NOFOLLOW) < 0)
		return unpack_sys(u, errno, "set its time", e);
	return 0;
}

/* All records, in the order they came: of two for one directory the later counts. */
static int pass(struct unpack *u, bool final, struct err *e)
{
	struct buf b = { 0 };
	off_t at = 0;
	int rc = 0;

	for (;;) {
		ssize_t got;
		size_t used = 0;

		got = pread(u->dirs, buf_reserve(&b, PENDING_MAX), PENDING_MAX, at);
		if (got <= 0) {
			rc = got < 0 ? err_sys(e, errno, "read a scratch file") : 0;
			break;
		}
		b.n += (size_t)got;
		at += got;
		while (rc == 0 && b.n - used >= sizeof(struct record)) {
			struct record r;

			memcpy(&r, b.p + used, sizeof(r));
			if (b.n - used - sizeof(r) < r.n)
				break;
			unpack_path_set(u, (struct str){ b.p + used + sizeof(r), r.n });
			used += sizeof(r) + r.n;
			rc = settle(u, &r, final, e);
		}
		buf_drop(&b, used);
		if (rc < 0)
			break;
	}
	buf_free(&b);
	return rc;
}

int unpack_dirs_end(struct unpack *u, struct err *e)
{
	int rc = 0;

	if (u->pending.n)
		rc = write_records(u, e);
	if (rc == 0 && u->others.n)
		rc = write_others(u, e);
	if (rc == 0 && u->dirs >= 0)
		rc = pass(u, false, e);
	if (rc == 0 && u->dirs >= 0)
		rc = pass(u, true, e);
	unpack_forget_parent(u);
	return rc;
}

#define CAP_CHOWN_BIT 0
#define CAP_SYS_ADMIN_BIT 21

bool unpack_may_give(void)
{
	/* capget(2), version 3: the numbers are the kernel's, its header need not be here. */
	struct {
		uint32_t version;
		int32_t pid;
	} head = { 0x20080522, 0 };
	struct {
		uint32_t effective, permitted, inheritable;
	} caps[2] = { { 0 } };
	const uint32_t need = 1u << CAP_CHOWN_BIT | 1u << CAP_SYS_ADMIN_BIT;

	return geteuid() == 0 && syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & need) == need;
}

struct unpack_owner unpack_owner_here(void)
{
	bool ours = !unpack_may_give();

	return (struct unpack_owner){ .recorded = ours, .user_marks = ours };
}
