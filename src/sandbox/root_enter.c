/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system becomes ours; see inside.h. While the host's root is still mounted, at our working directory, no
 * /proc is mounted inside: so no path inside, whatever links the image has in it, leads to the host. Then it goes, and
 * /proc comes.
 */
#include "base/file.h"
#include "base/mem.h"
#include "sandbox/inside.h"
#include "sandbox/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLAIN (MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC)
#define SAFE (MOUNT_NOSUID | MOUNT_NODEV)
#define RESOLV_MAX 65536
#define OURS "/run/daytona"

struct enter {
	const struct sandbox *s;
	struct user *user;
	uint32_t uid, gid; /* of root inside, as we call it */
	bool of_host;      /* its root is read-only */
	int proc, sys;
};

/* What is made inside belongs to root there. */
static int give(const struct enter *r, const char *path, struct err *e)
{
	if (lchown(path, r->uid, r->gid) < 0)
		return err_sys(e, errno, "give away %s", path);
	return 0;
}

/* Each missing directory of an absolute path. */
static int make_dirs(const struct enter *r, const char *path, struct err *e)
{
	char *p = mem_dup(path);
	int rc = 0;

	for (char *slash = p + 1; rc == 0 && slash;) {
		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		if (*p && mkdir(p, 0755) == 0)
			rc = give(r, p, e);
		else if (errno != EEXIST && !file_is_dir(p))
			rc = err_sys(e, errno, "make %s in the workspace", p);
		if (slash)
			*slash++ = '/';
	}
	free(p);
	return rc;
}

static int make_file(const struct enter *r, const char *path, const char *text, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644), rc;

	if (fd < 0)
		return err_sys(e, errno, "make %s in the workspace", path);
	rc = file_write_all(fd, str_of(text), path, e);
	close(fd);
	return rc < 0 ? rc : give(r, path, e);
}

/* A directory of the root itself: a link in its place would put what belongs there elsewhere. */
static int own_place(const struct enter *r, const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return err_set(e, ERR_DENIED, 0, "%s of the workspace's root is no directory",
		               path);
	return make_dirs(r, path, e);
}

static int tmpfs(const struct enter *r, const char *path, unsigned attrs, const char *options,
                 struct err *e)
{
	if (own_place(r, path, e) < 0 || mount_fs("tmpfs", path, attrs, options, e) < 0)
		return -1;
	return give(r, path, e);
}

