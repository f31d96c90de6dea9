/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: what they may hold comes out, in overlayfs's terms; what a hostile one says changes nothing outside. */
#include "base/file.h"
#include "base/inroot.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/unpack.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

struct place {
	char dir[TEST_PATH_SIZE]; /* of the test, with "outside" and "root" in it */
	int root, scratch;
};

static bool place_new(struct place *p)
{
	char path[TEST_PATH_SIZE + 20];
	FILE *f;

	if (!CHECK(test_mkdtemp(p->dir)))
		return false;
	snprintf(path, sizeof(path), "%s/outside", p->dir);
	f = fopen(path, "w");
	CHECK(f && fputs("canary", f) >= 0 && fclose(f) == 0);
	snprintf(path, sizeof(path), "%s/root", p->dir);
	CHECK_INT(mkdir(path, 0755), 0);
	p->scratch = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return CHECK(p->root >= 0 && p->scratch >= 0);
}

/* Nothing outside has changed, nothing is left but the tree. */
static void place_end(struct place *p)
{
	struct err e = { 0 };
	struct buf b = { 0 };
	char path[TEST_PATH_SIZE + 20];
	struct stat st;
	DIR *d = opendir(p->dir);
	const struct dirent *en;
	int n = 0;

	while (d && (en = readdir(d)))
		n += strcmp(en->d_name, UNPACK_OWNERS) != 0;
	if (d)
		closedir(d);
	CHECK_INT(n, 4); /* ".", "..", "outside", "root" */
	snprintf(path, sizeof(path), "%s/outside", p->dir);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_nlink, 1);
	CHECK_INT(file_read(path, 100, &b, &e), 0);
	CHECK_STR(buf_cstr(&b), "canary");
	buf_free(&b);
	close(p->root);
	close(p->scratch);
	CHECK_INT(file_remove_tree(p->dir, &e), 0);
}

/* Who runs the tests: set in the processes that run them again as somebody else. */
static enum runs_as { AS_WE_ARE, WITHOUT_RIGHTS, IN_A_NAMESPACE } who;

/* May give files away: as the machine's root, or as that of a user namespace. */
static bool is_root(void)
{
	return unpack_may_give();
}

static bool has_trusted(void)
{
	return is_root() && who != IN_A_NAMESPACE;
}

/* Root gives files away; anybody else writes down whose they were. */
static struct unpack_owner owner_here(void)
{
	return (struct unpack_owner){ .recorded = !is_root(), .user_marks = !has_trusted() };
}

static int put(struct place *p, const struct buf *tar, struct unpack_seen *seen, struct err *e)
{
	struct unpack_owner o = owner_here();
	struct unpack *u = unpack_new(p->root, p->scratch, &o);
	int rc = unpack_feed(u, buf_str(tar), e);

	if (rc == 0)
		rc = unpack_end(u, e);
	if (seen)
		*seen = unpack_seen(u);
	unpack_free(u);
	return rc;
}

static void add(struct buf *tar, char type, const char *name, const char *link)
{
	tar_header(tar, &(struct tar_entry){ .name = name,
	                                     .type = type,
	                                     .link = link,
	                                     .mode = type == '5' ? 0755 : 0644,
	                                     .uid = getuid(),
	                                     .gid = getgid(),
	                                     .mtime = 1000000000,
	                                     .size = type == '0' ? 1 : 0 });
	if (type == '0') {
		buf_addc(tar, name[0]);
		tar_pad(tar, 1);
	}
}

static struct stat look(struct place *p, const char *name)
{
	struct stat st = { 0 };

	(void)fstatat(p->root, name, &st, AT_SYMLINK_NOFOLLOW);
	return st;
}

