/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit tests' harness. A file defines static functions `static void name(void)` that use CHECK,
 * and ends with `TEST_MAIN(TEST(one), TEST(two))`. Every check is counted, a failed one prints where and
 * what and the run goes on; the last line gives the counts; the exit status is 0 only if all passed.
 * In a table, TEST_ROW(i) names the row that later failures of the same function belong to.
 */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

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
