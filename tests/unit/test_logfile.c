/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's log file: rotation by size, number and age, torn records, files moved away. */
#include "base/file.h"
#include "base/mem.h"
#include "host/logfile.h"
#include "tests/test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static char dir[TEST_PATH_SIZE];
static char *path;

static void fresh(void)
{
	struct err e = { 0 };

	if (dir[0])
		CHECK(file_remove_tree(dir, &e) == 0);
	free(path);
	CHECK(test_mkdtemp(dir));
	path = path_join(dir, "deep/log");
}

static void read_all(const char *file, struct buf *b)
{
	struct err e = { 0 };

	CHECK(file_read(file, 1 << 24, b, &e) == 0);
}

static size_t count_backups(void)
{
	char **list;
	size_t n = logfile_backups(path, &list);

	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return n;
}

static void records_are_appended_in_a_private_file(void)
{
	static const struct logfile_limits limits = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };
	struct stat st;
	struct logfile *f;

	fresh();
	f = logfile_open(path, &limits, &e);
	if (!CHECK(f != NULL))
		return;
	CHECK(logfile_append(f, STR_LIT("one\n"), &e) == 0);
	CHECK(logfile_append(f, STR_LIT("two\n"), &e) == 0);
	logfile_close(f);
	read_all(path, &b);
	CHECK_STR(buf_cstr(&b), "one\ntwo\n");
	CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
	buf_free(&b);
	logfile_close(NULL);
}

static void fifty_megabytes_stay_within_the_limits(void)
{
	static const struct logfile_limits limits = { .max_bytes = 1 << 20, .max_backups = 3 };
	struct err e = { 0 };
	struct logfile *f;
	char **list;
	char record[1024];
	int64_t total = 0;
	size_t n;
	struct stat st;

	fresh();
	f = logfile_open(path, &limits, &e);
	memset(record, 'x', sizeof(record));
	record[sizeof(record) - 1] = '\n';
	for (int i = 0; i < 50 * 1024; i++)
		CHECK(logfile_append(f, (struct str){ record, sizeof(record) }, &e) == 0);
	logfile_close(f);
	n = logfile_backups(path, &list);
	CHECK_INT(n, 3);
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };

		read_all(list[i], &b);
		CHECK(b.n % sizeof(record) == 0); /* no record is cut at the seam */
		CHECK(b.n <= 1 << 20);
		total += (int64_t)b.n;
		buf_free(&b);
		free(list[i]);
	}
	free(list);
	CHECK(stat(path, &st) == 0);
	total += st.st_size;
	CHECK(total <= 4 << 20);
	CHECK(total > 3 << 20);
}

static void no_backups_means_none(void)
{
	static const struct logfile_limits limits = { .max_bytes = 100 };
	struct err e = { 0 };
	struct logfile *f;

	fresh();
	f = logfile_open(path, &limits, &e);
	for (int i = 0; i < 20; i++)
		CHECK(logfile_append(f, STR_LIT("0123456789012345678901234567890123456789\n"),
		                     &e) == 0);
	logfile_close(f);
	CHECK_INT(count_backups(), 0);
}

static void old_backups_go_and_foreign_files_stay(void)
{
	static const struct logfile_limits limits = { .max_bytes = 10,
		                                      .max_backups = 9,
		                                      .max_age_days = 2 };
	static const char *const names[] = { "log-2020-01-02T03-04-05.678",
		                             "log-2020-01-02T03-04-05.678.gz", "log-notes",
		                             "log-2020-01-02", "logs-2020-01-02T03-04-05.678" };
	const struct timeval old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct err e = { 0 };
	struct logfile *f;

	fresh();
	f = logfile_open(path, &limits, &e);
	for (size_t i = 0; i < TEST_N(names); i++) {
		struct buf name = { 0 };

		buf_addf(&name, "%s/deep/%s", dir, names[i]);
		CHECK(file_replace(buf_cstr(&name), 0600, STR_LIT("x"), &e) == 0);
		CHECK(utimes(buf_cstr(&name), old) == 0);
		buf_free(&name);
	}
	CHECK_INT(count_backups(), 2);
	CHECK(logfile_append(f, STR_LIT("12345678\n"), &e) == 0);
	CHECK(logfile_append(f, STR_LIT("12345678\n"), &e) == 0);
	logfile_close(f);
	CHECK_INT(count_backups(), 1);
	for (size_t i = 2; i < TEST_N(names); i++) {
		struct buf name = { 0 };

		TEST_ROW(i);
		buf_addf(&name, "%s/deep/%s", dir, names[i]);
		CHECK(file_exists(buf_cstr(&name)));
		buf_free(&name);
	}
}

