/* SPDX-License-Identifier: Apache-2.0 */
/* The store: whole things or none, one at a time, and nothing that is needed goes. */
#include "base/file.h"
#include "base/mem.h"
#include "base/tar.h"
#include "oci/imgstore.h"
#include "tests/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct deadline never = { INT64_MAX };

/* Root gives files away; anybody else writes down whose they were. */
static struct unpack_owner owner_here(void)
{
	return unpack_owner_here();
}

static struct imgstore *open_store(const char *dir)
{
	struct unpack_owner o = owner_here();
	struct imgstore *s = NULL;
	struct err e = { 0 };

	if (!CHECK_INT(imgstore_open(&s, dir, &o, never, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	return s;
}

static int count(const char *dir, const char *sub)
{
	char path[TEST_PATH_SIZE + 40];
	struct dirent *en;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	while (d && (en = readdir(d)))
		n += en->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* A layer with one file; its digest is its diff_id as well. */
static struct digest put_layer(struct imgstore *s, const char *name, size_t size)
{
	struct buf tar = { 0 };
	struct digest d = { "" };
	struct err e = { 0 };

	tar_header(&tar,
	           &(struct tar_entry){ .name = name, .type = '0', .mode = 0644, .size = size });
	memset(buf_reserve(&tar, size), 'x', size);
	tar.n += size;
	tar_pad(&tar, size);
	tar_finish(&tar);
	CHECK_INT(imgstore_put_blob(s, buf_str(&tar), &d, never, &e), 0);
	buf_free(&tar);
	return d;
}

static struct stored image(const char *name, struct digest *layers, size_t n)
{
	return (struct stored){
		.name = mem_dup(name),
		.manifest = layers[0],
		.config = layers[0],
		.blobs = memcpy(mem_array(n, sizeof(*layers)), layers, n * sizeof(*layers)),
		.n_blobs = n,
		.layers = memcpy(mem_array(n, sizeof(*layers)), layers, n * sizeof(*layers)),
		.n_layers = n
	};
}

static int unpack(struct imgstore *s, const struct digest *blob, const struct digest *diff_id,
                  struct err *e)
{
	return imgstore_unpack(s, &(struct imgstore_layer){ .blob = blob, .diff_id = diff_id },
	                       never, e);
}

static void put_name(struct imgstore *s, const char *name, struct digest *layers, size_t n)
{
	struct stored i = image(name, layers, n);
	struct err e = { 0 };

	if (!CHECK_INT(imgstore_put_name(s, &i, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	stored_free(&i);
}

static void a_blob_is_whole_or_not_there(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct blob_in *b = NULL;
	struct buf read = { 0 };
	struct digest d;
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	digest_of(STR_LIT("hello world"), &d);
	CHECK_INT(blob_begin(s, &d, 11, NULL, &b, never, &e), 0);
	CHECK_INT(blob_add(b, STR_LIT("hello "), &e), 0);
	CHECK_INT(blob_commit(b, &e), -1);
	CHECK_INT(e.kind, ERR_CLOSED);
	blob_free(b);
	CHECK(!imgstore_has_blob(s, &d));
	/* The next attempt goes on. */
	CHECK_INT(blob_begin(s, &d, 11, NULL, &b, never, &e), 0);
	CHECK_INT(blob_have(b), 6);
	CHECK_INT(blob_add(b, STR_LIT("world!"), &e), -1);
	CHECK_INT(e.kind, ERR_LIMIT);
	CHECK_INT(blob_add(b, STR_LIT("world"), &e), 0);
	CHECK_INT(blob_commit(b, &e), 0);
	blob_free(b);
	CHECK(imgstore_has_blob(s, &d));
	CHECK_INT(imgstore_read_blob(s, &d, 100, &read, &e), 0);
	CHECK_STR(buf_cstr(&read), "hello world");
	CHECK_INT(count(dir, "tmp"), 0);
	/* A wrong one leaves nothing. */
	digest_of(STR_LIT("another"), &d);
	CHECK_INT(blob_begin(s, &d, -1, NULL, &b, never, &e), 0);
	CHECK_INT(blob_add(b, STR_LIT("wrong"), &e), 0);
	CHECK_INT(blob_commit(b, &e), -1);
	CHECK_INT(e.kind, ERR_PARSE);
	blob_free(b);
	CHECK(!imgstore_has_blob(s, &d));
	CHECK_INT(count(dir, "tmp"), 0);
	buf_free(&read);
	imgstore_close(s);
}

/* What is here is only for who has brought all of it, or for everybody when somebody has without a mark. */
static void a_blob_is_for_who_has_brought_it(void)
{
	static const struct {
		const char *whose, *bytes;
		int have; /* -1: it may be taken */
	} rows[] = {
		{ NULL, "hello", 0 },     { "", "", 0 },         { NULL, "", 5 },
		{ "alice", "hello ", 0 }, { "bob", "he", 0 },    { "alice", "world", 6 },
		{ "alice", NULL, -1 },    { NULL, NULL, -1 },    { "bob", "", 2 },
		{ "carol", "", 0 },       { "", "", 0 },         { "bob", "llo world", 2 },
		{ "bob", NULL, -1 },      { "carol", "hel", 0 }, { "", "hello world", 0 },
		{ "", NULL, -1 },         { "carol", NULL, -1 },
	};
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct imgstore_keep keep = { 0 };
	struct digest d;
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	digest_of(STR_LIT("hello world"), &d);
	for (size_t i = 0; i < TEST_N(rows); i++) {
		struct blob_in *b = NULL;
		struct err cut = { 0 };

		TEST_ROW(i);
		CHECK_INT(blob_begin(s, &d, 11, rows[i].whose, &b, never, &e), 0);
		CHECK_INT(b ? (int)blob_have(b) : -1, rows[i].have);
		if (b && rows[i].bytes) {
			CHECK_INT(blob_add(b, str_of(rows[i].bytes), &e), 0);
			(void)blob_commit(b, &cut);
		}
		blob_free(b);
	}
	CHECK_INT(count(dir, "brought"), 3);
	imgstore_close(s);
	CHECK_INT(imgstore_sweep(dir, &keep, never, NULL, &e), 0);
	CHECK_INT(count(dir, "brought") + count(dir, "blobs/sha256"), 0);
}

static void damage_on_the_disk_is_noticed(void)
{
	char dir[TEST_PATH_SIZE], path[TEST_PATH_SIZE + 100];
	struct imgstore *s;
	struct digest d;
	struct buf b = { 0 };
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	CHECK_INT(imgstore_put_blob(s, STR_LIT("right"), &d, never, &e), 0);
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", dir, digest_hex(&d));
	CHECK_INT(file_replace(path, 0600, STR_LIT("wrong"), &e), 0);
	CHECK_INT(imgstore_read_blob(s, &d, 100, &b, &e), -1);
	CHECK(strstr(e.msg, "is damaged") && b.n == 0);
	buf_free(&b);
	imgstore_close(s);
}

static void layers_are_unpacked_once(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct digest d, other;
	struct err e = { 0 };
	char *path;
	struct stat st = { 0 }, again = { 0 };
	struct buf file = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	d = put_layer(s, "a/file", 1000);
	other = put_layer(s, "b", 5);
	CHECK(!imgstore_has_layer(s, &d));
	/* What it unpacks to must be what the image says. */
	CHECK_INT(unpack(s, &d, &other, &e), -1);
	CHECK(strstr(e.msg, "it unpacks to") != NULL);
	CHECK(!imgstore_has_layer(s, &other));
	CHECK_INT(count(dir, "layers") + count(dir, "tmp"), 0);
	if (!CHECK_INT(unpack(s, &d, &d, &e), 0))
		fprintf(stderr, "  %s\n", e.msg);
	path = imgstore_layer_path(s, &d);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK_INT(unpack(s, &d, &d, &e), 0);
	CHECK_INT(stat(path, &again), 0);
	CHECK_INT(again.st_ino, st.st_ino);
	/* What is there already is not proved by another blob. */
	for (int i = 0; i < 2; i++) {
		struct imgstore_layer l = { .blob = i ? &d : &other, .diff_id = &d, .prove = true };

		err_clear(&e);
		CHECK_INT(imgstore_unpack(s, &l, never, &e), i ? 0 : -1);
		CHECK(i || strstr(e.msg, "it unpacks to") != NULL);
	}
	buf_addf(&file, "%s/a/file", path);
	CHECK_INT(stat(buf_cstr(&file), &st), 0);
	CHECK_INT(st.st_size, 1000);
	CHECK_INT(imgstore_layer_size(s, &d), 1000);
	CHECK_INT(count(dir, "tmp"), 0);
	free(path);
	buf_free(&file);
	imgstore_close(s);
}

/* Until it is synced, a layer is only believed in the boot that it was made in. */
static void layers_of_another_boot_are_made_anew(void)
{
	static const char *const marks[] = { "another-boot", "" };

	for (size_t i = 0; i < TEST_N(marks); i++) {
		char dir[TEST_PATH_SIZE];
		struct imgstore *s;
		struct digest d;
		struct imgstore_keep keep = { 0 };
		struct buf mark = { 0 }, file = { 0 };
		struct err e = { 0 };
		struct timespec ts[2] = { { 1, 0 }, { 1, 0 } };

		TEST_ROW(i);
		if (!CHECK(test_mkdtemp(dir)))
			return;
		s = open_store(dir);
		d = put_layer(s, "f", 100);
		CHECK_INT(unpack(s, &d, &d, &e), 0);
		put_name(s, "name", &d, 1);
		buf_addf(&mark, "%s/layers/%s%s/boot", dir, digest_hex(&d),
		         unpack_may_give() ? "" : "-ru");
		buf_addf(&file, "%s/layers/%s%s/fs/f", dir, digest_hex(&d),
		         unpack_may_give() ? "" : "-ru");
		if (!CHECK(file_exists(buf_cstr(&mark))))
			return;
		CHECK_INT(file_replace(buf_cstr(&mark), 0600, str_of(marks[i]), &e), 0);
		CHECK_INT(truncate(buf_cstr(&file), 0), 0);
		CHECK(!imgstore_has_layer(s, &d));
		CHECK_INT(unpack(s, &d, &d, &e), 0);
		CHECK(imgstore_has_layer(s, &d));
		CHECK_INT(count(dir, "tmp"), 0);
		CHECK_INT(truncate(buf_cstr(&file), 100), 0);
		imgstore_close(s);
		/* An old mark goes with a sync. */
		CHECK_INT(imgstore_sweep(dir, &keep, never, NULL, &e), 0);
		CHECK(file_exists(buf_cstr(&mark)));
		CHECK_INT(utimensat(AT_FDCWD, buf_cstr(&mark), ts, 0), 0);
		CHECK_INT(imgstore_sweep(dir, &keep, never, NULL, &e), 0);
		CHECK(!file_exists(buf_cstr(&mark)));
		s = open_store(dir);
		CHECK(imgstore_has_layer(s, &d));
		imgstore_close(s);
		buf_free(&mark);
		buf_free(&file);
	}
}

static void what_is_needed_stays(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct digest d[3];
	struct stored i;
	struct imgstore_keep keep = { 0 };
	struct imgstore_swept swept;
	struct err e = { 0 };
	struct stat first, again;
	char held[TEST_PATH_SIZE + 32];

	if (!CHECK(test_mkdtemp(dir)))
		return;
	snprintf(held, sizeof(held), "%s/uses/workspace-1", dir);
	s = open_store(dir);
	for (int k = 0; k < 3; k++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", k);
		d[k] = put_layer(s, name, 10);
		CHECK_INT(unpack(s, &d[k], &d[k], &e), 0);
	}
	put_name(s, "one", d, 2);
	put_name(s, "two", d + 1, 2);
	CHECK_INT(imgstore_sweep(dir, &keep, DEADLINE_PAST, &swept, &e), -1);
	CHECK_INT(e.kind, ERR_BUSY); /* it is open here */
	CHECK_INT(imgstore_find(s, "one", &i, &e), 0);
	CHECK_INT(imgstore_hold(s, "workspace-1", &i, &e), 0);
	CHECK(stat(held, &first) == 0);
	CHECK_INT(imgstore_hold(s, "workspace-1", &i, &e),
	          0); /* it has what it needs: nothing is written */
	CHECK(stat(held, &again) == 0 && again.st_ino == first.st_ino);
	i.added_ms++; /* nor for the same one by another name or time */
	CHECK_INT(imgstore_hold(s, "workspace-1", &i, &e), 0);
	CHECK(stat(held, &again) == 0 && again.st_ino == first.st_ino);
	stored_free(&i);
	CHECK_INT(imgstore_hold(s, "../x", &i, &e), -1);
	CHECK_INT(imgstore_remove_name(s, "one", &e), 0);
	CHECK_INT(imgstore_remove_name(s, "one", &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	imgstore_close(s);

	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.layers + swept.blobs, 0); /* held */
	s = open_store(dir);
	CHECK_INT(imgstore_release(s, "workspace-1", &e), 0);
	CHECK_INT(imgstore_release(s, "workspace-1", &e), 0);
	imgstore_close(s);
	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.layers, 1);
	CHECK_INT(swept.blobs, 1);
	s = open_store(dir);
	CHECK(!imgstore_has_layer(s, &d[0]) && imgstore_has_layer(s, &d[1]) &&
	      imgstore_has_layer(s, &d[2]));
	/* A name whose blobs are not all there is no image. */
	i = image("broken", d, 3);
	CHECK_INT(imgstore_put_name(s, &i, &e), -1);
	CHECK_INT(e.kind, ERR_NOT_FOUND);
	stored_free(&i);
	imgstore_close(s);
}

static void set_used(const char *dir, const char *name, long ago_s)
{
	struct digest d;
	char path[TEST_PATH_SIZE + 100];
	struct timespec ts[2] = { { time(NULL) - ago_s, 0 }, { time(NULL) - ago_s, 0 } };

	digest_of(str_of(name), &d);
	snprintf(path, sizeof(path), "%s/refs/%s", dir, digest_hex(&d));
	CHECK_INT(utimensat(AT_FDCWD, path, ts, 0), 0);
}

static void names_go_by_age_and_for_room(void)
{
	char dir[TEST_PATH_SIZE];
	struct imgstore *s;
	struct digest d[3];
	struct stored i, *list;
	struct imgstore_keep keep = { .age_ms = 3600000 };
	struct imgstore_swept swept;
	struct err e = { 0 };
	size_t n, damaged;

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	for (int k = 0; k < 3; k++) {
		static const char *const names[] = { "young", "old", "held" };

		d[k] = put_layer(s, names[k], 10);
		put_name(s, names[k], d + k, 1);
	}
	CHECK_INT(imgstore_find(s, "held", &i, &e), 0);
	CHECK_INT(imgstore_hold(s, "w", &i, &e), 0);
	stored_free(&i);
	imgstore_close(s);
	set_used(dir, "old", 4000);
	set_used(dir, "held", 5000);
	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.names, 1);
	CHECK_INT(swept.blobs, 1);
	s = open_store(dir);
	CHECK_INT(imgstore_list(s, &list, &n, &damaged, &e), 0);
	if (CHECK_INT(n, 2)) {
		CHECK_STR(list[0].name, "held");
		CHECK_STR(list[1].name, "young");
	}
	stored_list_free(list, n);
	imgstore_close(s);
	/* No disk has so much free: all goes but what is held. */
	keep = (struct imgstore_keep){ .free_bytes = UINT64_MAX };
	CHECK_INT(imgstore_sweep(dir, &keep, never, &swept, &e), 0);
	CHECK_INT(swept.names, 1);
	CHECK_INT(count(dir, "blobs/sha256"), 1);
}

/* As long as names are, but no longer than there is room. */
static void what_builds_have_made_is_kept_for_a_while(void)
{
	static const struct {
		struct imgstore_keep keep;
		long ago_s;
		int left;
	} rows[] = { { { .made = true }, 5000, 1 },
		     { { .made = true, .age_ms = 6000000 }, 5000, 1 },
		     { { .made = true, .age_ms = 4000000 }, 5000, 0 },
		     { { .made = true, .free_bytes = 1 }, 5000, 1 },
		     { { .made = true, .free_bytes = UINT64_MAX }, 5, 0 },
		     { { 0 }, 5, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char dir[TEST_PATH_SIZE], path[TEST_PATH_SIZE + 100];
		struct timespec ts[2] = { { time(NULL) - rows[i].ago_s, 0 },
			                  { time(NULL) - rows[i].ago_s, 0 } };
		struct digest of, layer;
		struct imgstore *s;
		struct err e = { 0 };

		if (!CHECK(test_mkdtemp(dir)))
			return;
		s = open_store(dir);
		layer = put_layer(s, "f", 10);
		digest_of(STR_LIT("RUN it"), &of);
		CHECK_INT(imgstore_note_made(s, &of, &layer, &e), 0);
		snprintf(path, sizeof(path), "%s/made/%s", dir, digest_hex(&of));
		CHECK_INT(utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW), 0);
		imgstore_close(s);
		CHECK_INT(imgstore_sweep(dir, &rows[i].keep, never, NULL, &e), 0);
		CHECK_INT(count(dir, "blobs/sha256"), rows[i].left);
		CHECK_INT(count(dir, "made"), rows[i].left);
	}
}

static void a_damaged_record_stops_removal(void)
{
	char dir[TEST_PATH_SIZE], path[TEST_PATH_SIZE + 20];
	struct imgstore *s;
	struct imgstore_keep keep = { 0 };
	struct err e = { 0 };

	if (!CHECK(test_mkdtemp(dir)))
		return;
	s = open_store(dir);
	(void)put_layer(s, "f", 10);
	imgstore_close(s);
	snprintf(path, sizeof(path), "%s/uses/w", dir);
	CHECK_INT(file_replace(path, 0600, STR_LIT("{"), &e), 0);
	CHECK_INT(imgstore_sweep(dir, &keep, never, NULL, &e), -1);
	CHECK(strstr(e.msg, "damaged") != NULL);
	CHECK_INT(count(dir, "blobs/sha256"), 1);
}

/* Brings a blob and its layer as a pull does; ends by itself or by a signal. */
static void work(const char *dir, const struct buf *tar)
{
	struct unpack_owner o = owner_here();
	struct imgstore *s = NULL;
	struct blob_in *b = NULL;
	struct digest d;
	struct err e = { 0 };
	int rc = imgstore_open(&s, dir, &o, never, &e);

	digest_of(buf_str(tar), &d);
	if (rc == 0)
		rc = blob_begin(s, &d, (int64_t)tar->n, NULL, &b, never, &e);
	for (size_t at = b ? (size_t)blob_have(b) : tar->n; rc == 0 && at < tar->n; at += 4096)
		rc = blob_add(b,
		              (struct str){ tar->p + at, tar->n - at < 4096 ? tar->n - at : 4096 },
		              &e);
	if (rc == 0 && b)
		rc = blob_commit(b, &e);
	blob_free(b);
	if (rc == 0)
		rc = unpack(s, &d, &d, &e);
	if (rc < 0)
		fprintf(stderr, "  %s\n", e.msg);
	imgstore_close(s);
	_exit(rc == 0 ? 0 : 1);
}

static void make_tar(struct buf *tar)
{
	for (int i = 0; i < 200; i++) {
		char name[20];

		snprintf(name, sizeof(name), "d%d/f%d", i % 7, i);
		tar_header(tar, &(struct tar_entry){
					.name = name, .type = '0', .mode = 0644, .size = 3000 });
		memset(buf_reserve(tar, 3000), 'a' + i % 26, 3000);
		tar->n += 3000;
		tar_pad(tar, 3000);
	}
	tar_finish(tar);
}

static void check_whole(const char *dir, const struct buf *tar)
{
	struct imgstore *s = open_store(dir);
	struct digest d;
	struct err e = { 0 };
	struct buf b = { 0 };

	digest_of(buf_str(tar), &d);
	CHECK_INT(imgstore_read_blob(s, &d, tar->n, &b, &e), 0);
	CHECK(imgstore_has_layer(s, &d));
	CHECK_INT(imgstore_layer_size(s, &d), 200 * 3000);
	CHECK_INT(count(dir, "tmp"), 0);
	buf_free(&b);
	imgstore_close(s);
}

static void many_at_once_bring_one(void)
{
	char dir[TEST_PATH_SIZE];
	struct buf tar = { 0 };
	pid_t pids[6];

	if (!CHECK(test_mkdtemp(dir)))
		return;
	make_tar(&tar);
	fflush(NULL);
	for (size_t i = 0; i < TEST_N(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			work(dir, &tar);
	}
	for (size_t i = 0; i < TEST_N(pids); i++) {
		int status = -1;

		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK_INT(status, 0);
	}
	check_whole(dir, &tar);
	buf_free(&tar);
}

/* Killed at another moment each time; what is found then is whole, and the next attempt succeeds. */
static void killed_at_any_moment(void)
{
	char dir[TEST_PATH_SIZE];
	struct buf tar = { 0 };
	struct imgstore_keep keep = { 0 };
	struct digest d;
	struct err e = { 0 };
	long step = 100;

	make_tar(&tar);
	digest_of(buf_str(&tar), &d);
	for (int i = 0; i < 16; i++) {
		struct timespec ts = { 0, 0 };
		struct imgstore *s;
		pid_t pid;
		int status;

		TEST_ROW(i);
		if (!CHECK(test_mkdtemp(dir)))
			return;
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			work(dir, &tar);
		ts.tv_nsec = i * step * 10000; /* a spread of moments; none is relied on */
		nanosleep(&ts, NULL);
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid);
		s = open_store(dir);
		/* A blob or layer that has its name is whole. */
		if (imgstore_has_blob(s, &d)) {
			struct buf b = { 0 };

			CHECK_INT(imgstore_read_blob(s, &d, tar.n, &b, &e), 0);
			buf_free(&b);
		}
		if (imgstore_has_layer(s, &d))
			CHECK_INT(imgstore_layer_size(s, &d), 200 * 3000);
		imgstore_close(s);
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			work(dir, &tar);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK_INT(status, 0);
		/* What stayed locked or half is nobody's: a sweep takes it, here with all the rest. */
		s = open_store(dir);
		CHECK(imgstore_has_layer(s, &d));
		imgstore_close(s);
		CHECK_INT(imgstore_sweep(dir, &keep, never, NULL, &e), 0);
		CHECK_INT(count(dir, "tmp") + count(dir, "layers") + count(dir, "blobs/sha256"), 0);
		CHECK_INT(file_remove_tree(dir, &e), 0);
	}
	buf_free(&tar);
}

TEST_MAIN(TEST(a_blob_is_whole_or_not_there), TEST(a_blob_is_for_who_has_brought_it),
          TEST(damage_on_the_disk_is_noticed), TEST(layers_are_unpacked_once),
          TEST(layers_of_another_boot_are_made_anew), TEST(what_is_needed_stays),
          TEST(names_go_by_age_and_for_room), TEST(what_builds_have_made_is_kept_for_a_while),
          TEST(a_damaged_record_stops_removal), TEST(many_at_once_bring_one),
          TEST(killed_at_any_moment))
