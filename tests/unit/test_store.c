/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: a change is whole or not there, whatever call fails and wherever the process ends; a
 * damaged file harms nobody else; what a look-up costs does not depend on what is stored.
 */
#include "server/change.h"
#include "server/disk.h"

#include "base/file.h"
#include "base/mem.h"
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Thousands of syncs: on a file system of memory, where there is one. */
#define SEGMENT DISK_LOG_DIR "/00000001"

static char base[] = "/dev/shm/test-store-XXXXXX";
static unsigned dirs;

/* These stand before the C library's. The n-th of the calls from now fails; all: and those after it. */
#define PWRITE 1u
#define FDATASYNC 2u
#define FSYNC 4u
#define RENAME 8u
#define UNLINK 16u
#define TRUNCATE 32u
static unsigned failing;
static int left = -1;
static int failure = ENOSPC;
static bool all;

static bool fails(unsigned what)
{
	if (!(failing & what) || left < 0)
		return false;
	if (left > 0) {
		left--;
		return false;
	}
	if (!all)
		left = -1;
	errno = failure;
	return true;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (fails(PWRITE)) {
		/* What a full disk does: a part of it is there. */
		syscall(SYS_pwrite64, fd, p, n / 2, at);
		errno = failure;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, p, n, at);
}

int fdatasync(int fd)
{
	return fails(FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return fails(FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	return fails(RENAME) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	return fails(UNLINK) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	return fails(UNLINK) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

int ftruncate(int fd, off_t n)
{
	return fails(TRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

static void fail_from_now(unsigned what, int nth)
{
	failing = what;
	left = nth;
}

static void all_works(void)
{
	left = -1;
	all = false;
}

static char *new_dir(void)
{
	char name[24];

	snprintf(name, sizeof(name), "d%u", dirs++);
	return path_join(base, name);
}

static void open_in(struct store *s, const char *dir)
{
	struct err e = { 0 };

	*s = (struct store){ 0 };
	if (!CHECK(store_open(s, dir, &e) == 0))
		fprintf(stderr, "open: %s\n", e.msg);
}

static const struct rec *add(struct store *s, enum kind kind, const char *id, const char *name)
{
	struct change *ch = change_begin(s);
	struct rec *r = change_add(ch, kind);
	struct err e = { 0 };

	rec_set(r, kind_id(kind), id);
	rec_set(r, "name", name);
	CHECK(change_commit(ch, &e) == 0);
	return r;
}

static int rename_to(struct store *s, const struct rec *r, const char *name, struct err *e)
{
	struct change *ch = change_begin(s);

	rec_set(change_edit(ch, r), "name", name);
	return change_commit(ch, e);
}

/* A crash: nothing is written any more. */
static void crash(struct store *s)
{
	disk_close(s->disk);
	index_free(s->index);
	free(s->dir);
	*s = (struct store){ 0 };
}

static void found_again_after_close_and_after_crash(void)
{
	char *dir = new_dir();
	struct store s;

	open_in(&s, dir);
	add(&s, K_RUNNER, "r1", "one");
	const struct rec *two = add(&s, K_RUNNER, "r2", "two");
	struct err e = { 0 };
	struct change *ch = change_begin(&s);

	CHECK(rename_to(&s, two, "zwei", &e) == 0);
	CHECK_STR(rec_text(two, "name"), "zwei");
	CHECK(!store_find(&s, K_RUNNER, "name", "two"));
	CHECK(store_find(&s, K_RUNNER, "name", "zwei") == two);
	change_remove(ch, store_find(&s, K_RUNNER, "id", "r1"));
	CHECK(change_commit(ch, &e) == 0);
	for (int turn = 0; turn < 3; turn++) {
		if (turn == 2)
			crash(&s);
		else
			store_close(&s);
		open_in(&s, dir);
		CHECK(!store_find(&s, K_RUNNER, "id", "r1"));
		CHECK_STR(rec_text(store_find(&s, K_RUNNER, "id", "r2"), "name"), "zwei");
		CHECK(rec_seq(add(&s, K_ENV, "x", "y")) > 0);
		ch = change_begin(&s);
		change_remove(ch, store_first(&s, K_ENV));
		CHECK(change_commit(ch, &e) == 0);
	}
	store_close(&s);
	free(dir);
}

/* Three records in one change, and one that goes: every call that can fail, fails once. */
static void a_failed_change_leaves_all_as_it_was(void)
{
	static const struct {
		unsigned what;
		int nth, code;
	} rows[] = {
		{ PWRITE, 0, ENOSPC }, { PWRITE, 0, EMFILE },    { PWRITE, 0, EIO },
		{ FDATASYNC, 0, EIO }, { FDATASYNC, 0, EDQUOT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *dir = new_dir();
		struct store s;
		struct err e = { 0 };

		TEST_ROW(i);
		open_in(&s, dir);
		const struct rec *w = add(&s, K_WORKSPACE, "w1", "work");
		const struct rec *key = add(&s, K_KEY, "k1", "w1");
		struct change *ch = change_begin(&s);

		rec_set(change_edit(ch, w), "name", "other");
		rec_set(change_add(ch, K_JOB), "id", "j1");
		change_remove(ch, key);
		failure = rows[i].code;
		fail_from_now(rows[i].what, rows[i].nth);
		CHECK(change_commit(ch, &e) < 0);
		all_works();
		CHECK(e.kind == ERR_SYS && e.code == rows[i].code);
		CHECK(strstr(e.msg, "not saved"));
		CHECK(store_find(&s, K_WORKSPACE, "name", "work") == w);
		CHECK(!store_find(&s, K_WORKSPACE, "name", "other"));
		CHECK(store_find(&s, K_KEY, "hash", "k1") == key);
		CHECK(!store_first(&s, K_JOB));
		if (i % 2) {
			/* and the next one works */
			CHECK(rename_to(&s, w, "next", &e) == 0);
			CHECK(rename_to(&s, w, "work", &e) == 0);
		}
		crash(&s);
		open_in(&s, dir);
		CHECK(store_find(&s, K_WORKSPACE, "name", "work"));
		CHECK(store_find(&s, K_KEY, "hash", "k1"));
		CHECK(!store_first(&s, K_JOB));
		store_close(&s);
		free(dir);
	}
}

static void what_cannot_be_taken_back_stops_changes(void)
{
	char *dir = new_dir();
	struct store s;
	struct err e = { 0 };

	open_in(&s, dir);
	const struct rec *r = add(&s, K_RUNNER, "r1", "one");

	failure = EIO;
	all = true;
	fail_from_now(FDATASYNC | TRUNCATE, 0);
	CHECK(rename_to(&s, r, "two", &e) < 0);
	all_works();
	CHECK(rename_to(&s, r, "three", &e) < 0);
	CHECK(strstr(e.msg, "restart"));
	CHECK_STR(rec_text(r, "name"), "one");
	store_close(&s);
	/* The disk is well again, and so is the next start. */
	open_in(&s, dir);
	r = store_find(&s, K_RUNNER, "id", "r1");
	CHECK(rename_to(&s, r, "three", &e) == 0);
	store_close(&s);
	free(dir);
}

/* Bytes below a directory. */
static size_t size_of(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
		char *path = path_join(dir, f->d_name);
		struct stat st;

		if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
			n += (size_t)st.st_size;
		free(path);
	}
	if (d)
		closedir(d);
	return n;
}

static int change_notes(struct store *s, int i, struct err *e)
{
	static char text[20000];
	struct change *ch = change_begin(s);
	const struct rec *r = store_find(s, K_TEMPLATE, "name", i % 2 ? "odd" : "even");
	struct rec *draft = r ? change_edit(ch, r) : change_add(ch, K_TEMPLATE);

	memset(text, 'a' + i % 26, sizeof(text) - 1);
	rec_set(draft, "name", i % 2 ? "odd" : "even");
	rec_set(draft, "value", text);
	rec_set_int(draft, "linked", i + 1);
	return change_commit(ch, e);
}

/* Two records change again and again, one never, one is removed early: the log stays short, whatever
 * call fails on the way (0: none), and what was said to be kept is kept. */
static void what_is_superseded_leaves_the_log(void)
{
	static const unsigned rows[] = { 0, FSYNC, UNLINK, FDATASYNC, PWRITE };

	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		char *dir = new_dir(), *log = path_join(dir, DISK_LOG_DIR);
		int64_t kept[2] = { 0, 0 };
		struct store s;

		TEST_ROW(row);
		open_in(&s, dir);
		add(&s, K_RUNNER, "old", "never changed");
		change_notes(&s, 0, &(struct err){ 0 });
		struct change *ch = change_begin(&s);

		change_remove(ch, add(&s, K_TARGET, "gone", "soon"));
		CHECK(change_commit(ch, &(struct err){ 0 }) == 0);
		for (int i = 0; i < 700; i++) {
			struct err e = { 0 };

			failure = EIO;
			all = false;
			fail_from_now(rows[row], rows[row] && i % 7 == 3 ? 0 : -1);
			if (change_notes(&s, i, &e) == 0)
				kept[i % 2] = i + 1;
			all_works();
			if (s.disk->broken) { /* what the log has is not known */
				crash(&s);
				open_in(&s, dir);
			}
			if (i % 300 == 299) {
				crash(&s);
				open_in(&s, dir);
			}
		}
		/* 14 MB were written; alive are 40 KB. */
		CHECK(size_of(log) < (7u << 20));
		crash(&s);
		open_in(&s, dir);
		CHECK(store_damaged(&s) == 0);
		CHECK(rec_int(store_find(&s, K_TEMPLATE, "name", "even"), "linked") == kept[0]);
		CHECK(rec_int(store_find(&s, K_TEMPLATE, "name", "odd"), "linked") == kept[1]);
		CHECK_STR(rec_text(store_find(&s, K_RUNNER, "id", "old"), "name"), "never changed");
		CHECK(!store_find(&s, K_TARGET, "id", "gone"));
		store_close(&s);
		free(log);
		free(dir);
	}
	TEST_ROW(-1);
}

static void read_file(const char *dir, const char *name, struct buf *b)
{
	struct err e = { 0 };
	char *path = path_join(dir, name);

	CHECK(file_read(path, 1 << 20, b, &e) == 0);
	free(path);
}

static void write_file(const char *dir, const char *name, struct str text)
{
	struct err e = { 0 };
	char *path = path_join(dir, name);

	CHECK(file_replace(path, 0600, text, &e) == 0);
	free(path);
}

/* The log cut at every byte: each change is there whole or not at all, in order. */
static void log_cut_at_every_byte(void)
{
	char *dir = new_dir();
	struct store s;
	struct err e = { 0 };
	struct buf whole = { 0 };

	open_in(&s, dir);
	add(&s, K_TARGET, "t0", "base");
	read_file(dir, SEGMENT, &whole);
	size_t first = whole.n;

	buf_reset(&whole);
	for (int i = 0; i < 2; i++) {
		struct change *ch = change_begin(&s);
		char id[16];

		snprintf(id, sizeof(id), "w%d", i);
		rec_set(change_add(ch, K_WORKSPACE), "id", id);
		rec_set(change_add(ch, K_JOB), "id", id);
		rec_set(change_edit(ch, store_first(&s, K_TARGET)), "name", id);
		CHECK(change_commit(ch, &e) == 0);
	}
	read_file(dir, SEGMENT, &whole);
	crash(&s);
	for (size_t n = first; n <= whole.n; n++) {
		char *other = new_dir();
		size_t changes = 0;

		TEST_ROW(n);
		for (size_t i = first; i < n; i++)
			changes += whole.p[i] == '\n';
		open_in(&s, other);
		store_close(&s);
		write_file(other, SEGMENT, (struct str){ whole.p, n });
		open_in(&s, other);
		CHECK(!store_find(&s, K_WORKSPACE, "id", "w0") == (changes < 1));
		CHECK(!store_find(&s, K_JOB, "id", "w0") == (changes < 1));
		CHECK(!store_find(&s, K_WORKSPACE, "id", "w1") == (changes < 2));
		CHECK(!store_find(&s, K_JOB, "id", "w1") == (changes < 2));
		CHECK_STR(rec_text(store_first(&s, K_TARGET), "name"), changes == 2   ? "w1"
		                                                       : changes == 1 ? "w0"
		                                                                      : "base");
		CHECK(store_damaged(&s) == 0);
		crash(&s); /* and a second start says the same */
		open_in(&s, other);
		CHECK(!store_find(&s, K_WORKSPACE, "id", "w1") == (changes < 2));
		store_close(&s);
		free(other);
	}
	TEST_ROW(-1);
	buf_free(&whole);
	free(dir);
}

static void a_damaged_line_is_kept_and_the_others_count(void)
{
	char *dir = new_dir();
	struct store s;
	struct buf text = { 0 };

	open_in(&s, dir);
	add(&s, K_RUNNER, "r1", "one");
	add(&s, K_RUNNER, "r2", "two");
	add(&s, K_RUNNER, "r3", "three");
	read_file(dir, SEGMENT, &text);
	crash(&s);
	char *at = strchr(text.p, '\n') + 40;

	*at = (char)(*at ^ 1);
	write_file(dir, SEGMENT, buf_str(&text));
	open_in(&s, dir);
	CHECK(store_find(&s, K_RUNNER, "id", "r1") && store_find(&s, K_RUNNER, "id", "r3"));
	CHECK(!store_find(&s, K_RUNNER, "id", "r2"));
	CHECK(store_damaged(&s) == 1);
	buf_reset(&text);
	read_file(dir, SEGMENT ".bad-1", &text);
	CHECK(strstr(buf_cstr(&text), "two") && !strstr(buf_cstr(&text), "three"));
	/* It is said once. */
	crash(&s);
	open_in(&s, dir);
	CHECK(store_damaged(&s) == 0 && store_find(&s, K_RUNNER, "id", "r3"));
	store_close(&s);
	buf_free(&text);
	free(dir);
}

static char *make_folder(const char *dir, const char *name)
{
	char *path = path_join(dir, name);
	struct err e = { 0 };

	CHECK(file_mkdirs(path, 0700, &e) == 0);
	return path;
}

/* Files of single records, as earlier versions wrote them and as one is repaired: what is new counts,
 * what the log has is not touched, a damaged one is set aside and harms nobody else. */
static void files_of_single_records_are_taken_in(void)
{
	static const char *const ruins[] = { "",       "{",
		                             "[]",     "{\"seq\":1}",
		                             "\0\0\0", "{\"name\":\"z\"}" };
	char *dir = new_dir();
	struct store s;

	open_in(&s, dir);
	add(&s, K_RUNNER, "known", "mine");
	store_close(&s);
	for (int k = 0; k < K_N; k++) {
		struct buf name = { 0 }, text = { 0 };

		free(make_folder(dir, kind_dir((enum kind)k)));
		buf_addf(&name, "%s/x.json", kind_dir((enum kind)k));
		buf_addf(&text, "{\"seq\":%d,\"%s\":\"x\",\"extra\":\"%d\"}\n", 50 - k,
		         kind_id((enum kind)k), k);
		write_file(dir, buf_cstr(&name), buf_str(&text));
		buf_reset(&name);
		buf_addf(&name, "%s/ruin.json", kind_dir((enum kind)k));
		write_file(dir, buf_cstr(&name), str_of(ruins[(size_t)k % ARRAY_LEN(ruins)]));
		buf_free(&name);
		buf_free(&text);
	}
	write_file(dir, "runners/known.json",
	           STR_LIT("{\"seq\":9,\"id\":\"known\",\"name\":\"older\"}"));
	for (int turn = 0; turn < 2; turn++) {
		open_in(&s, dir);
		CHECK(store_damaged(&s) == (turn ? 0 : K_N));
		for (int k = 0; k < K_N; k++) {
			char want[16];

			TEST_ROW(k);
			snprintf(want, sizeof(want), "%d", k);
			const struct rec *r = store_find(&s, (enum kind)k, kind_id((enum kind)k),
			                                 "x");

			CHECK(r && rec_seq(r) == 50 - k && rec_is(r, "extra", want));
		}
		CHECK_STR(rec_text(store_find(&s, K_RUNNER, "id", "known"), "name"), "mine");
		CHECK(rec_seq(add(&s, K_ENV, turn ? "b" : "a", "")) > 50);
		crash(&s);
	}
	TEST_ROW(-1);
	char *bad = path_join(dir, "runners/ruin.json.bad-1"),
	     *left_one = path_join(dir, "runners/x.json");

	CHECK(file_exists(bad) && !file_exists(left_one));
	free(bad);
	free(left_one);
	free(dir);
}

/* The store of an earlier version: files, and a journal whose changes go before them. */
static void an_earlier_journal_is_taken_in(void)
{
	char *dir = new_dir();
	struct store s;
	struct buf lines = { 0 };
	size_t from;

	/* Lines are made by the log: they were the same. */
	open_in(&s, dir);
	add(&s, K_ENV, "first", "");
	read_file(dir, SEGMENT, &lines);
	from = lines.n;
	add(&s, K_RUNNER, "r1", "new name");
	struct change *ch = change_begin(&s);

	change_remove(ch, add(&s, K_TARGET, "t1", "gone"));
	CHECK(change_commit(ch, &(struct err){ 0 }) == 0);
	buf_reset(&lines);
	read_file(dir, SEGMENT, &lines);
	crash(&s);
	free(dir);
	dir = new_dir();
	open_in(&s, dir);
	store_close(&s);
	free(make_folder(dir, "runners"));
	free(make_folder(dir, "targets"));
	write_file(dir, "runners/r1.json", STR_LIT("{\"seq\":2,\"id\":\"r1\",\"name\":\"old\"}"));
	write_file(dir, "targets/t1.json", STR_LIT("{\"seq\":3,\"id\":\"t1\",\"name\":\"gone\"}"));
	buf_adds(&lines, "0123456789abcdef [{\"put\":"); /* was not answered */
	write_file(dir, "journal", (struct str){ lines.p + from, lines.n - from });
	open_in(&s, dir);
	CHECK(store_damaged(&s) == 0);
	CHECK_STR(rec_text(store_find(&s, K_RUNNER, "id", "r1"), "name"), "new name");
	CHECK(!store_first(&s, K_TARGET));
	char *journal = path_join(dir, "journal");

	CHECK(!file_exists(journal));
	store_close(&s);
	buf_free(&lines);
	free(journal);
	free(dir);
}

static void a_missing_segment_ends_the_start(void)
{
	char *dir = new_dir(), *second = path_join(dir, DISK_LOG_DIR "/00000002");
	struct store s;
	struct err e = { 0 };

	open_in(&s, dir);
	add(&s, K_RUNNER, "r1", "keeps the first one");
	for (int i = 0; i < 150; i++)
		CHECK(change_notes(&s, i, &e) == 0);
	store_close(&s);
	CHECK(file_exists(second));
	CHECK(unlink(second) == 0);
	CHECK(store_open(&s, dir, &e) < 0 && strstr(e.msg, "missing"));
	free(second);
	free(dir);
}

static void ids_are_unique(void)
{
	char *dir = new_dir();
	struct store s;
	struct err e = { 0 };

	open_in(&s, dir);
	const struct rec *old = add(&s, K_TARGET, "t", "first");
	struct change *ch = change_begin(&s);

	rec_set(change_add(ch, K_TARGET), "id", "t");
	CHECK(change_commit(ch, &e) < 0 && e.kind == ERR_EXISTS);
	ch = change_begin(&s);
	change_remove(ch, old);
	struct rec *again = change_add(ch, K_TARGET);

	rec_set(again, "id", "t");
	CHECK(change_commit(ch, &e) == 0);
	CHECK(store_find(&s, K_TARGET, "id", "t") == again);
	ch = change_begin(&s);
	change_add(ch, K_TARGET);
	CHECK(change_commit(ch, &e) < 0);
	crash(&s);
	open_in(&s, dir);
	CHECK(!store_find(&s, K_TARGET, "name", "first") && store_first(&s, K_TARGET));
	store_close(&s);
	free(dir);
}

static void heartbeats_write_nothing_until_the_end(void)
{
	char *dir = new_dir();
	struct store s;
	struct stat before, after;
	char *path = path_join(dir, SEGMENT);

	open_in(&s, dir);
	const struct rec *r = add(&s, K_RUNNER, "r1", "one");

	CHECK(stat(path, &before) == 0);
	for (int i = 0; i < 100; i++) {
		struct change *ch = change_begin(&s);

		rec_set_int(change_edit(ch, r), "mdUptime", i);
		change_beat(ch);
	}
	CHECK(rec_int(r, "mdUptime") == 99);
	CHECK(stat(path, &after) == 0 && before.st_size == after.st_size);
	store_close(&s);
	open_in(&s, dir);
	CHECK(rec_int(store_first(&s, K_RUNNER), "mdUptime") == 99);
	store_close(&s);
	free(path);
	free(dir);
}

static void fill(struct store *s, int n)
{
	struct err e = { 0 };
	struct change *ch = change_begin(s);

	for (int i = 0; i < n; i++) {
		char id[16], owner[16];
		struct rec *w = change_add(ch, K_WORKSPACE), *j;

		snprintf(id, sizeof(id), "w%d", i);
		snprintf(owner, sizeof(owner), "t%d", i % (n / 10));
		rec_set(w, "id", id);
		rec_set(w, "name", id);
		rec_set(w, "targetId", owner);
		j = change_add(ch, K_JOB);
		rec_set(j, "id", id);
		rec_set(j, "resourceId", id);
		rec_set(j, "runnerId", i % 2 ? "r1" : "r2");
		rec_set(j, "state", i % 100 ? "success" : "pending");
		if (i % 1000 == 999) {
			CHECK(change_commit(ch, &e) == 0);
			ch = change_begin(s);
		}
	}
	CHECK(change_commit(ch, &e) == 0);
}

/* Steps of ten look-ups of each sort, in a store of n workspaces. */
static uint64_t work_at(int n)
{
	char *dir = new_dir();
	struct store s;

	open_in(&s, dir);
	fill(&s, n);
	uint64_t begin = store_work(&s);

	for (int i = 0; i < 10; i++) {
		char id[16];

		snprintf(id, sizeof(id), "w%d", i * n / 10);
		CHECK(store_find(&s, K_WORKSPACE, "id", id));
		CHECK(store_find(&s, K_WORKSPACE, "name", id));
		CHECK(store_find(&s, K_JOB, "resourceId", id));
		CHECK(store_find(&s, K_WORKSPACE, "targetId", "t1"));
		CHECK(!store_find(&s, K_KEY, "hash", id));
		CHECK(store_queue(&s, Q_PENDING, "r2"));
		CHECK(!store_queue(&s, Q_RUNNING, "r2"));
		add(&s, K_BUILD, id, "b");
	}
	uint64_t work = store_work(&s) - begin;

	store_close(&s);
	free(dir);
	return work;
}

static void a_look_up_costs_the_same_at_any_size(void)
{
	uint64_t small = work_at(100), large = work_at(5000);

	CHECK(small > 0);
	CHECK(large < 2 * small);
}

static void order_is_that_of_creation(void)
{
	char *dir = new_dir();
	struct store s;
	struct err e = { 0 };

	open_in(&s, dir);
	for (int i = 0; i < 50; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", (i * 37) % 50);
		add(&s, K_TARGET, id, i % 2 ? "odd" : "even");
	}
	/* One leaves a group and comes back: to its own place. */
	const struct rec *r = store_find(&s, K_TARGET, "name", "even");

	CHECK(rename_to(&s, r, "odd", &e) == 0 && rename_to(&s, r, "even", &e) == 0);
	for (int turn = 0; turn < 2; turn++) {
		int64_t last = 0;
		int n = 0;

		for (r = store_find(&s, K_TARGET, "name", "even"); r;
		     r = store_find_next(&s, r, "name")) {
			CHECK(rec_seq(r) > last);
			last = rec_seq(r);
			n++;
		}
		CHECK(n == 25);
		last = 0;
		for (r = store_first(&s, K_TARGET); r; r = store_next(r)) {
			CHECK(rec_seq(r) > last);
			last = rec_seq(r);
		}
		store_close(&s);
		open_in(&s, dir);
	}
	store_close(&s);
	free(dir);
}

static void remove_all(void)
{
	struct err e = { 0 };

	file_remove_tree(base, &e);
}

static void set_up(void)
{
	if (!mkdtemp(base)) {
		snprintf(base, sizeof(base), "/tmp/test-store-XXXXXX");
		if (!mkdtemp(base))
			abort();
	}
	atexit(remove_all);
}

TEST_MAIN(TEST(set_up), TEST(found_again_after_close_and_after_crash),
          TEST(a_failed_change_leaves_all_as_it_was), TEST(what_cannot_be_taken_back_stops_changes),
          TEST(what_is_superseded_leaves_the_log), TEST(log_cut_at_every_byte),
          TEST(a_damaged_line_is_kept_and_the_others_count),
          TEST(files_of_single_records_are_taken_in), TEST(an_earlier_journal_is_taken_in),
          TEST(a_missing_segment_ends_the_start), TEST(ids_are_unique),
          TEST(heartbeats_write_nothing_until_the_end), TEST(a_look_up_costs_the_same_at_any_size),
          TEST(order_is_that_of_creation))