static void a_torn_record_is_ended(void)
{
	static const struct logfile_limits limits = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };
	char *parent = path_join(dir, "deep");
	struct logfile *f;

	fresh();
	free(parent);
	parent = path_join(dir, "deep");
	CHECK(mkdir(parent, 0700) == 0);
	CHECK(file_replace(path, 0600, STR_LIT("whole\nhal"), &e) == 0);
	f = logfile_open(path, &limits, &e);
	CHECK(logfile_append(f, STR_LIT("next\n"), &e) == 0);
	logfile_close(f);
	read_all(path, &b);
	CHECK_STR(buf_cstr(&b), "whole\nhal\nnext\n");
	buf_free(&b);
	free(parent);
}

static void a_file_moved_away_is_made_again(void)
{
	static const struct logfile_limits limits = { 0 };
	struct err e = { 0 };
	struct buf b = { 0 };
	char *aside = NULL;
	struct logfile *f;

	fresh();
	aside = path_join(dir, "aside");
	f = logfile_open(path, &limits, &e);
	CHECK(logfile_append(f, STR_LIT("before\n"), &e) == 0);
	CHECK(rename(path, aside) == 0);
	logfile_close(f);
	f = logfile_open(path, &limits, &e);
	CHECK(logfile_append(f, STR_LIT("after\n"), &e) == 0);
	logfile_close(f);
	read_all(path, &b);
	CHECK_STR(buf_cstr(&b), "after\n");
	buf_free(&b);
	free(aside);
}

static void a_full_disk_leaves_whole_records(void)
{
	static const struct logfile_limits limits = { 0 };
	struct rlimit before, small;
	struct err e = { 0 };
	struct buf b = { 0 };
	struct logfile *f;
	int failed = 0;

	fresh();
	f = logfile_open(path, &limits, &e);
	CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
	small = before;
	small.rlim_cur = 50;
	signal(SIGXFSZ, SIG_IGN);
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	for (int i = 0; i < 10; i++) {
		struct err why = { 0 };

		if (logfile_append(f, STR_LIT("twelve bytes\n"), &why) < 0) {
			failed++;
			CHECK_INT(why.code, EFBIG);
		}
	}
	CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
	CHECK(failed >= 6);
	CHECK(logfile_append(f, STR_LIT("again\n"), &e) == 0);
	logfile_close(f);
	read_all(path, &b);
	CHECK_STR(buf_cstr(&b), "twelve bytes\ntwelve bytes\ntwelve bytes\nagain\n");
	buf_free(&b);
}

static void rotated_files_are_compressed(void)
{
	static const struct logfile_limits limits = { .max_bytes = 10,
		                                      .max_backups = 9,
		                                      .compress = true };
	struct err e = { 0 };
	struct logfile *f;
	bool done = false;

	if (access("/usr/bin/gzip", X_OK) < 0 && access("/bin/gzip", X_OK) < 0) {
		CHECK(true);
		return;
	}
	fresh();
	f = logfile_open(path, &limits, &e);
	CHECK(logfile_append(f, STR_LIT("12345678\n"), &e) == 0);
	CHECK(logfile_append(f, STR_LIT("12345678\n"), &e) == 0);
	logfile_close(f);
	for (int i = 0; i < 5000 && !done; i++) {
		char **list;
		size_t n = logfile_backups(path, &list);

		done = n == 1 && str_ends(str_of(list[0]), ".gz");
		for (size_t k = 0; k < n; k++)
			free(list[k]);
		free(list);
		usleep(2000);
	}
	CHECK(done);
}

static void others_files_are_refused(void)
{
	static const struct logfile_limits limits = { 0 };
	struct err e = { 0 };
	char *parent;

	fresh();
	parent = path_join(dir, "deep");
	CHECK(mkdir(parent, 0700) == 0);
	CHECK(symlink("/etc/passwd", path) == 0);
	CHECK(logfile_open(path, &limits, &e) == NULL);
	CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	CHECK(logfile_open(path, &limits, &e) == NULL);
	CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
	CHECK(logfile_open(path, &limits, &e) == NULL);
	free(parent);
	CHECK(file_remove_tree(dir, &e) == 0);
	free(path);
	path = NULL;
	dir[0] = '\0';
}

TEST_MAIN(TEST(records_are_appended_in_a_private_file),
          TEST(fifty_megabytes_stay_within_the_limits), TEST(no_backups_means_none),
          TEST(old_backups_go_and_foreign_files_stay), TEST(a_torn_record_is_ended),
          TEST(a_file_moved_away_is_made_again), TEST(a_full_disk_leaves_whole_records),
          TEST(rotated_files_are_compressed), TEST(others_files_are_refused))
