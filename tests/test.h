/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit tests' harness. A file defines static functions `static void name(void)` that use CHECK,
 * and ends with `TEST_MAIN(TEST(one), TEST(two))`. Every check is counted, a failed one prints where and
 * what and the run goes on; the last line gives the counts; the exit status is 0 only if all passed.
 * In a table, TEST_ROW(i) names the row that later failures of the same function belong to. TEST_SKIP says what
 * this machine cannot show; scripts/test lists it. Files go below test_tmp().
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static unsigned test_passed, test_failed;
static long test_row;
static const char *test_name;

static inline bool test_check(bool ok, const char *file, int line, const char *what)
{
	if (ok) {
		test_passed++;
		return true;
	}
	test_failed++;
	fprintf(stderr, "%s:%d: %s: %s", file, line, test_name, what);
	if (test_row >= 0)
		fprintf(stderr, " (row %ld)", test_row);
	fputc('\n', stderr);
	return false;
}

static inline bool test_str(const char *have, const char *want, const char *file, int line,
                            const char *what)
{
	bool ok = have && want ? strcmp(have, want) == 0 : have == want;

	if (!test_check(ok, file, line, what))
		fprintf(stderr, "  have: %s\n  want: %s\n", have ? have : "(null)",
		        want ? want : "(null)");
	return ok;
}

static inline bool test_int(long long have, long long want, const char *file, int line,
                            const char *what)
{
	if (!test_check(have == want, file, line, what))
		fprintf(stderr, "  have: %lld\n  want: %lld\n", have, want);
	return have == want;
}

/* Not with the code under test: it must work when that does not. */
static inline void test_remove_below(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *en;

	while (d && (en = readdir(d))) {
		int sub = -1;

		if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, en->d_name, 0) == 0)
			continue;
		(void)fchmodat(fd, en->d_name, 0700, 0);
		sub = openat(fd, en->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			test_remove_below(sub);
		(void)unlinkat(fd, en->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
	else
		close(fd);
}

static char test_tmp_path[256];
static pid_t test_tmp_owner;

static inline void test_tmp_remove(void)
{
	int fd;

	if (getpid() != test_tmp_owner)
		return;
	fd = open(test_tmp_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		test_remove_below(fd);
	(void)rmdir(test_tmp_path);
}

/* A directory of this run alone, below $TMPDIR or /tmp, removed with all in it when the test ends. */
static inline const char *test_tmp(void)
{
	const char *base = getenv("TMPDIR");

	if (test_tmp_owner)
		return test_tmp_path;
	snprintf(test_tmp_path, sizeof(test_tmp_path), "%s/dr-unit-XXXXXX",
	         base && *base ? base : "/tmp");
	if (!mkdtemp(test_tmp_path)) {
		perror(test_tmp_path);
		exit(1);
	}
	test_tmp_owner = getpid();
	atexit(test_tmp_remove);
	return test_tmp_path;
}

#define TEST_PATH_SIZE 320
/* A new directory there. */
static inline bool test_mkdtemp(char dir[TEST_PATH_SIZE])
{
	snprintf(dir, TEST_PATH_SIZE, "%s/XXXXXX", test_tmp());
	return mkdtemp(dir) != NULL;
}

static inline int test_mkstemp(char path[TEST_PATH_SIZE])
{
	snprintf(path, TEST_PATH_SIZE, "%s/XXXXXX", test_tmp());
	return mkstemp(path);
}

/* Processor time of this process, microseconds: what a busy machine does not lengthen. Growth is compared at two
 * sizes, never with a fixed time. */
static inline long long test_cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whether n times the work took about n times as long: not n * n times. */
static inline bool test_is_linear(long long us, long long us_of_n, long long n)
{
	return us_of_n < (us + 2000) * n * 4;
}

struct test_case {
	const char *name;
	void (*run)(void);
};

static inline int test_run(const struct test_case *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		test_name = t[i].name;
		test_row = -1;
		t[i].run();
	}
	printf("%u passed, %u failed\n", test_passed, test_failed);
	return test_failed || !test_passed;
}

/* All yield whether they passed, so what depends on them can be skipped. */
#define CHECK(cond) test_check((cond), __FILE__, __LINE__, #cond)
#define CHECK_STR(have, want) test_str((have), (want), __FILE__, __LINE__, #have " == " #want)
/* Any integer type that fits: sizes and counts are compared as often as ints. */
#define CHECK_INT(have, want) \
	test_int((long long)(have), (long long)(want), __FILE__, __LINE__, #have " == " #want)

/* One line that scripts/test lists: why this machine cannot show it. */
#define TEST_SKIP(why) printf("skipped: %s: %s\n", test_name, (why))

#define TEST_ROW(i) (test_row = (long)(i))
#define TEST_N(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
#define TEST(f) { #f, f }
/* clang-format on */
#define TEST_MAIN(...) \
	int main(void) \
	{ \
		static const struct test_case cases[] = { __VA_ARGS__ }; \
		return test_run(cases, TEST_N(cases)); \
	}

#endif