static int make_dev(const struct enter *r, struct err *e)
{
	static const char *const nodes[] = { "null", "zero", "full", "random", "urandom", "tty" };
	static const char *const links[][2] = { { "/proc/self/fd", "/dev/fd" },
		                                { "/proc/self/fd/0", "/dev/stdin" },
		                                { "/proc/self/fd/1", "/dev/stdout" },
		                                { "/proc/self/fd/2", "/dev/stderr" },
		                                { "pts/ptmx", "/dev/ptmx" } };
	char from[16], to[16], pts[80];

	if (tmpfs(r, "/dev", MOUNT_NOSUID | MOUNT_NOEXEC, "size=64k,mode=0755", e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		snprintf(from, sizeof(from), "dev/%s", nodes[i]);
		snprintf(to, sizeof(to), "/dev/%s", nodes[i]);
		if (make_file(r, to, "", e) < 0 ||
		    mount_bind(from, to, MOUNT_NOSUID | MOUNT_NOEXEC, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return err_sys(e, errno, "make %s", links[i][1]);
	/* Terminals belong to group 5 (tty) where there is one, so that mesg and wall work. */
	snprintf(pts, sizeof(pts), "newinstance,ptmxmode=0666,mode=0620,gid=%u",
	         userns_gid(r->s->map, userns_has(r->s->map, 0, 5) ? 5 : 0));
	if (make_dirs(r, "/dev/pts", e) < 0 ||
	    mount_fs("devpts", "/dev/pts", MOUNT_NOSUID | MOUNT_NOEXEC, pts, e) < 0 ||
	    tmpfs(r, "/dev/shm", PLAIN, "mode=1777", e) < 0 || make_dirs(r, "/dev/mqueue", e) < 0)
		return -1;
	return mount_fs("mqueue", "/dev/mqueue", PLAIN, NULL, e);
}

static int bind(const struct enter *r, const char *from, const char *to, unsigned attrs,
                struct err *e)
{
	const char *below = from + strspn(from, "/"); /* the working directory is the host's root */
	struct stat st;

	if (stat(below, &st) < 0)
		return err_sys(e, errno, "look at %s", from);
	if (S_ISDIR(st.st_mode) ? make_dirs(r, to, e) < 0
	                        : !file_exists(to) && make_file(r, to, "", e) < 0)
		return -1;
	return mount_bind(below, to, attrs, e);
}

static bool is_in_ours(const char *to)
{
	return strncmp(to, OURS "/", sizeof(OURS)) == 0;
}

static int bind_all(const struct enter *r, bool in_ours, struct err *e)
{
	for (size_t i = 0; i < r->s->n_binds; i++) {
		const struct sandbox_bind *b = &r->s->binds[i];

		if (is_in_ours(b->to) == in_ours &&
		    bind(r, b->from, b->to, SAFE | (b->read_only ? MOUNT_RO : 0), e) < 0)
			return -1;
	}
	return 0;
}

static int lend(const struct enter *r, struct err *e)
{
	const struct sandbox *s = r->s;
	bool has_tmp;

	if (tmpfs(r, "/run", SAFE, "size=64m,mode=0755", e) < 0 || make_dirs(r, "/run/lock", e) < 0)
		return -1;
	has_tmp = !s->tmp && file_exists("/tmp");
	if (make_dirs(r, "/tmp", e) < 0 || (s->tmp && bind(r, s->tmp, "/tmp", SAFE, e) < 0))
		return -1;
	if (!has_tmp && (chown("/tmp", r->uid, r->gid) < 0 || chmod("/tmp", 01777) < 0))
		return err_sys(e, errno, "make /tmp");
	if (s->home &&
	    (bind(r, s->home, "/root", SAFE, e) < 0 || root_give("/root", r->uid, r->gid, e) < 0))
		return -1;
	if (bind_all(r, false, e) < 0)
		return -1;
	root_mounts(s, r->user);
	return 0;
}

/*
 * After all that links of the image may lead elsewhere, so that nothing lies above it. Both /run and this are mounts: what
 * is a mount can be neither renamed nor removed, so the path of our program stays its own.
 */
static int make_ours(const struct enter *r, struct err *e)
{
	if (own_place(r, OURS, e) < 0 ||
	    mount_fs("tmpfs", OURS, SAFE, "size=1m,mode=0755", e) < 0 ||
	    bind(r, r->s->program, SANDBOX_PROGRAM, SAFE | MOUNT_RO, e) < 0)
		return -1;
	return bind_all(r, true, e);
}

static bool stat_is_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* A link of the host's /etc into /run, where nothing is yet. */
static int put_behind_link(const struct enter *r, const char *path, const char *text, struct err *e)
{
	struct buf to = { 0 }, below = { 0 };
	char link[PATH_MAX], *slash;
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	int rc = 0;

	link[n > 0 ? n : 0] = '\0';
	buf_addf(&to, "%s%s", link[0] == '/' ? "" : "/etc/", link);
	buf_addc(&below, '/');
	if (path_add(&below, buf_str(&to)) && str_starts(buf_str(&below), "/run/")) {
		slash = strrchr(below.p, '/');
		*slash = '\0';
		rc = make_dirs(r, below.p, e);
		*slash = '/';
		rc = rc < 0 ? rc : make_file(r, below.p, text, e);
	}
	buf_free(&to);
	buf_free(&below);
	return rc;
}

/* What a file of the host's root is, which is read-only, is covered; elsewhere it is replaced. */
static int put_etc(const struct enter *r, const char *name, const char *text, struct err *e)
{
	char path[64], ours[64];
	struct stat st;

	snprintf(path, sizeof(path), "/etc/%s", name);
	if (!r->of_host) {
		if (make_dirs(r, "/etc", e) < 0)
			return -1;
		if (unlink(path) < 0 && errno != ENOENT)
			return err_sys(e, errno, "replace %s of the workspace", path);
		return make_file(r, path, text, e);
	}
	snprintf(ours, sizeof(ours), OURS "/%s", name);
	if (make_file(r, ours, text, e) < 0)
		return -1;
	if (stat(path, &st) == 0)
		return mount_bind(ours, path, SAFE, e);
	return stat_is_link(path) ? put_behind_link(r, path, text, e) : 0;
}

static int make_etc(const struct enter *r, struct err *e)
{
	const struct sandbox *s = r->s;
	struct buf hosts = { 0 }, name = { 0 }, resolv = { 0 };
	struct err ignored = { 0 }; /* no such file: no name servers */
	int rc;

	buf_addf(&hosts,
	         "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%s\n",
	         s->hostname);
	buf_addf(&name, "%s\n", s->hostname);
	if (s->resolv)
		buf_adds(&resolv, s->resolv);
	else if (s->net != SANDBOX_NET_NONE)
		file_read("etc/resolv.conf", RESOLV_MAX, &resolv, &ignored);
	rc = put_etc(r, "hosts", buf_cstr(&hosts), e) < 0 ||
	                     put_etc(r, "hostname", buf_cstr(&name), e) < 0 ||
	                     put_etc(r, "resolv.conf", buf_cstr(&resolv), e) < 0
	             ? -1
	             : 0;
	buf_free(&hosts);
	buf_free(&name);
	buf_free(&resolv);
	return rc;
}

/* Both while those of the host are seen: the kernel gives none to a user namespace that sees none, or a part. */
static int take_kernel(struct enter *r, struct err *e)
{
	struct err why = { 0 };

	r->proc = mount_detached("proc", PLAIN, e);
	if (r->proc < 0)
		return -1;
	r->sys = r->s->net == SANDBOX_NET_HOST && r->s->map->how != MAP_RANGE
	                 ? -1
	                 : mount_detached("sysfs", PLAIN | MOUNT_RO, &why);
	if (r->sys < 0)
		r->sys = mount_detached_bind(AT_FDCWD, "/sys", PLAIN | MOUNT_RO, &why);
	if (r->sys >= 0)
		return 0;
	if (r->s->strict) {
		*e = why;
		return -1;
	}
	r->s->say(r->s->arg, "/sys is empty:");
	r->s->say(r->s->arg, why.msg);
	return 0;
}

static int pivot(const struct enter *r, struct err *e)
{
	int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), rc = -1;

	if (host < 0)
		return err_sys(e, errno, "open /");
	if (chdir(r->s->point) < 0)
		err_sys(e, errno, "enter %s", r->s->point);
	else if (syscall(SYS_pivot_root, ".", ".") < 0)
		err_sys(e, errno, "change the root directory");
	else if (fchdir(host) < 0)
		err_sys(e, errno, "enter the former root directory");
	else
		rc = 0;
	close(host);
	return rc;
}

static int forget_host(struct err *e)
{
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, errno, "leave the host's root");
	if (chdir("/") < 0)
		return err_sys(e, errno, "enter /");
	return 0;
}

static int mask(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0; /* not every kernel has each */
	if (S_ISDIR(st.st_mode))
		return mount_fs("tmpfs", path, PLAIN | MOUNT_RO, "size=4k,mode=0555", e);
	return mount_bind("/dev/null", path, MOUNT_RO, e);
}

static int mount_kernel(const struct enter *r, struct err *e)
{
	static const char *const masked[] = {
		"/proc/acpi",
		"/proc/asound",
		"/proc/interrupts",
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/proc/kallsyms",
		"/proc/kpagecount",
		"/proc/kpageflags",
		"/proc/kpagecgroup",
		"/proc/vmallocinfo",
		"/sys/firmware",
		"/sys/devices/virtual/powercap",
		"/sys/kernel/security",
		"/sys/kernel/debug",
		"/sys/kernel/tracing",
		"/sys/fs/cgroup",
	};
	static const char *const fixed[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
		                             "/proc/sysrq-trigger" };

	if (mount_attach(r->proc, "/proc", e) < 0 ||
	    (r->sys >= 0 && mount_attach(r->sys, "/sys", e) < 0))
		return -1;
	for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
		if (mask(masked[i], e) < 0)
			return -1;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (file_exists(fixed[i]) &&
		    mount_bind(fixed[i], fixed[i], PLAIN | MOUNT_RO, e) < 0)
			return -1;
	return 0;
}

int root_enter(const struct sandbox *s, struct user *u, struct err *e)
{
	struct enter r = { .s = s,
		           .user = u,
		           .uid = userns_uid(s->map, 0),
		           .gid = userns_gid(s->map, 0),
		           .of_host = !s->n_lower && !s->plain,
		           .proc = -1,
		           .sys = -1 };
	int rc = -1;

	if (take_kernel(&r, e) == 0 && pivot(&r, e) == 0 && (!s->upper || give(&r, "/", e) == 0) &&
	    own_place(&r, "/proc", e) == 0 && own_place(&r, "/sys", e) == 0 &&
	    make_dev(&r, e) == 0 && root_user(s, u, e) == 0 && lend(&r, e) == 0 &&
	    make_ours(&r, e) == 0 && make_etc(&r, e) == 0 && mount_fixed(OURS, e) == 0 &&
	    forget_host(e) == 0 && mount_kernel(&r, e) == 0)
		rc = 0;
	if (rc == 0 && r.of_host)
		rc = mount_fixed("/", e);
	fd_close(&r.proc);
	fd_close(&r.sys);
	return rc;
}

int root_try(const struct sandbox *s, struct err *e)
{
	struct enter r = { .s = s, .proc = -1, .sys = -1 };
	int rc = take_kernel(&r, e);

	fd_close(&r.proc);
	fd_close(&r.sys);
	return rc;
}
