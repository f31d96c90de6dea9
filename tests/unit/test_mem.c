/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include "tests/capture.h"
#include "tests/test.h"

#include <stdint.h>
#include <sys/resource.h>

static void new_memory_is_zero(void)
{
	char *p = mem_alloc(100);
	char *q = mem_array(10, 10);
	int sum = 0;

	for (int i = 0; i < 100; i++)
		sum += p[i] + q[i];
	CHECK_INT(sum, 0);
	free(p);
	free(q);
	p = mem_alloc(0);
	CHECK(p != NULL);
	free(p);
}

static void copies(void)
{
	char *a = mem_dup("abc"), *b = mem_dupn("abcdef", 2);

	CHECK_STR(a, "abc");
	CHECK_STR(b, "ab");
	CHECK(mem_dup(NULL) == NULL);
	mem_wipe(a, 3);
	CHECK_INT(a[0] | a[1] | a[2], 0);
	mem_free_secret(b);
	mem_free_secret(NULL);
	free(a);
}

static int ask_for_too_much(void *arg)
{
	(void)arg;
	mem_dupn("", SIZE_MAX);
	return 0;
}

static void out_of_memory_exits_with_one_line(void)
{
	struct capture c;

	capture_run(&c, ask_for_too_much, NULL);
	CHECK_INT(c.status, 1);
	CHECK_STR(c.err, "daytona-runner: out of memory\n");
}

TEST_MAIN(TEST(new_memory_is_zero), TEST(copies), TEST(out_of_memory_exits_with_one_line))
