/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pollset.h"

#include "tests/test.h"

#include <sys/socket.h>
#include <unistd.h>

static void one_that_is_wanted_twice(void)
{
	struct pollset ps = { 0 };
	struct err e = { 0 };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(write(pair[1], "x", 1) == 1);
	for (int n = 0; n < 3; n++) {
		pollset_reset(&ps);
		pollset_add(&ps, pair[0], POLLIN);
		pollset_add(&ps, pair[0], POLLOUT);
		pollset_add(&ps, -1, POLLIN);
		CHECK(pollset_wait(&ps, &e) == 0);
		CHECK(pollset_revents(&ps, pair[0]) == (POLLIN | POLLOUT));
	}
	close(pair[0]);
	close(pair[1]);
	pollset_free(&ps);
}

static void one_that_is_quiet(void)
{
	struct pollset ps = { 0 };
	struct err e = { 0 };
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	for (int n = 0; n < 3; n++) {
		pollset_reset(&ps);
		pollset_add(&ps, pair[0], n == 0 ? POLLOUT : POLLIN);
		pollset_until(&ps, deadline_in_ms(0));
		CHECK(pollset_wait(&ps, &e) == 0);
		/* Not asked; asked and without any; asked, and there is some. */
		CHECK(pollset_is_quiet(&ps, pair[0]) == (n == 1));
		CHECK(!pollset_is_quiet(&ps, pair[1]));
		if (n == 1)
			CHECK(write(pair[1], "x", 1) == 1);
	}
	close(pair[0]);
	close(pair[1]);
	pollset_free(&ps);
}

TEST_MAIN(TEST(one_that_is_wanted_twice), TEST(one_that_is_quiet))