static bool is_whiteout(struct place *p, const char *name)
{
	struct stat st = look(p, name);

	return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

static bool is_opaque(struct place *p, const char *name)
{
	int fd = openat(p->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char value[4] = "";
	ssize_t n = fgetxattr(fd, has_trusted() ? "trusted.overlay.opaque" : "user.overlay.opaque",
	                      value, 3);

	close(fd);
	return n == 1 && value[0] == 'y';
}

static void a_layer_comes_out(void)
{
	struct place p;
	struct buf tar = { 0 };
	struct err e = { 0 };
	struct unpack_seen seen;
	char to[64] = "";

	if (!place_new(&p))
		return;
	add(&tar, '5', "./", NULL);
	add(&tar, '5', "ro/", NULL);
	tar.p[tar.n - TAR_BLOCK + 100 + 4] = '5'; /* 0555: its mode comes last */
	tar.p[tar.n - TAR_BLOCK + 148 + 5] = (char)(tar.p[tar.n - TAR_BLOCK + 148 + 5] - 2);
	add(&tar, '0', "ro/file", NULL);
	add(&tar, '1', "ro/hard", "ro/file");
	add(&tar, '2', "soft", "/ro/file");
	add(&tar, '2', "dir", "ro");
	add(&tar, '0', "dir/through", NULL); /* lands in ro */
	add(&tar, '0', "/absolute", NULL);
	add(&tar, '0', "a/../inside", NULL);
	add(&tar, '0', "implied/deep/file", NULL);
	add(&tar, '6', "pipe", NULL);
	add(&tar, '3', "null", NULL);
	add(&tar, '4', "disk", NULL);
	tar_finish(&tar);
	if (!CHECK_INT(put(&p, &tar, &seen, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	CHECK_INT(look(&p, "ro").st_mode, S_IFDIR | 0555);
	CHECK_INT(look(&p, "ro").st_mtime, 1000000000);
	CHECK_INT(look(&p, ".").st_mtime, 1000000000);
	CHECK_INT(look(&p, "ro/file").st_nlink, 2);
	CHECK_INT(look(&p, "ro/file").st_mtime, 1000000000);
	CHECK_INT(look(&p, "ro/through").st_size, 1);
	CHECK_INT(look(&p, "soft").st_mtime, 1000000000);
	CHECK(readlinkat(p.root, "soft", to, sizeof(to) - 1) > 0);
	CHECK_STR(to, "/ro/file");
	CHECK_INT(look(&p, "absolute").st_size, 1);
	CHECK_INT(look(&p, "inside").st_size, 1);
	CHECK_INT(look(&p, "implied").st_mode, S_IFDIR | 0755);
	CHECK_INT(look(&p, "implied/deep/file").st_size, 1);
	CHECK(S_ISFIFO(look(&p, "pipe").st_mode));
	CHECK_INT(look(&p, "null").st_mode, 0);
	CHECK_INT(seen.devices, 2);
	CHECK_INT(seen.entries, 13);
	buf_free(&tar);
	place_end(&p);
}

static void whiteouts_become_those_of_overlayfs(void)
{
	struct place p;
	struct buf tar = { 0 };
	struct err e = { 0 };

	if (!place_new(&p))
		return;
	add(&tar, '0', "d/.wh.gone", NULL);
	add(&tar, '0', "opaque/.wh..wh..opq", NULL);
	add(&tar, '0', "opaque/new", NULL);
	add(&tar, '0', "first/new", NULL); /* before its mark: a mark is about lower layers */
	add(&tar, '0', "first/.wh..wh..opq", NULL);
	add(&tar, '0', ".wh.both", NULL);
	add(&tar, '0', "both", NULL);
	add(&tar, '0', "also", NULL);
	add(&tar, '0', ".wh.also", NULL);
	add(&tar, '0', ".wh.became", NULL);
	add(&tar, '5', "became/", NULL); /* hides the one below and is new */
	add(&tar, '5', "was/", NULL);
	add(&tar, '0', "was/kept", NULL);
	add(&tar, '0', ".wh.was", NULL);
	add(&tar, '0', ".wh..wh.plnk", NULL);
	tar_finish(&tar);
	if (!CHECK_INT(put(&p, &tar, NULL, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	CHECK(is_whiteout(&p, "d/gone"));
	CHECK(is_opaque(&p, "opaque") && is_opaque(&p, "first"));
	CHECK_INT(look(&p, "opaque/new").st_size, 1);
	CHECK_INT(look(&p, "first/new").st_size, 1);
	CHECK_INT(look(&p, "both").st_size, 1);
	CHECK_INT(look(&p, "also").st_size, 1);
	CHECK(is_opaque(&p, "became") && is_opaque(&p, "was"));
	CHECK_INT(look(&p, "was/kept").st_size, 1);
	CHECK_INT(look(&p, ".wh..wh.plnk").st_mode, 0);
	buf_free(&tar);
	place_end(&p);
}

/* Entries of a hostile layer, up to an empty name; want: part of the one line, or NULL when it is harmless. */
struct hostile {
	struct {
		char type;
		const char *name, *link;
	} en[5];
	const char *want;
	const char *there; /* a path that exists afterwards */
};

static const struct hostile hostile[] = {
	{ { { '0', "../outside", NULL } }, "leads out of the image", NULL },
	{ { { '0', "a/../../outside", NULL } }, "leads out of the image", NULL },
	{ { { '0', "/../outside", NULL } }, "leads out of the image", NULL },
	{ { { '5', "..", NULL } }, "leads out of the image", NULL },
	{ { { '2', "up", "../.." }, { '0', "up/outside", NULL } }, NULL, "outside" },
	{ { { '2', "up", "../outside" }, { '0', "up", NULL } }, NULL, "up" },
	{ { { '2', "up", ".." }, { '0', "up/root/x", NULL } }, NULL, "root/x" },
	{ { { '2', "abs", "/" }, { '0', "abs/outside", NULL } }, NULL, "outside" },
	{ { { '2', "etc", "/etc" }, { '0', "etc/dr-test-passwd", NULL } },
	  "directory above",
	  NULL },
	{ { { '2', "proc", "/proc/self/cwd" }, { '0', "proc/x", NULL } }, "directory above", NULL },
	{ { { '2', "a", "b" }, { '2', "b", "a" }, { '0', "a/x", NULL } }, "directory above", NULL },
	{ { { '1', "hard", "../outside" } }, "out of the image", NULL },
	{ { { '1', "hard", "/etc/passwd" } }, "hard link", NULL },
	{ { { '1', "hard", "absent" } }, "no file of this layer", NULL },
	{ { { '5', "d/", NULL }, { '1', "hard", "d" } }, "no file of this layer", NULL },
	{ { { '2', "up", "../outside" }, { '1', "hard", "up" }, { '0', "hard", NULL } },
	  NULL,
	  "hard" },
	{ { { '2', "up", ".." }, { '1', "hard", "up/outside" } }, "no file of this layer", NULL },
	{ { { '0', "f", NULL }, { '1', "f", "f" } }, NULL, "f" },
	{ { { '0', "d/f", NULL }, { '1', "d", "d/f" } }, "hard link", NULL },
	{ { { '0', "f", NULL }, { '0', "f/x", NULL } }, "directory above", NULL },
	{ { { '0', ".wh...", NULL } }, "whiteout of nothing", NULL },
	{ { { '0', ".wh..", NULL } }, "whiteout of nothing", NULL },
	{ { { '0', "d/.wh.", NULL } }, "whiteout of nothing", NULL },
	{ { { '0', ".wh.gone", NULL }, { '1', "hard", "gone" } }, "no file of this layer", NULL },
	{ { { '2', "up", ".." }, { '0', "up/.wh.outside", NULL } }, NULL, "outside" },
	{ { { '2', "l", "" } }, "to nothing", NULL },
	{ { { '2', ".", "/" } }, "its root is no directory", NULL },
	{ { { '3', "null", NULL }, { '0', "null", NULL } }, NULL, "null" },
	{ { { '0', "d/f", NULL }, { '2', "d", "/" }, { '0', "d/g", NULL } }, NULL, "g" },
};

/* The kernel answers EAGAIN to ".." while something is renamed, wherever that is. */
static void renames_elsewhere_disturb_nothing(void)
{
	struct place p;
	char from[TEST_PATH_SIZE + 20], to[TEST_PATH_SIZE + 20];
	int wrong = 0;
	pid_t pid;

	if (!place_new(&p))
		return;
	CHECK_INT(symlinkat("..", p.root, "up"), 0);
	CHECK_INT(mkdirat(p.root, "root", 0755), 0);
	snprintf(from, sizeof(from), "%s/outside", p.dir);
	snprintf(to, sizeof(to), "%s/elsewhere", p.dir);
	pid = fork();
	while (pid == 0)
		(void)(rename(from, to) + rename(to, from));
	for (int i = 0; i < 20000; i++) {
		int fd = inroot_open(p.root, "up/root/../root/../root", O_PATH);

		wrong += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	CHECK_INT(wrong, 0);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	(void)rename(to, from);
	place_end(&p);
}

static void hostile_layers_change_nothing_outside(void)
{
	for (size_t i = 0; i < TEST_N(hostile); i++) {
		struct place p;
		struct buf tar = { 0 };
		struct err e = { 0 };
		int rc;

		TEST_ROW(i);
		if (!place_new(&p))
			return;
		for (size_t k = 0; hostile[i].en[k].name; k++)
			add(&tar, hostile[i].en[k].type, hostile[i].en[k].name,
			    hostile[i].en[k].link);
		tar_finish(&tar);
		rc = put(&p, &tar, NULL, &e);
		CHECK_INT(rc, hostile[i].want ? -1 : 0);
		if (!CHECK(!hostile[i].want || strstr(e.msg, hostile[i].want)))
			fprintf(stderr, "  %s\n", e.msg);
		CHECK(!strchr(e.msg, '\n'));
		if (hostile[i].there)
			CHECK(look(&p, hostile[i].there).st_mode != 0);
		buf_free(&tar);
		place_end(&p);
	}
}

static void pax(struct buf *tar, const char *key, const char *value, size_t n)
{
	size_t len = strlen(key) + n + 3 + 2;
	char *sum;

	tar_header(tar, &(struct tar_entry){ .name = "x", .type = '0', .size = len });
	sum = tar->p + tar->n - TAR_BLOCK + 148;
	tar->p[tar->n - TAR_BLOCK + 156] = 'x';
	snprintf(sum, 7, "%06lo", strtoul(sum, NULL, 8) + 'x' - '0');
	buf_addf(tar, "%zu %s=", len, key);
	buf_add(tar, value, n);
	buf_addc(tar, '\n');
	tar_pad(tar, len);
}

/* What a mount or the machine goes by is not for images to say. */
static void attributes_that_are_not_for_images_are_left_out(void)
{
	static const struct {
		const char *name;
		bool root, others;
	} rows[] = {
		{ "user.fine", true, true },
		{ "user.overlay.redirect", false, false },
		{ "trusted.overlay.redirect", false, false },
		{ "trusted.overlay.metacopy", false, false },
		{ UNPACK_RECORD, false, false },
		{ "trusted.other", true, false },
		{ "security.selinux", false, false },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct place p;
		struct buf tar = { 0 };
		struct err e = { 0 };
		char key[64], value[16] = "";
		struct unpack_seen seen;
		bool want = has_trusted() ? rows[i].root : rows[i].others;
		int fd;
		ssize_t n;

		TEST_ROW(i);
		if (!place_new(&p))
			return;
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", rows[i].name);
		pax(&tar, key, "evil", 4);
		add(&tar, '0', "f", NULL);
		tar_finish(&tar);
		CHECK_INT(put(&p, &tar, &seen, &e), 0);
		CHECK_INT(seen.xattrs, !want);
		fd = openat(p.root, "f", O_RDONLY | O_CLOEXEC);
		n = fgetxattr(fd, rows[i].name, value, sizeof(value));
		CHECK((n == 4 && memcmp(value, "evil", 4) == 0) == want);
		close(fd);
		buf_free(&tar);
		place_end(&p);
	}
}

static void owners_are_mapped_or_recorded(void)
{
	static const struct {
		unsigned uid;
		long want; /* -1: refused */
	} rows[] = {
		{ 0, 1000 }, { 1, 100000 }, { 65535, 165534 }, { 65536, -1 }, { 1000000, -1 }
	};
	struct unpack_owner o = { .uids = { { 0, 1000, 1 }, { 1, 100000, 65535 } },
		                  .gids = { { 0, 0, 4294967295u } },
		                  .n_uids = 2,
		                  .n_gids = 1 };

	for (size_t i = 0; i < 2 * TEST_N(rows); i++) {
		struct place p;
		struct buf tar = { 0 };
		struct err e = { 0 };
		struct unpack *u;
		char record[40] = "", want[40];
		bool recorded = i % 2 == 1;
		int rc;

		TEST_ROW(i);
		if (!is_root() && !recorded)
			continue;
		if (!place_new(&p))
			return;
		tar_header(&tar, &(struct tar_entry){ .name = "f",
		                                      .type = '0',
		                                      .mode = 04755,
		                                      .uid = rows[i / 2].uid,
		                                      .gid = 7 });
		tar_finish(&tar);
		o.recorded = recorded;
		u = unpack_new(p.root, p.scratch, &o);
		rc = unpack_feed(u, buf_str(&tar), &e);
		if (recorded) {
			int fd = openat(p.root, "f", O_RDONLY | O_CLOEXEC);

			CHECK_INT(rc, 0);
			CHECK(fgetxattr(fd, UNPACK_RECORD, record, sizeof(record) - 1) > 0);
			snprintf(want, sizeof(want), "%u:7:04755", rows[i / 2].uid);
			CHECK_STR(record, want);
			CHECK_INT(look(&p, "f").st_uid, geteuid());
			close(fd);
			/* And listed: it is not root's. */
			CHECK_INT(unpack_end(u, &e), 0);
			fd = openat(p.scratch, UNPACK_OWNERS, O_RDONLY | O_CLOEXEC);
			CHECK(read(fd, record, sizeof(record)) == 2 && memcmp(record, "f", 2) == 0);
			close(fd);
		} else {
			CHECK_INT(rc, rows[i / 2].want < 0 ? -1 : 0);
			CHECK(rc == 0 || strstr(e.msg, "/etc/subuid"));
			if (rc == 0) {
				CHECK_INT(look(&p, "f").st_uid, rows[i / 2].want);
				CHECK_INT(look(&p, "f").st_gid, 7);
				CHECK_INT(look(&p, "f").st_mode, S_IFREG | 04755);
			}
		}
		unpack_free(u);
		buf_free(&tar);
		place_end(&p);
	}
	if (!is_root() && who == AS_WE_ARE)
		TEST_SKIP("only root may give files away");
}

static void many_entries_need_little_memory(void)
{
	struct place p;
	struct buf tar = { 0 };
	struct err e = { 0 };
	struct unpack_owner o = owner_here();
	struct unpack *u;
	char name[64];
	int rc = 0;

	if (!place_new(&p))
		return;
	u = unpack_new(p.root, p.scratch, &o);
	for (int i = 0; rc == 0 && i < 3000; i++) {
		snprintf(name, sizeof(name), "d%d/e%d/", i % 30, i);
		buf_reset(&tar);
		add(&tar, '5', name, NULL);
		rc = unpack_feed(u, buf_str(&tar), &e);
	}
	buf_reset(&tar);
	tar_finish(&tar);
	CHECK_INT(rc, 0);
	CHECK_INT(unpack_feed(u, buf_str(&tar), &e), 0);
	CHECK_INT(unpack_end(u, &e), 0);
	CHECK_INT(unpack_seen(u).entries, 3000);
	CHECK_INT(look(&p, "d29/e2999").st_mtime, 1000000000);
	CHECK_INT(look(&p, "d0/e0").st_mtime, 1000000000);
	unpack_free(u);
	buf_free(&tar);
	place_end(&p);
}

/* Both ways to find a path in a root agree, and neither leaves. */
static void roots_hold(void)
{
	static const struct {
		const char *path;
		int err; /* 0: it is there */
		const char *same_as;
	} rows[] = {
		{ "", 0, "." },
		{ "/", 0, "." },
		{ "..", 0, "." },
		{ "../../../..", 0, "." },
		{ "a/b", 0, "a/b" },
		{ "/a//./b/", 0, "a/b" },
		{ "a/b/..", 0, "a" },
		{ "abs", 0, "a/b" },
		{ "rel", 0, "a/b" },
		{ "up", 0, "." },
		{ "up/a", 0, "a" },
		{ "a/b/far/a", 0, "a" },
		{ "chain/..", 0, "a" },
		{ "loop", ELOOP, NULL },
		{ "loop/x", ELOOP, NULL },
		{ "dangling", ENOENT, NULL },
		{ "absent/x", ENOENT, NULL },
		{ "f/x", ENOTDIR, NULL },
		{ "f/", ENOTDIR, NULL },
		{ "f/..", ENOTDIR, NULL },
		{ "f", 0, "f" },
		{ "outside", ENOENT, NULL },
		{ "../outside", ENOENT, NULL },
		{ "up/outside", ENOENT, NULL },
	};
	struct place p;

	if (!place_new(&p))
		return;
	CHECK_INT(mkdirat(p.root, "a", 0755), 0);
	CHECK_INT(mkdirat(p.root, "a/b", 0755), 0);
	CHECK_INT(symlinkat("/a/b", p.root, "abs"), 0);
	CHECK_INT(symlinkat("a/../a/b", p.root, "rel"), 0);
	CHECK_INT(symlinkat("../..", p.root, "up"), 0);
	CHECK_INT(symlinkat("../../../../..", p.root, "a/b/far"), 0);
	CHECK_INT(symlinkat("abs", p.root, "chain"), 0);
	CHECK_INT(symlinkat("loop", p.root, "loop"), 0);
	CHECK_INT(symlinkat("/nothing", p.root, "dangling"), 0);
	close(openat(p.root, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	for (size_t i = 0; i < 2 * TEST_N(rows); i++) {
		int fd, err;
		struct stat st = { 0 }, want = { 0 };

		TEST_ROW(i);
		fd = (i % 2 ? inroot_walk : inroot_open)(p.root, rows[i / 2].path, O_PATH);
		err = errno;
		if (rows[i / 2].err) {
			CHECK_INT(fd, -1);
			CHECK_INT(err, rows[i / 2].err);
			continue;
		}
		if (!CHECK(fd >= 0))
			continue;
		CHECK_INT(fstat(fd, &st), 0);
		CHECK_INT(fstatat(p.root, rows[i / 2].same_as, &want, 0), 0);
		CHECK_INT(st.st_ino, want.st_ino);
		close(fd);
	}
	for (int i = 0; i < 2; i++) {
		int (*open_in)(int, const char *, int) = i ? inroot_walk : inroot_open;
		int fd = open_in(p.root, "dangling", O_PATH | O_NOFOLLOW);
		struct stat st = { 0 };

		CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
		close(fd);
		CHECK_INT(open_in(p.root, "f", O_PATH | O_DIRECTORY), -1);
	}
	place_end(&p);
}

static bool write_map(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

/* Status 3: not possible here. */
static void become(enum runs_as as)
{
	who = as;
	if (is_root() && (setgid(65534) < 0 || setuid(65534) < 0))
		_exit(3);
	if (as != IN_A_NAMESPACE)
		return;
	if (prctl(PR_SET_DUMPABLE, 1) < 0 || unshare(CLONE_NEWUSER) < 0)
		_exit(3);
	if (!write_map("/proc/self/setgroups", "deny") ||
	    !write_map("/proc/self/uid_map", "0 65534 1") ||
	    !write_map("/proc/self/gid_map", "0 65534 1"))
		_exit(3);
}

/* Runs it again as somebody else, in a process of its own. */
static void run_as(enum runs_as as, void (*run)(void))
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		test_failed = 0;
		test_tmp_owner = 0;
		become(as);
		run();
		fflush(NULL);
		if (test_tmp_owner)
			test_tmp_remove();
		_exit(test_failed ? 1 : 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		TEST_SKIP(as == IN_A_NAMESPACE ? "no user namespaces here"
		                               : "cannot become another user here");
	else
		CHECK_INT(status, 0);
}

static void the_same_as_others(void)
{
	static void (*const runs[])(void) = {
		a_layer_comes_out,
		whiteouts_become_those_of_overlayfs,
		hostile_layers_change_nothing_outside,
		attributes_that_are_not_for_images_are_left_out,
	};

	if (!is_root()) {
		TEST_SKIP("only root becomes somebody else");
		return;
	}
	for (size_t i = 0; i < TEST_N(runs); i++) {
		run_as(WITHOUT_RIGHTS, runs[i]);
		run_as(IN_A_NAMESPACE, runs[i]);
	}
	run_as(WITHOUT_RIGHTS, owners_are_mapped_or_recorded);
}

TEST_MAIN(TEST(roots_hold), TEST(a_layer_comes_out), TEST(whiteouts_become_those_of_overlayfs),
          TEST(renames_elsewhere_disturb_nothing), TEST(hostile_layers_change_nothing_outside),
          TEST(attributes_that_are_not_for_images_are_left_out),
          TEST(owners_are_mapped_or_recorded), TEST(many_entries_need_little_memory),
          TEST(the_same_as_others))
