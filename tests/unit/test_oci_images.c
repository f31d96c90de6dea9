/* SPDX-License-Identifier: Apache-2.0 */
/* An image as a whole: found, handed out with its layers and configuration, held, merged. */
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/images.h"
#include "tests/test.h"

#include <stdlib.h>
#include <sys/stat.h>

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
	if (!CHECK_INT(images_complete(s, &m, NULL, "docker.io/x/app:1", never, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	buf_free(&low);
	buf_free(&up);
	buf_free(&config);
	buf_free(&manifest);
	return m;
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

TEST_MAIN(TEST(names_are_in_full), TEST(one_call_gives_a_root_and_holds_it),
          TEST(layers_for_other_owners_are_others), TEST(layers_are_merged_as_overlayfs_would))
