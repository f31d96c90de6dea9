/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a whole: found, handed out with its layers and configuration, held, merged. */
#include "base/allow.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/images.h"
#include "oci/layer.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const struct deadline never = { INT64_MAX };

static struct imgstore *open_store(const char *dir)
{
	struct unpack_owner o = unpack_owner_here();
	struct imgstore *s = NULL;
	struct err e = { 0 };

	if (!CHECK_INT(imgstore_open(&s, dir, &o, never, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	return s;
}

static void add(struct buf *tar, char type, const char *name, const char *link, const char *content)
{
	size_t n = content ? strlen(content) : 0;

	tar_header(tar, &(struct tar_entry){ .name = name,
	                                     .type = type,
	                                     .link = link,
	                                     .mode = type == '5' ? 0750 : 0640,
	                                     .uid = getuid(),
	                                     .gid = getgid(),
	                                     .mtime = 1000000000,
	                                     .size = n });
	if (n)
		buf_adds(tar, content);
	tar_pad(tar, n);
}

static void lowest_layer(struct buf *tar)
{
	add(tar, '5', "./", NULL, NULL);
	add(tar, '5', "keep/", NULL, NULL);
	add(tar, '0', "keep/old", NULL, "old");
	add(tar, '1', "hard", "keep/old", NULL);
	add(tar, '2', "soft", "keep/old", NULL);
	add(tar, '0', "gone", NULL, "x");
	add(tar, '5', "opaque/", NULL, NULL);
	add(tar, '0', "opaque/below", NULL, "x");
	add(tar, '5', "file-later/", NULL, NULL);
	add(tar, '0', "file-later/x", NULL, "x");
	add(tar, '6', "pipe", NULL, NULL);
	tar_finish(tar);
}

static void upper_layer(struct buf *tar)
{
	add(tar, '5', "./", NULL, NULL);
	add(tar, '0', ".wh.gone", NULL, NULL);
	add(tar, '5', "opaque/", NULL, NULL);
	add(tar, '0', "opaque/.wh..wh..opq", NULL, NULL);
	add(tar, '0', "opaque/above", NULL, "y");
	add(tar, '0', "file-later", NULL, "now a file");
	add(tar, '5', "keep/", NULL, NULL);
	add(tar, '0', "keep/new", NULL, "new");
	tar_finish(tar);
}

static struct digest put(struct imgstore *s, const struct buf *b)
{
	struct digest d = { "" };
	struct err e = { 0 };

	CHECK_INT(imgstore_put_blob(s, buf_str(b), &d, never, &e), 0);
	return d;
}

/* The image of both layers, under the name "x/app:1". */
static struct digest make_image(struct imgstore *s)
{
	struct buf low = { 0 }, up = { 0 }, config = { 0 }, manifest = { 0 };
	struct digest l, u, c, m;
	struct err e = { 0 };

	lowest_layer(&low);
	upper_layer(&up);
	l = put(s, &low);
	u = put(s, &up);
	buf_addf(
		&config,
		"{\"os\":\"linux\",\"config\":{\"Env\":[\"A=B\"],\"User\":\"1:2\",\"WorkingDir\":\"/w\","
		"\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"]},\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\"]}}",
		l.text, u.text);
	c = put(s, &config);
	buf_addf(&manifest,
	         "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":["
	         "{\"digest\":\"%s\",\"size\":%zu},{\"digest\":\"%s\",\"size\":%zu}]}",
	         c.text, config.n, l.text, low.n, u.text, up.n);
	m = put(s, &manifest);
	if (!CHECK_INT(images_complete(s, &m, NULL, "docker.io/x/app:1", NULL, never, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	buf_free(&low);
	buf_free(&up);
	buf_free(&config);
	buf_free(&manifest);
	return m;
}

static int unpack(struct imgstore *s, const struct digest *blob, const struct digest *diff_id,
                  struct err *e)
{
	return imgstore_unpack(s, &(struct imgstore_layer){ .blob = blob, .diff_id = diff_id },
	                       never, e);
}

static void names_are_in_full(void)
{
	static const struct {
		const char *ref, *full, *brief;
	} rows[] = {
		{ "debian", "docker.io/library/debian:latest", "debian:latest" },
		{ "debian:12", "docker.io/library/debian:12", "debian:12" },
		{ "a/b", "docker.io/a/b:latest", "a/b:latest" },
		{ "host:5000/a/b:c", "host:5000/a/b:c", "host:5000/a/b:c" },
		{ "a/b:c@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "docker.io/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  "a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "A", NULL, NULL },
		{ "", NULL, NULL },
		{ "../x", NULL, NULL },
	};

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct buf full = { 0 }, brief = { 0 };
		struct err e = { 0 };

		TEST_ROW(i);
		CHECK_INT(images_full_name(rows[i].ref, &full, &e), rows[i].full ? 0 : -1);
		if (rows[i].full) {
			CHECK_STR(buf_cstr(&full), rows[i].full);
			images_short_name(buf_cstr(&full), &brief);
			CHECK_STR(buf_cstr(&brief), rows[i].brief);
		}
		buf_free(&full);
		buf_free(&brief);
	}
}

static void one_call_gives_a_root_and_holds_it(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct rootfs r;
	struct stored i;
	struct imgstore_keep keep = { 0 };
	struct imgstore_swept swept;
	struct digest m;
	struct err e = { 0 };
	char id[20];

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	m = make_image(s);
	CHECK_INT(images_rootfs(s, "x/app:2", "w", never, &r, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	err_clear(&e);
	if (!CHECK_INT(images_rootfs(s, "x/app:1", "workspace-1", never, &r, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	if (CHECK_INT(r.n, 2)) {
		struct buf top = { 0 };

		buf_addf(&top, "%s/keep/new", r.lower[0]); /* the uppermost is the first */
		CHECK(file_exists(buf_cstr(&top)));
		buf_free(&top);
	}
	CHECK_STR(r.config.env[0], "A=B");
	CHECK_STR(r.config.user, "1:2");
	CHECK_STR(r.config.workdir, "/w");
	CHECK_STR(r.config.entrypoint[0], "/e");
	CHECK_STR(r.config.cmd[0], "c");
	CHECK(digest_eq(&r.manifest, &m));
	CHECK_STR(r.name, "docker.io/x/app:1");
	rootfs_free(&r);
	/* By the beginning of its id as well. */
	CHECK_INT(images_find(s, "x/app:1", &i, &e), 0);
	snprintf(id, sizeof(id), "%.12s", digest_hex(&i.config));
	stored_free(&i);
	CHECK_INT(images_rootfs(s, id, "workspace-1", never, &r, &e), 0);
	rootfs_free(&r);
	/* Held, it outlives its name; released, it goes. */
	CHECK_INT(imgstore_remove_name(s, "docker.io/x/app:1", &e), 0);
	imgstore_close(s);
	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.layers + swept.blobs, 0);
	s = open_store(dir);
	CHECK_INT(images_release(s, "workspace-1", &e), 0);
	imgstore_close(s);
	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.layers, 2);
	CHECK_INT(swept.blobs, 4);
}

/* For other owners the layers are unpacked once more, from the blobs. */
static void layers_for_other_owners_are_others(void)
{
	char dir[TEST_PATH_SIZE];
	struct unpack_owner o = { .recorded = true, .user_marks = true };
	struct imgstore *s;
	struct rootfs r;
	struct err e = { 0 };
	char *first;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	if (!unpack_may_give()) {
		TEST_SKIP("only root has two kinds of owners");
		return;
	}
	s = open_store(dir);
	(void)make_image(s);
	CHECK_INT(images_rootfs(s, "x/app:1", "w", never, &r, &e), 0);
	first = mem_dup(r.lower[0]);
	rootfs_free(&r);
	imgstore_close(s);
	CHECK_INT(imgstore_open(&s, dir, &o, never, &e), 0);
	CHECK_INT(images_rootfs(s, "x/app:1", "w", never, &r, &e), 0);
	CHECK(r.n == 2 && strcmp(r.lower[0], first) != 0 && file_is_dir(r.lower[0]));
	rootfs_free(&r);
	imgstore_close(s);
	free(first);
}

static struct stat look(const char *dir, const char *name)
{
	char path[TEST_PATH_SIZE + 60];
	struct stat st = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)lstat(path, &st);
	return st;
}

static void layers_are_merged_as_overlayfs_would(void)
{
	char dir[TEST_PATH_SIZE], to[TEST_PATH_SIZE];
	struct imgstore *s;
	struct rootfs r;
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)) || !CHECK(test_mkdtemp(to)))
		return;
	s = open_store(dir);
	(void)make_image(s);
	CHECK_INT(images_rootfs(s, "x/app:1", "w", never, &r, &e), 0);
	if (!CHECK_INT(images_flatten(&r, to, never, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	CHECK_INT(look(to, "keep/old").st_size, 3);
	CHECK_INT(look(to, "keep/old").st_ino, look(to, "hard").st_ino);
	CHECK_INT(look(to, "keep/old").st_mode, S_IFREG | 0640);
	CHECK_INT(look(to, "keep/old").st_mtime, 1000000000);
	CHECK_INT(look(to, "keep").st_mode, S_IFDIR | 0750);
	CHECK_INT(look(to, "keep").st_mtime, 1000000000);
	CHECK_INT(look(to, ".").st_mtime, 1000000000);
	CHECK_INT(look(to, "keep/new").st_size, 3);
	CHECK(S_ISLNK(look(to, "soft").st_mode));
	CHECK(S_ISFIFO(look(to, "pipe").st_mode));
	CHECK_INT(look(to, "gone").st_mode, 0);
	CHECK_INT(look(to, "opaque/below").st_mode, 0);
	CHECK_INT(look(to, "opaque/above").st_size, 1);
	CHECK_INT(look(to, "file-later").st_size, 10);
	/* Changing the copy changes no layer. */
	{
		char path[TEST_PATH_SIZE + 20];

		snprintf(path, sizeof(path), "%s/keep/new", to);
		CHECK_INT(truncate(path, 0), 0);
		CHECK_INT(look(r.lower[0], "keep/new").st_size, 3);
	}
	rootfs_free(&r);
	imgstore_close(s);
}

/* An id leads to no image that a list does not allow by its name. */
/* When its name is gone, or another image's, nobody can tell. */
static void logins_are_those_of_a_name(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s = test_mkdtemp(dir) ? open_store(dir) : NULL;
	struct digest m = make_image(s);
	struct stored *list;
	size_t n, damaged;
	struct kv logins = { 0 };
	struct err e = { 0 };

	CHECK_INT(images_logins(s, &m, &logins, &e), 0);
	CHECK_INT(logins.n, 0);
	CHECK_INT(imgstore_list(s, &list, &n, &damaged, &e), 0);
	for (size_t i = 0; i < n; i++)
		CHECK_INT(imgstore_remove_name(s, list[i].name, &e), 0);
	stored_list_free(list, n);
	CHECK_INT(images_logins(s, &m, &logins, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	kv_free(&logins);
	imgstore_close(s);
}

static void an_id_is_no_way_around_a_list(void)
{
	static const struct {
		const char *list;
		bool ok;
	} rows[] = { { NULL, true }, { "x/*", true }, { "library/*", false }, { "y/*", false } };
	char dir[TEST_PATH_SIZE];
	struct imgstore *s = test_mkdtemp(dir) ? open_store(dir) : NULL;
	struct digest m = make_image(s);

	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct stored found = { 0 };
		struct err e = { 0 };
		char brief[13];

		TEST_ROW(i);
		snprintf(brief, sizeof(brief), "%s", digest_hex(&m));
		allow_set(ALLOW_IMAGES, rows[i].list);
		CHECK_INT(images_find(s, brief, &found, &e), rows[i].ok ? 0 : -1);
		CHECK_INT(e.kind, rows[i].ok ? ERR_NONE : ERR_DENIED);
		stored_free(&found);
		e = (struct err){ 0 };
		CHECK_INT(images_find(s, m.text, &found, &e), rows[i].ok ? 0 : -1);
		stored_free(&found);
		allow_set(ALLOW_IMAGES, NULL);
	}
	imgstore_close(s);
}

/* A configuration as it was read is written, and an image of it has one layer twice: overlayfs takes no directory twice. */
static void a_layer_may_be_there_twice(void)
{
	static const char text[] =
		"{\"created\":\"2020-01-01T00:00:00Z\",\"architecture\":\"arm64\",\"os\":\"linux\","
		"\"config\":{\"User\":\"u\",\"ExposedPorts\":{\"80/tcp\":{}},\"Env\":[\"A=B=C\"],"
		"\"Entrypoint\":[\"e\"],\"Cmd\":[],\"Shell\":[\"s\"],\"Volumes\":{\"/v=w\":{}},"
		"\"WorkingDir\":\"/w\",\"Labels\":{\"l\":\"m=n\"},\"StopSignal\":\"TERM\"},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}";
	char dir[TEST_PATH_SIZE];
	struct imgstore *s = test_mkdtemp(dir) ? open_store(dir) : NULL;
	struct buf low = { 0 }, up = { 0 }, ids = { 0 }, config = { 0 }, again = { 0 },
		   manifest = { 0 };
	struct digest l[3], c, m;
	struct image_config read = { 0 };
	struct rootfs r = { 0 };
	struct err e = { 0 };
	char *top;

	lowest_layer(&low);
	upper_layer(&up);
	l[0] = l[2] = put(s, &low);
	l[1] = put(s, &up);
	buf_addf(&ids, "\"%s\",\"%s\",\"%s\"", l[0].text, l[1].text, l[2].text);
	buf_addf(&config, text, buf_cstr(&ids));
	CHECK_INT(image_config_parse(buf_str(&config), &read, &e), 0);
	image_config_write(&read, &again);
	CHECK_STR(buf_cstr(&again), buf_cstr(&config));
	c = put(s, &config);
	buf_addf(&manifest,
	         "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
	         c.text, config.n);
	for (int i = 0; i < 3; i++)
		buf_addf(&manifest, "%s{\"digest\":\"%s\",\"size\":%zu}", i ? "," : "", l[i].text,
		         i == 1 ? up.n : low.n);
	buf_adds(&manifest, "]}");
	m = put(s, &manifest);
	CHECK_INT(images_complete(s, &m, NULL, "", NULL, never, &e), 0);
	CHECK_INT(images_rootfs_of(s, &m, "holder", never, &r, &e), 0);
	top = imgstore_layer_path(s, &l[0]);
	if (CHECK_INT((long long)r.n, 2))
		CHECK_STR(r.lower[0], top);
	free(top);
	rootfs_free(&r);
	image_config_free(&read);
	buf_free(&low);
	buf_free(&up);
	buf_free(&ids);
	buf_free(&config);
	buf_free(&again);
	buf_free(&manifest);
	imgstore_close(s);
}

static void lists_are_set_by_name(void)
{
	char **l = NULL;

	image_list_set(&l, "A=1");
	image_list_set(&l, "AB=2");
	image_list_set(&l, "A=3=4");
	image_list_set(&l, "/v");
	image_list_set(&l, "/v");
	CHECK_STR(l[0], "A=3=4");
	CHECK_STR(l[1], "AB=2");
	CHECK_STR(l[2], "/v");
	CHECK(!l[3]);
	image_list_free(&l);
	CHECK(!l);
}

/* What an overlay has written, as a layer that unpacks to the same. */
static void an_upper_directory_becomes_a_layer(void)
{
	struct unpack_owner o = unpack_owner_here();
	const char *opaque = o.user_marks ? "user.overlay.opaque" : "trusted.overlay.opaque";
	char dir[TEST_PATH_SIZE], upper[TEST_PATH_SIZE], *at;
	struct imgstore *s = test_mkdtemp(dir) ? open_store(dir) : NULL;
	struct digest d, none;
	struct err e = { 0 };
	struct stat st;
	char value = 0;
	int fd, hole;

	CHECK(test_mkdtemp(upper));
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX,
	                    UNPACK_BYTES_MAX, never, &none, &e),
	          0);
	CHECK_STR(none.text, "");
	fd = open(upper, O_RDONLY | O_DIRECTORY);
	CHECK_INT(mkdirat(fd, "dir", 0751), 0);
	CHECK_INT(mkdirat(fd, "dev", 0755), 0);
	CHECK_INT(close(openat(fd, "dir/file", O_WRONLY | O_CREAT, 04755)), 0);
	CHECK_INT(close(openat(fd, "dev/file", O_WRONLY | O_CREAT, 0644)), 0);
	CHECK_INT(fchmodat(fd, "dir/file", 04755, 0), 0);
	CHECK_INT(linkat(fd, "dir/file", fd, "hard", 0), 0);
	CHECK_INT(symlinkat("dir", fd, "soft"), 0);
	CHECK_INT(mkfifoat(fd, "pipe", 0640), 0);
	if (mknodat(fd, "gone", S_IFCHR, makedev(0, 0)) < 0) {
		TEST_SKIP("no whiteouts can be made here");
		goto out;
	}
	at = path_join(upper, "dir");
	CHECK_INT(lsetxattr(at, opaque, "y", 1, 0), 0);
	CHECK_INT(lsetxattr(at, "user.mine", "value", 5, 0), 0);
	free(at);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, LAYER_OF_SANDBOX,
	                    UNPACK_BYTES_MAX, never, &d, &e),
	          0);
	CHECK_INT(unpack(s, &d, &d, &e), 0);
	close(fd);
	at = imgstore_layer_path(s, &d);
	fd = open(at, O_RDONLY | O_DIRECTORY);
	CHECK_INT(fstatat(fd, "gone", &st, 0), 0);
	CHECK(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	CHECK_INT(fstatat(fd, "hard", &st, 0), 0);
	CHECK_INT((long long)st.st_nlink, 2);
	CHECK_INT(st.st_mode & 07777, 04755);
	CHECK_INT(fstatat(fd, "dir", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0751);
	CHECK_INT(fstatat(fd, "soft", &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(S_ISLNK(st.st_mode));
	CHECK_INT(fstatat(fd, "pipe", &st, 0), 0);
	CHECK(S_ISFIFO(st.st_mode));
	CHECK_INT(fstatat(fd, "dev", &st, 0), -1);
	free(at);
	at = imgstore_layer_path(s, &d);
	{
		char *in = path_join(at, "dir"), mine[5];

		CHECK_INT(lgetxattr(in, opaque, &value, 1), 1);
		CHECK_INT(value, 'y');
		CHECK_INT(lgetxattr(in, "user.mine", mine, sizeof(mine)), 5);
		free(in);
	}
	free(at);
	/* A name that means something in a layer cannot be a file's. */
	close(fd);
	fd = open(upper, O_RDONLY | O_DIRECTORY);
	CHECK_INT(close(openat(fd, ".wh.x", O_WRONLY | O_CREAT, 0644)), 0);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX,
	                    UNPACK_BYTES_MAX, never, &d, &e),
	          -1);
	CHECK_INT(e.kind, ERR_UNSUPPORTED);
	CHECK_INT(unlinkat(fd, ".wh.x", 0), 0);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX,
	                    UNPACK_BYTES_MAX, DEADLINE_PAST, &d, &e),
	          -1);
	CHECK_INT(e.kind, ERR_TIMEOUT);
	/* Holes count. */
	hole = openat(fd, "hole", O_WRONLY | O_CREAT, 0644);
	CHECK_INT(ftruncate(hole, 4096), 0);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX, 4095, never,
	                    &d, &e),
	          -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX, 4096, never,
	                    &d, &e),
	          0);
	CHECK_INT(mkdirat(fd, "dir/.wh.x", 0755), 0);
	CHECK_INT(layer_add(s, upper, &(struct unpack_owner){ 0 }, !LAYER_OF_SANDBOX,
	                    UNPACK_BYTES_MAX, never, &d, &e),
	          -1);
	CHECK_INT(e.kind, ERR_UNSUPPORTED);
	close(hole);
out:
	close(fd);
	imgstore_close(s);
}

/* Until its blob is gone. */
static void what_a_step_made_is_known(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s = test_mkdtemp(dir) ? open_store(dir) : NULL;
	struct buf b = { 0 };
	struct digest key, layer, got;
	struct imgstore_swept swept;
	struct err e = { 0 };

	digest_of(STR_LIT("key"), &key);
	CHECK(!imgstore_made(s, &key, &got));
	CHECK_INT(imgstore_note_made(s, &key, &(struct digest){ "" }, &e), 0);
	CHECK(imgstore_made(s, &key, &got) && !*got.text);
	buf_adds(&b, "layer");
	layer = put(s, &b);
	CHECK_INT(imgstore_note_made(s, &key, &layer, &e), 0);
	CHECK(imgstore_made(s, &key, &got) && digest_eq(&got, &layer));
	imgstore_close(s);
	CHECK_INT(imgstore_sweep(dir, &(struct imgstore_keep){ 0 }, never, &swept, &e), 0);
	CHECK_INT((long long)swept.blobs, 1);
	s = open_store(dir);
	CHECK(!imgstore_made(s, &key, &got));
	imgstore_close(s);
	buf_free(&b);
}

TEST_MAIN(TEST(names_are_in_full), TEST(logins_are_those_of_a_name),
          TEST(one_call_gives_a_root_and_holds_it), TEST(layers_for_other_owners_are_others),
          TEST(layers_are_merged_as_overlayfs_would), TEST(an_id_is_no_way_around_a_list),
          TEST(a_layer_may_be_there_twice), TEST(lists_are_set_by_name),
          TEST(an_upper_directory_becomes_a_layer), TEST(what_a_step_made_is_known))
